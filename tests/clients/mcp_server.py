"""Serves tools, a prompt and a resource over MCP, and runs a client of them, given as a command line."""

import argparse
import subprocess
import threading

import uvicorn
from mcp.server.mcpserver import Context, MCPServer

options = argparse.ArgumentParser()
options.add_argument("--certificate", required=True, help="file with certificate and key")
options.add_argument("--sse", action="store_true", help="speak the older transport, over HTTP and SSE")
options.add_argument("--json", action="store_true", help="answer with JSON instead of streams")
options.add_argument("client", nargs="+", help="command line, PORT standing for the server's")
options = options.parse_args()

served = MCPServer("arithmetic")


@served.tool()
def add(a: int, b: int) -> int:
    return a + b


@served.tool()
def fail() -> str:
    raise ValueError("it always does")


@served.tool()
async def ask(context: Context) -> str:
    """Tells how far it is, and asks the client something."""
    await context.report_progress(1, 2)
    roots = await context.session.list_roots()
    return str(roots.roots[0].uri)


@served.prompt()
def greet(name: str) -> str:
    return f"Say hello to {name}"


@served.resource("data://numbers")
def numbers() -> str:
    return "1 2 3"


app = served.sse_app() if options.sse else served.streamable_http_app(json_response=options.json)
config = uvicorn.Config(
    app, port=0, ssl_certfile=options.certificate, ssl_keyfile=options.certificate, log_level="warning"
)
server = uvicorn.Server(config)
thread = threading.Thread(target=server.run)
thread.start()
while not server.started:
    thread.join(0.01)
port = str(server.servers[0].sockets[0].getsockname()[1])
try:
    subprocess.run([word.replace("PORT", port) for word in options.client], check=True)
finally:
    server.should_exit = True
    thread.join()
