#!/bin/sh
# The calls of `cargo xtask demo`, by clients that know nothing of plainspan. DEMO_URL: the provider; DEMO_CA: the
# certificate authority to trust.
set -eu
: "${DEMO_URL:?names the provider}" "${DEMO_CA:?names its certificate authority}"
here=$(dirname "$0")

# call PATH BODY: as a person would with curl. The key is as false as the provider.
call() {
    curl --silent --show-error --fail --no-buffer --output /dev/null --cacert "$DEMO_CA" \
        --header 'content-type: application/json' --header 'anthropic-version: 2023-06-01' \
        --header 'authorization: Bearer demo' --header 'x-api-key: demo' \
        --data "$2" "$DEMO_URL$1"
}

if command -v curl >/dev/null; then
    question='"messages": [{"role": "user", "content": "What does a span tell?"}]'
    call /v1/chat/completions "{\"model\": \"gpt-4o-mini\", \"temperature\": 0.2, $question}"
    call /v1/chat/completions "{\"model\": \"gpt-4o-mini\", \"stream\": true,
        \"stream_options\": {\"include_usage\": true}, $question}"
    call /v1/messages "{\"model\": \"claude-sonnet-4-5\", \"max_tokens\": 256, $question}"
    call /v1/messages "{\"model\": \"claude-sonnet-4-5\", \"max_tokens\": 256, \"stream\": true, $question}"
fi

# Python is asked whether it has TLS: some builds do without.
if command -v python3 >/dev/null && python3 -c 'import ssl' 2>/dev/null; then
    python3 "$here/client.py"
fi
