"""Cohere's API, read by the types of Cohere's SDK."""

from typing import Any

from cohere import EmbedByTypeResponse, NonStreamedChatResponse, RerankResponse, StreamedChatResponse
from cohere.core.unchecked_base_model import construct_type
from cohere.v2 import V2ChatResponse, V2ChatStreamResponse
from openai._streaming import SSEDecoder

from conventions import Call, Usage
from recording import Exchange

# https://docs.cohere.com/reference
PATHS = {
    "/v1/chat": ("chat", NonStreamedChatResponse, StreamedChatResponse),
    "/v2/chat": ("chat", V2ChatResponse, V2ChatStreamResponse),
    "/v1/embed": ("embeddings", EmbedByTypeResponse, None),
    "/v2/embed": ("embeddings", EmbedByTypeResponse, None),
    "/v1/rerank": ("rerank", RerankResponse, None),
    "/v2/rerank": ("rerank", RerankResponse, None),
}


def call(exchange: Exchange, provider: str) -> Call | None:
    """The call, or `None` if this is none."""
    if exchange.method != "POST" or exchange.path not in PATHS:
        return None
    operation, whole, part = PATHS[exchange.path]
    asked = exchange.asked()
    found = Call(provider, operation, asked.get("model"), asked.get("stream") is True)
    if exchange.status >= 400:
        # Its errors have a message and no name.
        found.error = str(exchange.status)
    elif exchange.is_events():
        for event in SSEDecoder().iter_bytes(iter([exchange.body])):
            if event.data != "[DONE]":
                fold(found, construct_type(type_=part, object_=event.json()))
    else:
        fold(found, construct_type(type_=whole, object_=exchange.answered()))
    return found


def fold(found: Call, told: Any) -> None:
    """An answer, or an event of one."""
    kind = getattr(told, "type", None) or getattr(told, "event_type", None)
    if kind == "message-start":
        found.id, found.reasons = told.id, [""]
    elif kind == "message-end":
        found.reasons = [told.delta.finish_reason]
        found.usage = usage(told.delta.usage)
    elif kind == "stream-end":
        fold(found, told.response)
    elif kind in (None, "embeddings_floats", "embeddings_by_type"):
        # Version 1 of chat calls it by another name.
        found.id = getattr(told, "response_id", None) or getattr(told, "id", None) or getattr(told, "generation_id", None)
        reason = getattr(told, "finish_reason", None)
        found.reasons = [reason] if reason else []
        found.usage = usage(getattr(told, "usage", None) or getattr(told, "meta", None))


def usage(told: Any) -> Usage:
    """What was counted, else what is billed."""
    if told is None:
        return Usage()
    counts = getattr(told, "tokens", None) or getattr(told, "billed_units", None)
    cached = getattr(told, "cached_tokens", None)

    def count(name: str) -> int | None:
        value = getattr(counts, name, None)
        return None if value is None else int(value)

    return Usage(
        input=count("input_tokens"),
        output=count("output_tokens"),
        cache_read=None if cached is None else int(cached),
    )
