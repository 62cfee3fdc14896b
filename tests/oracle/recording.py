"""Reads recorded exchanges, and gives what a client's library would have been handed of each."""

import base64
import gzip
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Iterator
from urllib.parse import parse_qs, urlsplit

GZIP = b"\x1f\x8b"


@dataclass
class Exchange:
    """One request and the answer to it."""

    source: str
    method: str
    host: str
    path: str
    """As it was sent: still percent-encoded, without the query."""
    query: dict[str, list[str]]
    request: bytes
    status: int
    headers: list[tuple[str, str]]
    """Of the answer, without those that say how its body was moved."""
    body: bytes
    """Of the answer, before any content encoding."""

    def asked(self) -> dict[str, Any]:
        """The request's JSON object; empty where it is none."""
        try:
            asked = json.loads(self.request)
        except ValueError:
            return {}
        return asked if isinstance(asked, dict) else {}

    def answered(self) -> dict[str, Any]:
        """The answer's JSON object; empty where it is none."""
        try:
            answered = json.loads(self.body)
        except ValueError:
            return {}
        return answered if isinstance(answered, dict) else {}

    def header(self, name: str) -> str | None:
        """The value of a header of the answer, by its name in lower case."""
        return next((value for key, value in self.headers if key.lower() == name), None)

    def is_events(self) -> bool:
        """Did the answer come as server-sent events?"""
        return (self.header("content-type") or "").startswith("text/event-stream")


@dataclass
class Session:
    """What was said over one WebSocket."""

    source: str
    messages: list[tuple[bool, dict[str, Any]]]
    """Each with whether the client sent it."""


# What the recorder has undone already, or may have.
MOVING = {"content-encoding", "content-length", "transfer-encoding", "connection"}


def decoded(text: str | None) -> bytes:
    body = base64.b64decode(text or "")
    return gzip.decompress(body) if body.startswith(GZIP) else body


def exchange(line: dict[str, Any]) -> Exchange:
    request, response = line["request"], line["response"]
    url = urlsplit(request["url"])
    return Exchange(
        source=line["source"],
        method=request["method"],
        host=(url.hostname or "").lower(),
        path=url.path,
        query=parse_qs(url.query),
        request=decoded(request["body_b64"]),
        status=response["status"],
        headers=[(name, value) for name, value in response["headers"] if name.lower() not in MOVING],
        body=decoded(response["body_b64"]),
    )


def session(line: dict[str, Any]) -> Session:
    said = [m for m in line["messages"] if m.get("kind") == "message"]
    # Both forms occur: JSON as it is, and JSON as a text.
    data = [json.loads(m["data"]) if isinstance(m["data"], str) else m["data"] for m in said]
    return Session(line["source"], [(m["direction"] == "sent", d) for m, d in zip(said, data)])


def read(folder: Path) -> Iterator[Exchange | Session]:
    """All recordings of a folder, in the order of their files' names."""
    for file in sorted(folder.glob("*.jsonl")):
        with file.open(encoding="utf-8") as lines:
            for line in lines:
                recorded = json.loads(line)
                yield session(recorded) if "messages" in recorded else exchange(recorded)
