"""A consumer that knows the names of the GenAI conventions 0.1.0 and no older ones: reads a file of OTLP JSON lines, and prints what it
makes of each span as a JSON line."""

import json
import sys


def value(any_value):
    """The value of an OTLP AnyValue."""
    for kind, held in any_value.items():
        if kind == "arrayValue":
            return [value(item) for item in held.get("values", [])]
        return int(held) if kind == "intValue" else held
    return None


def answer(messages):
    """The text of the first answer, else the name of the first tool that it calls."""
    for message in json.loads(messages or "[]"):
        for part in message["parts"]:
            if part["type"] == "text":
                return part["content"]
            if part["type"] == "tool_call":
                return part["name"]
    return None


def read(span):
    held = {a["key"]: value(a["value"]) for a in span["attributes"]}
    return {
        "source": held["plainspan.replay.source"],
        "provider": held.get("gen_ai.provider.name"),
        "model": held.get("gen_ai.request.model"),
        "input": held.get("gen_ai.usage.input_tokens"),
        "output": held.get("gen_ai.usage.output_tokens"),
        "cache_write": held.get("gen_ai.usage.cache_write.input_tokens"),
        "reason": (held.get("gen_ai.response.finish_reasons") or [None])[0],
        "answer": answer(held.get("gen_ai.output.messages")),
    }


with open(sys.argv[1], encoding="utf-8") as lines:
    for line in lines:
        for resource in json.loads(line)["resourceSpans"]:
            for scope in resource["scopeSpans"]:
                for span in scope["spans"]:
                    print(json.dumps(read(span)))
