"""Says of every recorded exchange what calls it holds and what their spans have to say: a JSON object a line.

    oracle.py FOLDER

Written from the providers' documentation and with their own libraries, and from the decisions of our contract; it knows
nothing of the agent. Each line is `{"source": ..., "calls": [{"name": ..., "attributes": {...}}...]}`, in the order of the
recordings; what is no call has none.
"""

import json
import sys
from pathlib import Path

import anthropic_api
import bedrock_api
import cohere_api
import google_api
import mistral_api
import ollama_api
import openai_api
import other_apis
import realtime
from conventions import Call
from recording import Exchange, Session, read


def provider(host: str, api: str) -> str:
    """Who serves, by the host; on one that the conventions do not name, whose API it is."""
    named = {
        "api.openai.com": "openai",
        "api.anthropic.com": "anthropic",
        "generativelanguage.googleapis.com": "gcp.gemini",
        "api.deepseek.com": "deepseek",
        "api.groq.com": "groq",
        "api.mistral.ai": "mistral_ai",
        "api.cohere.com": "cohere",
    }
    ends = {
        ".openai.azure.com": "azure.ai.openai",
        "aiplatform.googleapis.com": "gcp.vertex_ai",
    }
    if host in named:
        return named[host]
    if host.startswith("bedrock-"):
        return "aws.bedrock"
    return next((name for end, name in ends.items() if host.endswith(end)), api)


def of_exchange(exchange: Exchange) -> Call | None:
    """The call, or `None` if it is none."""
    host = exchange.host
    if host == "api.mistral.ai":
        return mistral_api.call(exchange, provider(host, "mistral_ai"))
    if host == "api.cohere.com":
        return cohere_api.call(exchange, provider(host, "cohere"))
    if host in ("api.writer.com", "api.voyageai.com"):
        return other_apis.call(exchange)
    readers = [
        (anthropic_api, "anthropic"),
        (google_api, "gcp.gen_ai"),
        (bedrock_api, "aws.bedrock"),
        (ollama_api, "ollama"),
        (openai_api, "openai"),
    ]
    calls = (api.call(exchange, provider(host, name)) for api, name in readers)
    return next((call for call in calls if call is not None), None)


def calls(recorded: Exchange | Session) -> list[Call]:
    """All calls of a recording."""
    if isinstance(recorded, Session):
        return realtime.calls(recorded)
    call = of_exchange(recorded)
    return [call] if call else []


def main() -> None:
    for recorded in read(Path(sys.argv[1])):
        try:
            told = [{"name": call.name(), "attributes": call.attributes()} for call in calls(recorded)]
        except Exception as error:
            raise SystemExit(f"{recorded.source}: {error!r}") from error
        print(json.dumps({"source": recorded.source, "calls": told}))


if __name__ == "__main__":
    main()
