"""Calls Chat Completions through the official SDK."""

import httpx2
import openai
from common import TOOL_PARAMETERS, options, run, tell

args = options(__doc__)
settings = {"base_url": args.url + "/v1", "api_key": args.key, "max_retries": 0, "timeout": 60}


def request():
    messages = [{"role": "user", "content": args.prompt}]
    what = {"model": args.model, "messages": messages, "extra_headers": args.headers}
    if args.stream:
        what["stream"] = True
        if args.usage:
            what["stream_options"] = {"include_usage": True}
    if args.choices != 1:
        what["n"] = args.choices
    if args.rich:
        messages.insert(0, {"role": "system", "content": "You are terse."})
        what.update(
            temperature=0.5, top_p=0.9, frequency_penalty=0.25, presence_penalty=-0.25, seed=42,
            max_completion_tokens=512, stop=["END", "STOP"], response_format={"type": "json_object"},
            reasoning_effort="low", service_tier="default",
        )
    if args.tools:
        call = {"id": "call_1", "type": "function", "function": {"name": "get_weather", "arguments": '{"location":"Oslo"}'}}
        messages += [
            {"role": "assistant", "content": None, "tool_calls": [call]},
            {"role": "tool", "tool_call_id": "call_1", "content": "rain"},
        ]
        function = {"name": "get_weather", "description": "Tells the weather.", "parameters": TOOL_PARAMETERS}
        what["tools"] = [{"type": "function", "function": function}]
    return what


class Answer:
    """What came, whole or in chunks."""

    def __init__(self):
        self.id, self.texts, self.finish, self.arguments = None, {}, {}, ""

    def chunk(self, chunk):
        self.id = chunk.id
        for choice in chunk.choices:
            delta = choice.delta if hasattr(choice, "delta") else choice.message
            self.texts[choice.index] = self.texts.get(choice.index, "") + (delta.content or "")
            self.finish[choice.index] = choice.finish_reason
            for call in delta.tool_calls or []:
                self.arguments += call.function.arguments or ""
        if args.echo:
            tell(event="chunk")
        return self

    def told(self):
        texts = [self.texts[i] for i in sorted(self.texts)]
        return {"id": self.id, "texts": texts, "finish": [self.finish[i] for i in sorted(self.finish)], "arguments": self.arguments}


if args.http2:
    transport = openai.DefaultAsyncHttpx2Client if args.asynchronous else openai.DefaultHttpx2Client
    settings["http_client"] = transport(http2=True)
client = openai.AsyncOpenAI(**settings) if args.asynchronous else openai.OpenAI(**settings)


def call():
    answer = Answer()
    response = client.chat.completions.create(**request())
    for chunk in response if args.stream else [response]:
        answer.chunk(chunk)
        if args.leave:
            response.close()
            break
    return answer.told()


async def call_async():
    answer = Answer()
    response = await client.chat.completions.create(**request())
    if args.stream:
        async for chunk in response:
            answer.chunk(chunk)
    else:
        answer.chunk(response)
    return answer.told()


run(args, call, call_async, (openai.APIError, httpx2.HTTPError))
