"""APIs in their own form, or nearly OpenAI's, that none of the libraries here reads."""

from openai._streaming import SSEDecoder
from openai.types.chat import ChatCompletion
from openai._models import construct_type

import openai_api
from conventions import Call
from recording import Exchange

# https://dev.writer.com/api-reference, https://docs.voyageai.com/reference
OPERATIONS = {
    "/v1/chat": "chat",
    "/v1/completions": "text_completion",
    "/v1/embeddings": "embeddings",
    "/v1/rerank": "rerank",
}


def call(exchange: Exchange) -> Call | None:
    """The call, or `None` if this is none."""
    operation = OPERATIONS.get(exchange.path)
    if exchange.method != "POST" or operation is None:
        return None
    asked = exchange.asked()
    # None of them is named by the conventions; reranking is in Cohere's form and all else in OpenAI's.
    provider = "cohere" if operation == "rerank" else "openai"
    found = Call(provider, operation, asked.get("model"), asked.get("stream") is True)
    if exchange.is_events():
        told = [event.json() for event in SSEDecoder().iter_bytes(iter([exchange.body])) if event.data != "[DONE]"]
    else:
        told = [exchange.answered()]
    # Writer's choices of a completion have no number, there being one.
    for answer in told:
        for number, choice in enumerate(answer.get("choices") or []):
            choice.setdefault("index", number)
    openai_api.choices(found, (construct_type(type_=ChatCompletion, value=answer) for answer in told))
    if exchange.path == "/v1/completions":
        # Their answers do not say why they ended.
        found.reasons = []
    return found
