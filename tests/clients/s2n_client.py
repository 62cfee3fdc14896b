"""Calls by the AWS Common Runtime, whose TLS is s2n: `s2n_client.py URL CA MODEL`, one plain and one streamed."""

import io
import json
import sys
from urllib.parse import urlparse

from awscrt import http
from awscrt import io as runtime

PATIENCE = 20


def main():
    url, ca, model = urlparse(sys.argv[1]), sys.argv[2], sys.argv[3]
    options = runtime.TlsContextOptions()
    options.override_default_trust_store_from_path(None, ca)
    tls = runtime.ClientTlsContext(options).new_connection_options()
    tls.set_server_name(url.hostname)
    tls.set_alpn_list(["http/1.1"])
    loops = runtime.EventLoopGroup(1)
    bootstrap = runtime.ClientBootstrap(loops, runtime.DefaultHostResolver(loops))
    connecting = http.HttpClientConnection.new(url.hostname, url.port, bootstrap, tls_connection_options=tls)
    connection = connecting.result(PATIENCE)
    for stream in (False, True):
        body = json.dumps({"model": model, "stream": stream, "messages": []}).encode()
        headers = http.HttpHeaders([
            ("host", url.netloc),
            ("content-type", "application/json"),
            ("authorization", "Bearer k"),
            ("content-length", str(len(body))),
        ])
        request = http.HttpRequest("POST", url.path, headers, io.BytesIO(body))
        exchange = connection.request(request, lambda **_: None, lambda **_: None)
        exchange.activate()
        status = exchange.completion_future.result(PATIENCE)
        if status != 200:
            sys.exit(f"answered with {status}")
    connection.close().result(PATIENCE)


main()
