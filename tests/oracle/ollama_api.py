"""Ollama's own API, read by the types of Ollama's SDK."""

import json

from ollama import ChatResponse, EmbeddingsResponse, EmbedResponse, GenerateResponse

from conventions import Call
from recording import Exchange

# https://github.com/ollama/ollama/blob/main/docs/api.md
PATHS = {
    "/api/chat": ("chat", ChatResponse),
    "/api/generate": ("text_completion", GenerateResponse),
    "/api/embed": ("embeddings", EmbedResponse),
    "/api/embeddings": ("embeddings", EmbeddingsResponse),
}


def call(exchange: Exchange, provider: str) -> Call | None:
    """The call, or `None` if this is none."""
    if exchange.method != "POST" or exchange.path not in PATHS:
        return None
    operation, form = PATHS[exchange.path]
    asked = exchange.asked()
    # Where nothing is said of it these two are streams, as the API's documentation has it.
    streams = operation in ("chat", "text_completion")
    found = Call(provider, operation, asked.get("model"), streams and asked.get("stream", True) is True)
    for line in exchange.body.splitlines():
        answer = form.model_validate(json.loads(line))
        found.model = getattr(answer, "model", None) or found.model
        if getattr(answer, "done", None):
            found.reasons = [answer.done_reason] if answer.done_reason else []
        found.usage.input = getattr(answer, "prompt_eval_count", None)
        found.usage.output = getattr(answer, "eval_count", None)
    return found
