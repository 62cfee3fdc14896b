"""Calls Messages through the official SDK."""

import anthropic
import httpx2
from common import TOOL_PARAMETERS, options, run, tell

args = options(__doc__)
settings = {"base_url": args.url, "api_key": args.key, "max_retries": 0, "timeout": 60}


def request():
    messages = [{"role": "user", "content": args.prompt}]
    what = {"model": args.model, "max_tokens": 256, "messages": messages, "extra_headers": args.headers}
    if args.stream:
        what["stream"] = True
    if args.rich:
        system = {"type": "text", "text": "You are terse.", "cache_control": {"type": "ephemeral"}}
        what.update(
            system=[system], stop_sequences=["END", "STOP"], service_tier="standard_only", metadata={"user_id": "someone"},
            output_config={"effort": "low"},
            # The API takes them; this SDK has no names for them any more.
            extra_body={"temperature": 0.5, "top_p": 0.9, "top_k": 40},
        )
    if args.tools:
        messages += [
            {"role": "assistant", "content": [{"type": "tool_use", "id": "toolu_1", "name": "get_weather", "input": {"location": "Oslo"}}]},
            {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "toolu_1", "content": "rain"}]},
        ]
        what["tools"] = [{"name": "get_weather", "description": "Tells the weather.", "input_schema": TOOL_PARAMETERS}]
    return what


class Answer:
    """What came, whole or in events."""

    def __init__(self):
        self.id, self.text, self.finish, self.arguments = None, "", None, ""

    def event(self, event):
        if event.type == "message_start":
            self.id = event.message.id
        elif event.type == "content_block_delta":
            self.text += getattr(event.delta, "text", "")
            self.arguments += getattr(event.delta, "partial_json", "")
        elif event.type == "message_delta":
            self.finish = event.delta.stop_reason
        if args.echo:
            tell(event="chunk")

    def message(self, message):
        self.id, self.finish = message.id, message.stop_reason
        self.text = "".join(b.text for b in message.content if b.type == "text")

    def told(self):
        return {"id": self.id, "texts": [self.text], "finish": [self.finish], "arguments": self.arguments}


client = anthropic.AsyncAnthropic(**settings) if args.asynchronous else anthropic.Anthropic(**settings)


def call():
    answer = Answer()
    response = client.messages.create(**request())
    if args.stream:
        for event in response:
            answer.event(event)
    else:
        answer.message(response)
    return answer.told()


async def call_async():
    answer = Answer()
    response = await client.messages.create(**request())
    if args.stream:
        async for event in response:
            answer.event(event)
    else:
        answer.message(response)
    return answer.told()


run(args, call, call_async, (anthropic.APIError, httpx2.HTTPError))
