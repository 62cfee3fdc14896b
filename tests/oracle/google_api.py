"""Gemini's API and Vertex AI, read by Google's SDK with the recorded answer for a transport."""

import json
import re
from typing import Any, Iterable
from urllib.parse import unquote

import httpx
from google import genai
from google.auth.credentials import AnonymousCredentials
from google.genai import errors, types

from conventions import Call, Usage, error_type
from recording import Exchange

# https://ai.google.dev/api/generate-content, https://ai.google.dev/api/embeddings
METHOD = re.compile(
    r"/models/(?P<model>[^/:]+):(?P<method>generateContent|streamGenerateContent|embedContent|batchEmbedContents)$"
)


def call(exchange: Exchange, provider: str) -> Call | None:
    """The call, or `None` if this is none."""
    parts = METHOD.search(exchange.path)
    if exchange.method != "POST" or parts is None:
        return None
    method, model = parts["method"], unquote(parts["model"])
    found = Call(provider, "generate_content", model, method == "streamGenerateContent")
    recorded = VERTEX if "/publishers/" in exchange.path else GEMINI
    recorded.exchange, models = exchange, recorded.client.models
    try:
        if "mbed" in method:
            found.operation = "embeddings"
            embedded(found, models.embed_content(model=model, contents="-"), exchange.answered())
        elif found.stream:
            generated(found, models.generate_content_stream(model=model, contents="-"))
        else:
            generated(found, [models.generate_content(model=model, contents="-")])
    except errors.APIError as error:
        found.error = error_type(error.status, None, exchange.status)
    return found


class Recorded:
    """A client of one of the two APIs, to which every answer is the one that is recorded."""

    def __init__(self, place: dict[str, Any]) -> None:
        http = httpx.Client(transport=httpx.MockTransport(self.answer))
        self.client = genai.Client(http_options=types.HttpOptions(httpx_client=http), **place)
        self.exchange: Exchange | None = None

    def answer(self, _: Any) -> httpx.Response:
        body = self.exchange.body
        if not self.exchange.is_events():
            body = json.dumps(json.loads(body, object_pairs_hook=named)).encode()
        return httpx.Response(self.exchange.status, headers=self.exchange.headers, content=body)


def credentials() -> AnonymousCredentials:
    """Such as are never refreshed."""
    anonymous = AnonymousCredentials()
    anonymous.token = "none"
    return anonymous


# https://cloud.google.com/vertex-ai/docs/reference/rpc/google.cloud.aiplatform.v1: what numbers of enumerations stand for.
NUMBERED = {
    "finishReason": "FINISH_REASON_UNSPECIFIED STOP MAX_TOKENS SAFETY RECITATION OTHER BLOCKLIST PROHIBITED_CONTENT SPII"
    " MALFORMED_FUNCTION_CALL",
    "modality": "MODALITY_UNSPECIFIED TEXT IMAGE VIDEO AUDIO DOCUMENT",
}


def named(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """An object with names for the numbers that older clients ask for (`enum-encoding=int`), and this one does not read."""
    return {
        key: NUMBERED[key].split()[value] if key in NUMBERED and isinstance(value, int) else value
        for key, value in pairs
        # Their names are of no matter here.
        if not (key in ("category", "probability", "severity", "trafficType") and isinstance(value, int))
    }


GEMINI = Recorded({"api_key": "none"})
VERTEX = Recorded({"vertexai": True, "project": "none", "location": "global", "credentials": credentials()})


def word(told: Any) -> str:
    """The name of a value, whether the SDK knows it or not."""
    return getattr(told, "value", told)


def generated(found: Call, answers: Iterable[types.GenerateContentResponse]) -> None:
    """An answer, or the parts of one: the last counts are the totals."""
    reasons: dict[int, str] = {}
    for answer in answers:
        found.id = answer.response_id or found.id
        found.model = answer.model_version or found.model
        for candidate in answer.candidates or []:
            # The first one's index goes without saying.
            index = candidate.index or 0
            reasons[index] = word(candidate.finish_reason) if candidate.finish_reason else reasons.get(index, "")
        if answer.prompt_feedback and answer.prompt_feedback.block_reason:
            found.reasons, found.ours = [word(answer.prompt_feedback.block_reason)], ["content_filter"]
        if answer.usage_metadata:
            found.usage = usage(answer.usage_metadata)
    if reasons:
        found.reasons = [reasons[index] for index in sorted(reasons)]


def total(*counts: int | None) -> int | None:
    """The sum of those that are there."""
    there = [count for count in counts if count is not None]
    return sum(there) if there else None


def audio(details: list[types.ModalityTokenCount] | None) -> int | None:
    """How many of the tokens were audio."""
    return next((d.token_count for d in details or [] if d.modality == types.MediaModality.AUDIO), None)


def usage(told: types.GenerateContentResponseUsageMetadata) -> Usage:
    """https://ai.google.dev/api/generate-content#UsageMetadata: tokens of tools and of thoughts are told apart."""
    return Usage(
        input=total(told.prompt_token_count, told.tool_use_prompt_token_count),
        output=total(told.candidates_token_count, told.thoughts_token_count),
        cache_read=told.cached_content_token_count,
        reasoning=told.thoughts_token_count,
        audio_input=audio(told.prompt_tokens_details),
        audio_output=audio(told.candidates_tokens_details),
    )


def embedded(found: Call, answer: types.EmbedContentResponse, told: dict[str, Any]) -> None:
    """Older models tell the tokens of each text, newer ones those of all together, which this version does not read yet."""
    counts = [e.statistics.token_count for e in answer.embeddings or [] if e.statistics]
    found.usage.input = total(*(int(count) for count in counts if count is not None))
    if "usageMetadata" in told:
        found.usage.input = told["usageMetadata"].get("promptTokenCount")
