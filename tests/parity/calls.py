"""The calls: of each library a table of cases, each of which is one call."""

from typing import Any, Callable, Iterable

Cases = dict[str, Callable[[], None]]

PARAMETERS = {
    "type": "object",
    "properties": {"location": {"type": "string"}, "unit": {"type": "string", "enum": ["celsius", "fahrenheit"]}},
    "required": ["location"],
}
TOOL = {"name": "get_weather", "description": "Tells the weather."}
QUESTION = "What is the weather in Oslo?"
SYSTEM = "You are terse."


def read(stream: Iterable[Any]) -> None:
    """Takes all of a stream."""
    for _ in stream:
        pass


def failing(error: type[Exception], call: Callable[[], Any]) -> Callable[[], None]:
    """A call that has to fail so."""

    def run() -> None:
        try:
            call()
        except error:
            return
        raise SystemExit("the call did not fail")

    return run


def openai(url: str) -> Cases:
    import openai

    client = openai.OpenAI(base_url=f"{url}/v1", api_key="sk-test", max_retries=0)
    chat, responses = client.chat.completions.create, client.responses.create
    call = {"id": "call_1", "type": "function", "function": {"name": "get_weather", "arguments": '{"location":"Oslo"}'}}
    history = [
        {"role": "system", "content": SYSTEM},
        {"role": "user", "content": QUESTION},
        {"role": "assistant", "content": None, "tool_calls": [call]},
        {"role": "tool", "tool_call_id": "call_1", "content": "rain"},
    ]
    picture = {"type": "image_url", "image_url": {"url": "https://example.com/cat.png"}}
    seen = [{"role": "user", "content": [{"type": "text", "text": QUESTION}, picture]}]
    tools = [{"type": "function", "function": {**TOOL, "parameters": PARAMETERS}}]
    flat = [{"type": "function", **TOOL, "parameters": PARAMETERS, "strict": False}]
    rich = {
        "temperature": 0.5, "top_p": 0.9, "frequency_penalty": 0.25, "presence_penalty": -0.25, "seed": 42,
        "max_completion_tokens": 512, "stop": ["END", "STOP"], "response_format": {"type": "json_object"},
        "reasoning_effort": "low", "service_tier": "flex", "n": 2,
    }
    usage = {"stream": True, "stream_options": {"include_usage": True}}
    return {
        "chat": lambda: chat(model="test-cached-reason", messages=history[:2], **rich),
        "chat, streamed": lambda: read(chat(model="test-cached-reason", messages=history[:2], **rich, **usage)),
        "tool": lambda: chat(model="test-tool", messages=history, tools=tools),
        "tool, streamed": lambda: read(chat(model="test-tool", messages=history, tools=tools, **usage)),
        "image": lambda: chat(model="test-length", messages=seen),
        "error": failing(openai.RateLimitError, lambda: chat(model="test-error-429", messages=history[:2])),
        "error, streamed": failing(openai.APIError, lambda: read(chat(model="test-fail", messages=history[:2], **usage))),
        "responses": lambda: responses(
            model="test-cached-reason", input=QUESTION, instructions=SYSTEM, temperature=0.5, max_output_tokens=512
        ),
        "responses, streamed": lambda: read(responses(model="test-cached-reason", input=QUESTION, stream=True)),
        "responses, tool": lambda: responses(model="test-tool", input=QUESTION, tools=flat),
        "responses, error": failing(openai.BadRequestError, lambda: responses(model="test-error-400", input=QUESTION)),
        "embeddings": lambda: client.embeddings.create(model="embed", input=[QUESTION], dimensions=2),
    }


def anthropic(url: str) -> Cases:
    import anthropic

    client = anthropic.Anthropic(base_url=url, api_key="sk-test", max_retries=0)
    create = client.messages.create
    asked = [{"role": "user", "content": QUESTION}]
    used = {"type": "tool_use", "id": "toolu_1", "name": "get_weather", "input": {"location": "Oslo"}}
    told = {"type": "tool_result", "tool_use_id": "toolu_1", "content": "rain"}
    history = [*asked, {"role": "assistant", "content": [used]}, {"role": "user", "content": [told]}]
    picture = {"type": "image", "source": {"type": "url", "url": "https://example.com/cat.png"}}
    seen = [{"role": "user", "content": [{"type": "text", "text": QUESTION}, picture]}]
    tools = [{**TOOL, "input_schema": PARAMETERS}]
    rich = {
        "system": SYSTEM, "stop_sequences": ["END", "STOP"], "service_tier": "standard_only", "max_tokens": 512,
        # The API takes them; this version of the library has no names for them any more.
        "extra_body": {"temperature": 0.5, "top_p": 0.9, "top_k": 40},
    }
    plain = {"max_tokens": 512}
    return {
        "messages": lambda: create(model="test-cached-reason", messages=asked, **rich),
        "messages, streamed": lambda: read(create(model="test-cached-reason", messages=asked, stream=True, **rich)),
        "tool": lambda: create(model="test-tool", messages=history, tools=tools, **plain),
        "tool, streamed": lambda: read(create(model="test-tool", messages=history, tools=tools, stream=True, **plain)),
        "image": lambda: create(model="test-length", messages=seen, **plain),
        "error": failing(anthropic.RateLimitError, lambda: create(model="test-error-429", messages=asked, **plain)),
        "error, streamed": failing(
            anthropic.APIError, lambda: read(create(model="test-fail", messages=asked, stream=True, **plain))
        ),
    }


def google(url: str) -> Cases:
    from google import genai
    from google.genai import errors, types

    client = genai.Client(api_key="test", http_options=types.HttpOptions(base_url=url))
    text = types.Part.from_text
    called = types.Part.from_function_call(name="get_weather", args={"location": "Oslo"})
    told = types.Part.from_function_response(name="get_weather", response={"result": "rain"})
    history = [
        types.Content(role="user", parts=[text(text=QUESTION)]),
        types.Content(role="model", parts=[called]),
        types.Content(role="user", parts=[told]),
    ]
    picture = types.Part.from_uri(file_uri="https://example.com/cat.png", mime_type="image/png")
    declared = types.FunctionDeclaration(**TOOL, parameters_json_schema=PARAMETERS)
    tools = types.GenerateContentConfig(tools=[types.Tool(function_declarations=[declared])])
    rich = types.GenerateContentConfig(
        system_instruction=SYSTEM, temperature=0.5, top_p=0.9, top_k=40, max_output_tokens=512, seed=42,
        stop_sequences=["END", "STOP"], frequency_penalty=0.25, presence_penalty=-0.25,
        response_mime_type="application/json",
    )

    # Each call names the client, which closes its connections when nothing does any more.
    def ask(**what: Any) -> None:
        client.models.generate_content(**what)

    def stream(**what: Any) -> None:
        read(client.models.generate_content_stream(**what))

    return {
        "content": lambda: ask(model="test-cached-reason", contents=QUESTION, config=rich),
        "content, streamed": lambda: stream(model="test-cached-reason", contents=QUESTION, config=rich),
        "tool": lambda: ask(model="test-tool", contents=history, config=tools),
        "tool, streamed": lambda: stream(model="test-tool", contents=history, config=tools),
        "image": lambda: ask(model="test-length", contents=[text(text=QUESTION), picture]),
        "error": failing(errors.APIError, lambda: ask(model="test-error-429", contents=QUESTION)),
        "embeddings": lambda: client.models.embed_content(
            model="gemini-embedding", contents=QUESTION, config=types.EmbedContentConfig(output_dimensionality=2)
        ),
    }


def bedrock(url: str) -> Cases:
    import boto3
    from botocore.config import Config
    from botocore.exceptions import ClientError

    client = boto3.client(
        "bedrock-runtime", endpoint_url=url, region_name="us-east-1", aws_access_key_id="test",
        aws_secret_access_key="test", config=Config(retries={"total_max_attempts": 1}),
    )
    asked = [{"role": "user", "content": [{"text": QUESTION}]}]
    used = {"toolUse": {"toolUseId": "tooluse_1", "name": "get_weather", "input": {"location": "Oslo"}}}
    told = {"toolResult": {"toolUseId": "tooluse_1", "content": [{"text": "rain"}]}}
    history = [*asked, {"role": "assistant", "content": [used]}, {"role": "user", "content": [told]}]
    tools = {"tools": [{"toolSpec": {**TOOL, "inputSchema": {"json": PARAMETERS}}}]}
    rich = {
        "system": [{"text": SYSTEM}],
        "inferenceConfig": {"temperature": 0.5, "topP": 0.9, "maxTokens": 512, "stopSequences": ["END", "STOP"]},
    }

    def stream(**what: Any) -> None:
        read(client.converse_stream(**what)["stream"])

    def embed() -> None:
        client.invoke_model(modelId="amazon.titan-embed-text-v2:0", body='{"inputText": "Oslo", "dimensions": 2}')

    return {
        "converse": lambda: client.converse(modelId="test-cached", messages=asked, **rich),
        "converse, streamed": lambda: stream(modelId="test-cached", messages=asked, **rich),
        "tool": lambda: client.converse(modelId="test-tool", messages=history, toolConfig=tools),
        "tool, streamed": lambda: stream(modelId="test-tool", messages=history, toolConfig=tools),
        "error": failing(ClientError, lambda: client.converse(modelId="test-error-429", messages=asked)),
        "embeddings": embed,
    }
