"""A gateway: serves the calls of one client, given as a command line, by making each of them to the provider. It serves each
connection on a thread, and makes the calls there or, if asked to, on another."""

import argparse
import concurrent.futures
import http.client
import http.server
import os
import ssl
import subprocess
import threading

options = argparse.ArgumentParser()
options.add_argument("--certificate", required=True, help="file with certificate and key")
options.add_argument("--provider", type=int, required=True, help="port")
options.add_argument("--carry", action="store_true", help="pass the trace context on")
options.add_argument("--elsewhere", action="store_true", help="make the calls on a thread of their own")
options.add_argument("client", nargs="+", help="command line, PORT standing for the gateway's")
options = options.parse_args()

trust = ssl.create_default_context(cafile=os.environ["SSL_CERT_FILE"])
pool = concurrent.futures.ThreadPoolExecutor(1)


def ask(path, body, headers):
    connection = http.client.HTTPSConnection("localhost", options.provider, context=trust)
    connection.request("POST", path, body, headers)
    response = connection.getresponse()
    return response.status, response.read()


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self):
        body = self.rfile.read(int(self.headers["content-length"]))
        wanted = ["content-type", "authorization"] + ["traceparent"] * options.carry
        headers = {name: self.headers[name] for name in wanted if self.headers[name]}
        if options.elsewhere:
            status, answer = pool.submit(ask, self.path, body, headers).result()
        else:
            status, answer = ask(self.path, body, headers)
        self.send_response(status)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def log_message(self, *_):
        pass


server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
context.load_cert_chain(options.certificate)
# Handshakes belong to the threads that serve.
server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
threading.Thread(target=server.serve_forever, daemon=True).start()
port = str(server.server_address[1])
subprocess.run([word.replace("PORT", port) for word in options.client], check=True)
server.shutdown()
