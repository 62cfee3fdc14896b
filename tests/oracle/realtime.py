"""Calls over WebSockets: OpenAI's Realtime API and Gemini's Live API, each response or turn a call of its own."""

from typing import Any, Iterator

from google.genai._live_converters import _LiveServerMessage_from_mldev, _LiveServerMessage_from_vertex
from google.genai.types import LiveServerMessage, Transcription
from openai._models import construct_type
from openai.types.realtime import RealtimeServerEvent

import google_api
import openai_api
from conventions import Call, Usage
from recording import Session


def calls(session: Session) -> list[Call]:
    """All calls of a session; no recording names the host of one."""
    live = any(sent and "setup" in said for sent, said in session.messages)
    return list(turns(session) if live else responses(session))


def responses(session: Session) -> Iterator[Call]:
    """https://platform.openai.com/docs/api-reference/realtime-server-events/response/done"""
    model = None
    for sent, said in session.messages:
        if sent:
            model = (said.get("session") or {}).get("model") or model
            continue
        event: Any = construct_type(type_=RealtimeServerEvent, value=said)
        if event.type in ("session.created", "session.updated"):
            model = getattr(event.session, "model", None) or model
        if event.type == "response.done":
            yield response(event, model)


def response(event: Any, model: str | None) -> Call:
    """One response."""
    told = event.response
    found = Call("openai", "chat", model, stream=True, id=told.id)
    details = told.status_details
    reason = getattr(details, "reason", None)
    called = bool(told.output) and told.output[-1].type == "function_call"
    if told.status == "completed":
        found.reasons, found.ours = ["completed"], ["tool_call" if called else "stop"]
    else:
        found.reasons = [reason or told.status]
    # xAI tells the usage beside the response.
    counts = (told.usage.to_dict() if told.usage else None) or (event.model_extra or {}).get("usage")
    found.usage = openai_api.response_usage(counts) if counts else Usage()
    return found


def turns(session: Session) -> Iterator[Call]:
    """https://ai.google.dev/api/live: what the model says until its turn is complete."""
    model, last, called = None, None, False
    for sent, said in session.messages:
        if sent:
            model = (said.get("setup") or {}).get("model") or model
            continue
        # Vertex AI names resources in another way, and some counts.
        read = _LiveServerMessage_from_vertex if (model or "").startswith("p") else _LiveServerMessage_from_mldev
        message = LiveServerMessage._from_response(response=read(said), kwargs={})
        last = message.usage_metadata or last
        content = message.server_content
        # As of the Responses API: does what the model said end in a call?
        said_more = content and (content.model_turn or (content.output_transcription or Transcription()).text)
        called = bool(message.tool_call) or called and not said_more
        if content and content.turn_complete:
            # As in the paths of the same API over HTTP the model's name is the last part of its resource's.
            found = Call("gcp.gen_ai", "generate_content", model.rsplit("/", 1)[-1] if model else None, stream=True)
            found.reasons, found.ours = ["turnComplete"], ["tool_call" if called else "stop"]
            if last:
                found.usage = usage(last)
            yield found
            last, called = None, False


def usage(told: Any) -> Usage:
    """As of the same API over HTTP, but that what was answered has another name."""
    return Usage(
        input=google_api.total(told.prompt_token_count, told.tool_use_prompt_token_count),
        output=google_api.total(told.response_token_count, told.thoughts_token_count),
        cache_read=told.cached_content_token_count,
        reasoning=told.thoughts_token_count,
        audio_input=google_api.audio(told.prompt_tokens_details),
        audio_output=google_api.audio(told.response_tokens_details),
    )
