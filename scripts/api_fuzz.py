"""Hooks of scripts/api-fuzz: what a made-up request cannot know by itself, and what lines are."""

import json
import time

import schemathesis

EPOCH_MS = 100
LINES = "application/x-ndjson"


@schemathesis.hook
def before_call(context, case, kwargs):
    """A stream that nobody ends would be read for ever: it ends a few epochs from now."""
    if case.operation.path.endswith("/live") and case.operation.path != "/v1/live":
        query = dict(case.query or {})
        query.setdefault("up_to", int(time.time() * 1000) // EPOCH_MS + 5)
        case.query = query


@schemathesis.serializer(LINES)
def as_lines(context, value):
    """Whatever is made up is sent as it is, or as JSON on a line."""
    if isinstance(value, bytes):
        return value
    return (value if isinstance(value, str) else json.dumps(value) + "\n").encode()


@schemathesis.deserializer(LINES)
def first_line(context, response):
    """The tool looks at one value: the first line. All of them are looked at below."""
    return json.loads(response.content.split(b"\n", 1)[0] or b"{}")


@schemathesis.check
def lines_are_json(context, response, case):
    """Every line is an object; of a stream, with an event and data, and ids from which it goes on."""
    if LINES not in response.headers.get("content-type", [""])[0]:
        return
    id = None
    for line in response.content.splitlines():
        value = json.loads(line)
        assert isinstance(value, dict), line
        if case.operation.path.endswith("/live"):
            assert value["event"] in ("snapshot", "changes", "progress", "lagged", "end"), line
            after = value["data"].get("after")
            assert id is None or after is None or after == id, line
            id = value.get("id")
