"""Sessions over WebSockets with the `websockets` package: OpenAI Responses, or Realtime."""

import argparse
import asyncio
import json
import os
import sys

from common import tell
from websockets.asyncio.client import connect

ENDS = ("response.completed", "response.failed", "response.incomplete", "response.done", "error")


async def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--url", required=True, help="the provider's, without a path")
    parser.add_argument("--model", required=True)
    parser.add_argument("--api", choices=["responses", "realtime"], required=True)
    parser.add_argument("--key", default="sk-test-0123456789abcdef")
    parser.add_argument("--count", type=int, default=2)
    parser.add_argument("--plain", action="store_true", help="without compression")
    args = parser.parse_args()
    tell(event="ready", pid=os.getpid())
    url = args.url.replace("https://", "wss://") + "/v1/" + args.api
    if args.api == "realtime":
        url += "?model=" + args.model
    options = {"additional_headers": {"Authorization": "Bearer " + args.key}, "max_size": None}
    options["compression"] = None if args.plain else "deflate"
    async with connect(url, **options) as socket:
        session = responses(socket, args) if args.api == "responses" else realtime(socket, args)
        async for answered in session:
            tell(event="done", **answered)


async def answer(socket):
    """The last event of the response that comes next."""
    while True:
        event = json.loads(await socket.recv())
        if event["type"] in ENDS:
            return {"type": event["type"], "id": event.get("response", {}).get("id")}


async def responses(socket, args):
    before = None
    for turn in range(args.count):
        request = {"type": "response.create", "model": args.model, "input": f"turn {turn}", "previous_response_id": before}
        await socket.send(json.dumps(request))
        told = await answer(socket)
        before = told["id"]
        yield told


async def realtime(socket, args):
    """By turns spoken, which the server answers by itself, and written, which asks for an answer."""
    if json.loads(await socket.recv())["type"] != "session.created":
        sys.exit("no session was created")
    await socket.send(json.dumps({"type": "session.update", "session": {"instructions": "Be brief.", "output_modalities": ["audio"]}}))
    for turn in range(args.count):
        if turn % 2 == 0:
            await socket.send(json.dumps({"type": "input_audio_buffer.append", "audio": "AAAA" * 1000}))
        else:
            content = [{"type": "input_text", "text": f"turn {turn}"}]
            item = {"type": "message", "role": "user", "content": content}
            await socket.send(json.dumps({"type": "conversation.item.create", "item": item}))
            await socket.send(json.dumps({"type": "response.create"}))
        yield await answer(socket)


asyncio.run(main())
