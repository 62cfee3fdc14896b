"""A closed loop over one kept-alive TLS connection, for measuring what being watched costs.

Prints how many calls a second it made. Nothing but the standard library, so that the client's own work is small.
"""

import argparse
import http.client
import json
import ssl
import time

parser = argparse.ArgumentParser()
parser.add_argument("--port", type=int, required=True)
parser.add_argument("--ca", required=True)
parser.add_argument("--seconds", type=float, default=3)
parser.add_argument("--stream", action="store_true", help="an answer of 200 events instead of one JSON document")
parser.add_argument("--plain", action="store_true", help="no LLM call but other traffic")
options = parser.parse_args()

connection = http.client.HTTPSConnection(
    "localhost", options.port, context=ssl.create_default_context(cafile=options.ca)
)
headers = {"content-type": "application/json", "authorization": "Bearer sk-loop"}
model = "test-events-200" if options.stream else "gpt-4o-mini"
body = json.dumps(
    {"model": model, "stream": options.stream, "messages": [{"role": "user", "content": "x" * 2000}]}
)
if options.plain:
    request = ("GET", "/plain?bytes=2000", None, headers)
else:
    request = ("POST", "/v1/chat/completions", body, headers)
calls, end = 0, time.monotonic() + options.seconds
while time.monotonic() < end:
    connection.request(*request)
    connection.getresponse().read()
    calls += 1
print(json.dumps({"calls_per_second": calls / options.seconds}))
