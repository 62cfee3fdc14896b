"""Anthropic's Messages API, read by Anthropic's SDK with the recorded answer for a transport."""

from typing import Any

import anthropic
import httpx2
from anthropic.types import Message, RawMessageStreamEvent

from conventions import Call, Usage, error_type
from recording import Exchange


def call(exchange: Exchange, provider: str) -> Call | None:
    """The call, or `None` if this is none: https://docs.anthropic.com/en/api/messages"""
    if exchange.method != "POST" or not exchange.path.endswith("/v1/messages"):
        return None
    asked = exchange.asked()
    found = Call(provider, "chat", asked.get("model"), asked.get("stream") is True)
    try:
        for answer in answers(exchange):
            fold(found, answer)
    except anthropic.APIStatusError as error:
        told = error.body.get("error") if isinstance(error.body, dict) else None
        found.error = error_type(None, (told or {}).get("type"), exchange.status)
    return found


def answers(exchange: Exchange) -> Any:
    """What the SDK makes of the recorded answer: the message, or the events of its stream."""

    def recorded(_: Any) -> httpx2.Response:
        return httpx2.Response(exchange.status, headers=exchange.headers, content=exchange.body)

    transport = anthropic.DefaultHttpxClient(transport=httpx2.MockTransport(recorded))
    client = anthropic.Anthropic(api_key="none", max_retries=0, http_client=transport)
    if exchange.is_events():
        events = anthropic.Stream[RawMessageStreamEvent]
        yield from client.post("/", cast_to=Message, body={}, stream=True, stream_cls=events)
    else:
        yield client.post("/", cast_to=Message, body={})


def fold(found: Call, answer: Any) -> None:
    """https://docs.anthropic.com/en/api/messages-streaming: counts of later events are totals, which replace the earlier."""
    if answer.type == "message_start":
        fold(found, answer.message)
        # Until a later event tells why it ended.
        found.reasons = [""]
    elif answer.type == "message":
        found.id, found.model = answer.id, answer.model
        found.reasons = [answer.stop_reason] if answer.stop_reason else []
        found.usage = usage(answer.usage.to_dict(), {})
        found.told = answer.usage.to_dict()
    elif answer.type == "message_delta":
        found.reasons = [answer.delta.stop_reason] if answer.delta.stop_reason else found.reasons
        found.usage = usage(found.told, answer.usage.to_dict())


def usage(first: dict[str, Any], later: dict[str, Any]) -> Usage:
    """Cached tokens are told apart from the others."""
    told = {**first, **{name: count for name, count in later.items() if count is not None}}
    read, written = told.get("cache_read_input_tokens"), told.get("cache_creation_input_tokens")
    rest = told.get("input_tokens")
    return Usage(
        input=None if rest is None else rest + (read or 0) + (written or 0),
        output=told.get("output_tokens"),
        cache_read=read,
        cache_write=written,
        reasoning=(told.get("output_tokens_details") or {}).get("thinking_tokens"),
    )
