"""Mistral's API, read by the types of Mistral's SDK."""

from typing import Any

from mistralai.client.models import ChatCompletionResponse, CompletionChunk, EmbeddingResponse
from openai._streaming import SSEDecoder

import openai_api
from conventions import Call
from recording import Exchange

# https://docs.mistral.ai/api
PATHS = {
    "/v1/chat/completions": ("chat", ChatCompletionResponse),
    "/v1/embeddings": ("embeddings", EmbeddingResponse),
}


def call(exchange: Exchange, provider: str) -> Call | None:
    """The call, or `None` if this is none."""
    if exchange.method != "POST" or exchange.path not in PATHS:
        return None
    operation, whole = PATHS[exchange.path]
    asked = exchange.asked()
    found = Call(provider, operation, asked.get("model"), asked.get("stream") is True)
    if exchange.is_events():
        events = SSEDecoder().iter_bytes(iter([exchange.body]))
        answers = [CompletionChunk.model_validate(e.json()) for e in events if e.data != "[DONE]"]
    else:
        answers = [whole.model_validate(exchange.answered())]
    openai_api.choices(found, iter(answers))
    return found
