"""Posts a chat request for each line of standard input, which names the model. TLS is loaded with the first one, from
a file in memory if asked to. Tells what it does in lines of JSON."""

import argparse
import ctypes
import json
import os
import sys

options = argparse.ArgumentParser()
options.add_argument("--port", type=int, required=True)
options.add_argument("--load", action="store_true", help="load TLS at once")
options.add_argument("--memory", metavar="FILE", help="load TLS from a copy in memory of this library")
options = options.parse_args()


def tell(event, **facts):
    print(json.dumps({"event": event, **facts}), flush=True)


def load():
    if options.memory:
        copy = os.memfd_create("library")
        with open(options.memory, "rb") as library:
            os.sendfile(copy, library.fileno(), 0, os.fstat(library.fileno()).st_size)
        ctypes.CDLL(f"/proc/self/fd/{copy}")
    import http.client
    import ssl

    return http.client, ssl


def call(model):
    client, ssl = load()
    trust = ssl.create_default_context(cafile=os.environ["SSL_CERT_FILE"])
    connection = client.HTTPSConnection("localhost", options.port, context=trust)
    body = json.dumps({"model": model, "messages": []})
    headers = {"content-type": "application/json", "authorization": "Bearer k"}
    connection.request("POST", "/v1/chat/completions", body, headers)
    return json.load(connection.getresponse())["id"]


if options.load:
    load()
tell("ready", pid=os.getpid())
for line in sys.stdin:
    tell("done", id=call(line.strip()))
