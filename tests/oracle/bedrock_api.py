"""Amazon Bedrock's runtime, read by botocore: its client is given the recorded answer instead of sending anything.

What a model's own API says inside InvokeModel is read by the SDK of that API where it has one.
"""

import io
import json
import re
from typing import Any
from urllib.parse import unquote

import botocore.session
from anthropic._models import construct_type
from anthropic.types import Message, RawMessageStreamEvent
from botocore.awsrequest import AWSResponse
from botocore.exceptions import ClientError

import anthropic_api
import openai_api
from conventions import Call, Usage, error_type
from recording import Exchange

# https://docs.aws.amazon.com/bedrock/latest/APIReference/API_Operations_Amazon_Bedrock_Runtime.html
ACTION = re.compile(
    r"/model/(?P<model>[^/]+)/(?P<action>converse|converse-stream|invoke|invoke-with-response-stream)$"
)


class Raw(io.BytesIO):
    """A body as urllib3 hands it out."""

    def stream(self, **_: Any) -> Any:
        yield from iter(lambda: self.read(1000), b"")


class Recorded:
    """A client to which every answer is the one that is recorded."""

    def __init__(self) -> None:
        session = botocore.session.Session()
        session.set_credentials("none", "none")
        self.client = session.create_client("bedrock-runtime", region_name="us-east-1")
        self.client.meta.events.register("before-send.bedrock-runtime", self.answer)
        self.exchange: Exchange | None = None

    def answer(self, request: Any, **_: Any) -> AWSResponse:
        exchange = self.exchange
        return AWSResponse(request.url, exchange.status, dict(exchange.headers), Raw(exchange.body))


RECORDED = Recorded()


def call(exchange: Exchange, provider: str) -> Call | None:
    """The call, or `None` if this is none."""
    parts = ACTION.search(exchange.path)
    if exchange.method != "POST" or parts is None:
        return None
    action, model = parts["action"], unquote(parts["model"])
    found = Call(provider, "chat", model, "stream" in action)
    RECORDED.exchange, client = exchange, RECORDED.client
    if action.startswith("invoke"):
        found.operation = operation(exchange.asked())
    try:
        if action == "converse":
            converse(found, client.converse(modelId="m", messages=[]))
        elif action == "converse-stream":
            for event in client.converse_stream(modelId="m", messages=[])["stream"]:
                for part in event.values():
                    converse(found, part)
        elif action == "invoke":
            body = json.loads(client.invoke_model(modelId="m", body=b"{}")["body"].read())
            invoked(found, exchange, body)
        else:
            events = client.invoke_model_with_response_stream(modelId="m", body=b"{}")["body"]
            invoked_stream(found, [json.loads(event["chunk"]["bytes"]) for event in events])
    except ClientError as error:
        code = error.response["Error"]["Code"]
        # botocore's stand-in where the answer names none.
        found.error = error_type(None if code.isdigit() else code, None, exchange.status)
    return found


def converse(found: Call, told: dict[str, Any]) -> None:
    """An answer, or an event of one; cached tokens are told apart."""
    if reason := told.get("stopReason"):
        found.reasons = [reason]
    if counts := told.get("usage"):
        found.usage = counted(counts)


def counted(counts: dict[str, Any]) -> Usage:
    """Counts as Converse and Nova tell them."""
    read = counts.get("cacheReadInputTokens", counts.get("cacheReadInputTokenCount"))
    written = counts.get("cacheWriteInputTokens", counts.get("cacheWriteInputTokenCount"))
    return Usage(
        input=counts["inputTokens"] + (read or 0) + (written or 0),
        output=counts.get("outputTokens"),
        cache_read=read,
        cache_write=written,
    )


def operation(asked: dict[str, Any]) -> str:
    """What the model's own API is: https://docs.aws.amazon.com/bedrock/latest/userguide/model-parameters.html"""
    # A request that was recorded without its body says nothing of it.
    if not asked or "messages" in asked or "message" in asked:
        return "chat"
    embeds = {"texts", "inputText", "taskType", "images"} & asked.keys() and "textGenerationConfig" not in asked
    return "embeddings" if embeds else "text_completion"


def invoked(found: Call, exchange: Exchange, body: dict[str, Any]) -> None:
    """A whole answer: each model's own form; counts that it does not tell are in headers."""
    read(found, body)
    names = ("input", "output", "cache-read-input", "cache-write-input")
    headers = [exchange.header(f"x-amzn-bedrock-{name}-token-count") for name in names]
    complete(found.usage, *(None if header is None else int(header) for header in headers))


def invoked_stream(found: Call, events: list[dict[str, Any]]) -> None:
    """A stream: what its events are told by the model's own API, and counts that these do not tell by Bedrock's last one."""
    for event in events:
        read(found, event)
    metrics = events[-1].get("amazon-bedrock-invocationMetrics", {}) if events else {}
    names = ("inputTokenCount", "outputTokenCount", "cacheReadInputTokenCount", "cacheWriteInputTokenCount")
    complete(found.usage, *(metrics.get(name) for name in names))


def complete(usage: Usage, told: int | None, output: int | None, read: int | None, written: int | None) -> None:
    """Adds what Bedrock has counted itself, where the model's own answer does not tell it; cached tokens are apart."""
    usage.output = output if usage.output is None else usage.output
    if usage.input is None:
        usage.input = told
    if usage.input is not None and usage.cache_read is None and usage.cache_write is None:
        usage.input += (read or 0) + (written or 0)
        usage.cache_read, usage.cache_write = read, written


ANTHROPIC = {"message", "message_start", "message_delta"}


def read(found: Call, said: dict[str, Any]) -> None:
    """An answer of any model, or a part of one."""
    if said.get("type") in ANTHROPIC:
        form = Message if said["type"] == "message" else RawMessageStreamEvent
        anthropic_api.fold(found, construct_type(value=said, type_=form))
        return
    nova = next((said[event] for event in ("messageStop", "metadata") if event in said), said)
    converse(found, {**nova, "usage": None} if "prompt_tokens" in (nova.get("usage") or {}) else nova)
    # AI21's is a number; Cohere's Command R has several.
    if told := said.get("response_id", said.get("id")):
        found.id = str(told)
    if isinstance(said.get("model"), str):
        found.model = said["model"]
    if "prompt_tokens" in (said.get("usage") or {}):
        found.usage = openai_api.usage(said["usage"])
    # Titan, Llama, Mistral, Cohere, AI21 and those who speak OpenAI's form.
    found.usage.input = said.get("inputTextTokenCount", said.get("prompt_token_count", found.usage.input))
    results = said.get("results") or []
    counts = [result["tokenCount"] for result in results]
    written = said.get("totalOutputTextTokenCount", sum(counts) if counts else None)
    found.usage.output = said.get("generation_token_count", found.usage.output if written is None else written)
    choices = [*results, *(said.get("outputs") or []), *(said.get("generations") or [])]
    choices += [*(said.get("choices") or []), *(said.get("completions") or [])] or [said]
    # https://docs.aws.amazon.com/bedrock/latest/userguide/guardrails-use-invoke-model.html
    if said.get("amazon-bedrock-guardrailAction") == "INTERVENED":
        found.ours = ["content_filter"]
    words = [reason(choice) for choice in choices]
    if any(words):
        found.reasons = [word for word in words if word]


def reason(choice: dict[str, Any]) -> str | None:
    """Why a choice ended, under the names that these models have for it."""
    names = ("completionReason", "stop_reason", "finish_reason", "finishReason")
    told = next((choice[name] for name in names if choice.get(name)), None)
    return told["reason"] if isinstance(told, dict) else told
