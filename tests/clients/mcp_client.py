"""Calls tools over MCP with the official SDK, and tells what it was answered."""

import argparse
import asyncio

import mcp_types
from common import tell
from mcp import Client, MCPError
from mcp.client.sse import sse_client

options = argparse.ArgumentParser()
options.add_argument("--url", required=True)
options.add_argument("--sse", action="store_true", help="speak the older transport, over HTTP and SSE")
options.add_argument("--mode", default="legacy", help="a version without sessions, or `legacy`")
options = options.parse_args()


async def roots(_):
    return mcp_types.ListRootsResult(roots=[mcp_types.Root(uri="file:///home/me")])


async def progress(done, total, _):
    tell(event="progress", done=done, total=total)


async def main():
    where = sse_client(options.url) if options.sse else options.url
    async with Client(where, mode=options.mode, list_roots_callback=roots) as client:
        tell(event="tools", names=[tool.name for tool in (await client.list_tools()).tools])
        sum = await client.call_tool("add", {"a": 2, "b": 3})
        tell(event="add", failed=sum.is_error, text=sum.content[0].text)
        failure = await client.call_tool("fail", {})
        tell(event="fail", failed=failure.is_error)
        if options.mode == "legacy":
            asked = await client.call_tool("ask", {}, progress_callback=progress)
            tell(event="ask", failed=asked.is_error, text=asked.content[0].text)
        await client.get_prompt("greet", {"name": "you"})
        await client.read_resource("data://numbers")
        try:
            await client.get_prompt("nothing", {})
        except MCPError as error:
            tell(event="error", code=error.error.code)


asyncio.run(main())
