"""OpenAI's APIs, at OpenAI and at those who speak them, read by OpenAI's SDK with the recorded answer for a transport."""

from typing import Any, Iterator

import httpx2
import openai
from openai.types import Completion, CreateEmbeddingResponse
from openai.types.chat import ChatCompletion, ChatCompletionChunk
from openai.types.responses import Response, ResponseStreamEvent

from conventions import Call, Usage, error_type
from recording import Exchange

# https://platform.openai.com/docs/api-reference; what ends so is that API at others, too.
PATHS = {
    "/chat/completions": ("chat", ChatCompletion, ChatCompletionChunk),
    "/completions": ("text_completion", Completion, Completion),
    "/embeddings": ("embeddings", CreateEmbeddingResponse, None),
    "/responses": ("chat", Response, ResponseStreamEvent),
}
DEPLOYMENTS = "/openai/deployments/"
# Where a stored response is read back.
STORED = "/v1/responses/"


def answers(exchange: Exchange, whole: Any, part: Any) -> Iterator[Any]:
    """What the SDK makes of the recorded answer: the answer, or the events of its stream."""

    def recorded(_: Any) -> httpx2.Response:
        return httpx2.Response(exchange.status, headers=exchange.headers, content=exchange.body)

    transport = openai.DefaultHttpxClient(transport=httpx2.MockTransport(recorded))
    client = openai.OpenAI(api_key="none", base_url="https://recorded.invalid", max_retries=0, http_client=transport)
    if exchange.is_events():
        yield from client.post("/", cast_to=whole, body={}, stream=True, stream_cls=openai.Stream[part])
    else:
        yield client.post("/", cast_to=whole, body={})


def call(exchange: Exchange, provider: str) -> Call | None:
    """The call, or `None` if this is none."""
    if exchange.method == "GET" and STORED in exchange.path:
        found = Call(provider, "fetch_response", stream=exchange.query.get("stream") == ["true"])
        stored = list(answers(exchange, Response, ResponseStreamEvent))
        responses(found, iter(stored))
        # The tokens are those of the call that made it, and a failure is, too, unless that did not wait for them.
        if not any(getattr(getattr(answer, "response", answer), "background", None) for answer in stored):
            found.usage, found.error = Usage(), None
        return found
    if exchange.method != "POST":
        return None
    api = next((api for path, api in PATHS.items() if exchange.path.endswith(path)), None)
    if api is None:
        return None
    operation, whole, part = api
    asked = exchange.asked()
    found = Call(provider, operation, asked.get("model"), asked.get("stream") is True)
    if found.request_model is None and DEPLOYMENTS in exchange.path:
        found.request_model = exchange.path.split(DEPLOYMENTS)[1].split("/")[0]
    read = responses if whole is Response else choices
    try:
        read(found, answers(exchange, whole, part))
    except openai.APIError as error:
        # With its status, or within a stream.
        found.error = error_type(error.code, error.type, exchange.status)
    return found


def choices(found: Call, answers: Iterator[Any]) -> None:
    """Completions and embeddings, whole or in chunks."""
    reasons: dict[int, str] = {}
    for answer in answers:
        # Azure begins with a chunk about the prompt that names nothing.
        found.id = found.id or getattr(answer, "id", None)
        found.model = found.model or getattr(answer, "model", None)
        # Azure answers a prompt that it refuses with status 200, too.
        if failed := (answer.model_extra or {}).get("error"):
            found.error = error_type(failed.get("code"), failed.get("type"), 200)
        for choice in getattr(answer, "choices", None) or []:
            index = choice.index or 0
            reasons[index] = getattr(choice, "finish_reason", None) or reasons.get(index, "")
        found.reasons = [reasons[index] for index in sorted(reasons)]
        if not isinstance(answer, ChatCompletionChunk) and not any(found.reasons):
            # An answer that is whole, and does not say why it ended.
            found.reasons = []
        # https://console.groq.com/docs/api-reference: Groq's streams told their usage apart.
        apart = (getattr(answer, "x_groq", None) or {}).get("usage")
        if told := getattr(answer, "usage", None) or apart:
            found.usage = usage(told if isinstance(told, dict) else told.model_dump(exclude_unset=True))
    if found.operation == "embeddings":
        # There is no output whose tokens could be counted, though some say 0.
        found.usage.output = None


def usage(told: dict[str, Any]) -> Usage:
    """https://platform.openai.com/docs/api-reference/chat/object#chat-object-usage"""
    read = told.get("prompt_tokens_details") or {}
    written = told.get("completion_tokens_details") or {}
    # https://platform.moonshot.ai/docs/api/chat, and Mistral.
    elsewhere = told.get("cached_tokens", told.get("num_cached_tokens"))
    return Usage(
        # There are those who tell the total alone, where there is no output.
        input=told.get("prompt_tokens", told.get("total_tokens")),
        output=told.get("completion_tokens"),
        cache_read=read.get("cached_tokens", elsewhere),
        cache_write=read.get("cache_write_tokens"),
        reasoning=written.get("reasoning_tokens"),
        audio_input=read.get("audio_tokens"),
        audio_output=written.get("audio_tokens"),
    )


def responses(found: Call, answers: Iterator[Any]) -> None:
    """https://platform.openai.com/docs/api-reference/responses: the last state of the response is the answer."""
    for answer in answers:
        last = answer if isinstance(answer, Response) else getattr(answer, "response", None)
        if last is None:
            continue
        found.id, found.model = last.id, last.model
        response(found, last)
        if last is not answer and last.status == "in_progress":
            found.reasons = [""]


def response(found: Call, last: Response) -> None:
    """How a response ended, and what it took."""
    incomplete = getattr(last.incomplete_details, "reason", None)
    if last.status == "completed":
        calls = bool(last.output) and is_for_client(last.output[-1])
        found.reasons, found.ours = ["completed"], ["tool_call" if calls else "stop"]
    elif last.status in ("failed", "cancelled", "incomplete"):
        found.reasons = [incomplete or last.status]
    if last.error is not None:
        found.error = last.error.code
    if last.usage is not None:
        found.usage = response_usage(last.usage.to_dict())


def is_for_client(item: Any) -> bool:
    """Is it a call that the client has to answer before it can go on?"""
    # The provider runs its own tools itself, but for a search that is declared to be the client's.
    return item.type in ("function_call", "custom_tool_call") or getattr(item, "execution", None) == "client"


def response_usage(told: dict[str, Any]) -> Usage:
    """That of the Responses and the Realtime API."""
    read = told.get("input_tokens_details") or told.get("input_token_details") or {}
    written = told.get("output_tokens_details") or told.get("output_token_details") or {}
    return Usage(
        input=told.get("input_tokens"),
        output=told.get("output_tokens"),
        cache_read=read.get("cached_tokens"),
        cache_write=read.get("cache_write_tokens"),
        reasoning=written.get("reasoning_tokens"),
        audio_input=read.get("audio_tokens"),
        audio_output=written.get("audio_tokens"),
    )
