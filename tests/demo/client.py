"""Calls the provider of `cargo xtask demo`, plain and streamed, with Python's standard library alone."""

import json
import os
import ssl
import urllib.request

TRUST = ssl.create_default_context(cafile=os.environ["DEMO_CA"])
KEYS = {
    "content-type": "application/json",
    "anthropic-version": "2023-06-01",
    "authorization": "Bearer demo",
    "x-api-key": "demo",
}


def call(path, **body):
    body["messages"] = [{"role": "user", "content": "And what does a trace?"}]
    request = urllib.request.Request(os.environ["DEMO_URL"] + path, json.dumps(body).encode(), KEYS)
    with urllib.request.urlopen(request, context=TRUST, timeout=30) as response:
        # Line by line, as one reads a stream of events.
        for _ in response:
            pass


call("/v1/chat/completions", model="gpt-4o")
call("/v1/chat/completions", model="gpt-4o", stream=True, stream_options={"include_usage": True})
call("/v1/messages", model="claude-haiku-4-5", max_tokens=128)
call("/v1/messages", model="claude-haiku-4-5", max_tokens=128, stream=True)
