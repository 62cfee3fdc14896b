"""Two LLM calls through the library that the argument names: a plain answer, and a stream."""

import asyncio
import json
import os
import ssl
import sys
import time

URL, CA = os.environ["MATRIX_URL"], os.environ["MATRIX_CA"]
CHAT = URL + "/v1/chat/completions"
HEADERS = {"content-type": "application/json", "authorization": "Bearer k"}
MESSAGES = [{"role": "user", "content": "hello"}]


def body(stream):
    return {"model": "gpt-4o-mini", "stream": stream, "messages": MESSAGES}


def loaded():
    """Does what a program does between loading an extension and its first call."""
    time.sleep(float(os.environ.get("MATRIX_WAIT", 0)))


def with_openai():
    import openai

    client = openai.OpenAI(base_url=URL + "/v1", api_key="k", max_retries=0)
    for stream in (False, True):
        answer = client.chat.completions.create(**body(stream))
        for _ in answer if stream else [answer]:
            pass


def with_anthropic():
    import anthropic

    client = anthropic.Anthropic(base_url=URL, api_key="k", max_retries=0)
    for stream in (False, True):
        answer = client.messages.create(model="claude-sonnet-5", max_tokens=64, messages=MESSAGES, stream=stream)
        for _ in answer if stream else [answer]:
            pass


def with_aiohttp():
    import aiohttp

    async def calls():
        context = ssl.create_default_context(cafile=CA)
        async with aiohttp.ClientSession(raise_for_status=True) as session:
            for stream in (False, True):
                async with session.post(CHAT, json=body(stream), headers=HEADERS, ssl=context) as answer:
                    await answer.read()

    asyncio.run(calls())


def with_httpx():
    import httpx

    with httpx.Client(http2=True, verify=ssl.create_default_context(cafile=CA)) as client:
        for stream in (False, True):
            answer = client.post(CHAT, json=body(stream), headers=HEADERS)
            answer.raise_for_status()
            assert answer.http_version == "HTTP/2", answer


def with_websockets():
    from websockets.sync.client import connect

    url = URL.replace("https:", "wss:") + "/v1/responses"
    context = ssl.create_default_context(cafile=CA)
    with connect(url, ssl=context, additional_headers={"authorization": "Bearer k"}) as socket:
        for _ in range(2):
            socket.send(json.dumps({"type": "response.create", "model": "gpt-5", "input": "hello"}))
            while json.loads(socket.recv())["type"] != "response.completed":
                pass


def with_genai():
    from google import genai

    options = {"base_url": URL, "client_args": {"verify": CA}}
    client = genai.Client(api_key="k", http_options=options)
    client.models.generate_content(model="gemini-2.5-flash", contents="hello")
    for _ in client.models.generate_content_stream(model="gemini-2.5-flash", contents="hello"):
        pass


def with_pycurl():
    import pycurl

    loaded()
    curl = pycurl.Curl()
    for stream in (False, True):
        curl.setopt(pycurl.URL, CHAT)
        curl.setopt(pycurl.CAINFO, CA)
        curl.setopt(pycurl.FAILONERROR, True)
        curl.setopt(pycurl.HTTP_VERSION, pycurl.CURL_HTTP_VERSION_2TLS)
        curl.setopt(pycurl.HTTPHEADER, [f"{name}: {value}" for name, value in HEADERS.items()])
        curl.setopt(pycurl.POSTFIELDS, json.dumps(body(stream)))
        curl.setopt(pycurl.WRITEFUNCTION, lambda _: None)
        curl.perform()
    curl.close()


def with_curl_cffi():
    from curl_cffi import requests

    loaded()
    with requests.Session(verify=CA, impersonate="chrome") as session:
        for stream in (False, True):
            session.post(CHAT, data=json.dumps(body(stream)), headers=HEADERS).raise_for_status()


def with_grpcio():
    import grpc

    loaded()
    with open(CA, "rb") as file:
        credentials = grpc.ssl_channel_credentials(file.read())
    with grpc.secure_channel(URL.removeprefix("https://"), credentials) as channel:
        call = channel.stream_stream("/matrix.Echo/Echo")
        for _ in range(2):
            assert list(call(iter([b"hello" * 100]))) == []


globals()["with_" + sys.argv[1]]()
