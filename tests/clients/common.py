"""What the clients share: options, and a line of JSON on stdout for everything that happens."""

import argparse
import asyncio
import json
import os
import sys
from concurrent.futures import ThreadPoolExecutor

TOOL_PARAMETERS = {
    "type": "object",
    "properties": {"location": {"type": "string"}, "unit": {"type": "string", "enum": ["celsius", "fahrenheit"]}},
    "required": ["location"],
}


def options(description):
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--url", required=True, help="the provider's, without a path")
    parser.add_argument("--model", required=True)
    parser.add_argument("--key", default="sk-test-0123456789abcdef")
    parser.add_argument("--prompt", default="Say something short.", help="text, or @FILE")
    parser.add_argument("--prompt-bytes", type=int, default=0, help="fill the prompt up to this length")
    parser.add_argument("--asynchronous", action="store_true")
    parser.add_argument("--stream", action="store_true")
    parser.add_argument("--usage", action="store_true", help="ask for usage in a stream")
    parser.add_argument("--rich", action="store_true", help="set every parameter that there is")
    parser.add_argument("--tools", action="store_true", help="offer a tool, with one call and its answer in the history")
    parser.add_argument("--choices", type=int, default=1)
    parser.add_argument("--count", type=int, default=1)
    parser.add_argument("--concurrency", type=int, default=1)
    parser.add_argument("--step", action="store_true", help="wait for a line on stdin before each call")
    parser.add_argument("--http2", action="store_true", help="offer HTTP/2")
    parser.add_argument("--leave", action="store_true", help="leave a stream after its first chunk")
    parser.add_argument("--echo", action="store_true", help="tell of each chunk")
    parser.add_argument("--header", action="append", default=[], metavar="NAME=VALUE")
    args = parser.parse_args()
    if args.prompt.startswith("@"):
        with open(args.prompt[1:], encoding="utf-8") as file:
            args.prompt = file.read()
    args.prompt += "x" * max(0, args.prompt_bytes - len(args.prompt))
    args.headers = dict(h.split("=", 1) for h in args.header)
    return args


def tell(**what):
    sys.stdout.write(json.dumps(what) + "\n")
    sys.stdout.flush()


def step(args):
    if args.step and not sys.stdin.readline():
        sys.exit("stdin ended before the last step")


def run(args, call, call_async, errors):
    """Makes the calls; `call` and `call_async` return what they were answered."""
    failed = 0

    def failure(error):
        tell(event="error", kind=type(error).__name__, status=getattr(error, "status_code", None))

    def one(_):
        step(args)
        try:
            tell(event="done", **call())
        except errors as error:
            failure(error)
            return 1
        return 0

    async def one_async(gate):
        async with gate:
            step(args)
            try:
                tell(event="done", **await call_async())
            except errors as error:
                failure(error)
                return 1
            return 0

    async def all_async():
        gate = asyncio.Semaphore(args.concurrency)
        return await asyncio.gather(*(one_async(gate) for _ in range(args.count)))

    tell(event="ready", pid=os.getpid())
    if args.asynchronous:
        failed = sum(asyncio.run(all_async()))
    elif args.concurrency > 1:
        with ThreadPoolExecutor(args.concurrency) as pool:
            failed = sum(pool.map(one, range(args.count)))
    else:
        failed = sum(one(i) for i in range(args.count))
    sys.exit(1 if failed else 0)
