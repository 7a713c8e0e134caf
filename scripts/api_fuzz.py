"""Hooks of scripts/api-fuzz: what a made-up request cannot know by itself, and what lines are."""

import json
import random
import time
import urllib.request

import schemathesis

EPOCH_MS = 100
LINES = "application/x-ndjson"


EVENTS = [
    {"type": "fact", "record": 7, "unit": "U", "service": "S", "provided_on": "2018-03-01",
     "received_at": "2018-03-01T10:00:00+07:00", "vendor": "V"},
    {"type": "sms", "record": 7, "text": "4", "received_at": "2018-03-02T09:15:00+07:00"},
    {"type": "kiosk", "record": 8, "unit": "U", "service": "S", "provided_on": "2018-03-01",
     "scores": {"1": 5, "2": 3}, "received_at": "2018-03-01T10:00:00Z"},
    {"type": "remove", "of": "unit", "id": "U"},
]

columns = {}


@schemathesis.hook
def before_call(context, case, kwargs):
    """Half of the requests are made such that they are understood: what is made up seldom is."""
    path, query = case.operation.path, dict(case.query or {})
    chance = random.Random(repr((path, case.path_parameters, query)))
    if "{view}" in path and chance.random() < 0.5:
        query = understood(case, query, chance)
    if path.endswith("/live") and path != "/v1/live":
        # A stream that nobody ends would be read for ever: it ends a few epochs from now.
        query.setdefault("up_to", int(time.time() * 1000) // EPOCH_MS + 2)
    if "min_epoch" in query:
        # Most that are made up will not come.
        query["wait_seconds"] = 0
    case.query = query
    if path == "/v1/events" and case.method == "POST" and chance.random() < 0.5:
        case.headers.pop("Content-Encoding", None)
        case.body = "".join(json.dumps(chance.choice(EVENTS)) + "\n" for _ in range(3))


def understood(case, query, chance):
    """Without what is no column of the view, and with columns where some are wanted."""
    if not columns:
        with urllib.request.urlopen(f"{case.operation.base_url.rstrip('/')}/v1/views") as answer:
            for view in json.load(answer)["views"]:
                single = [column["name"] for column in view["columns"]
                          if not {"object", "array"} & set(as_list(column.get("type")))]
                columns[view["name"]] = single
    view = (case.path_parameters or {}).get("view")
    if view not in columns:
        view = chance.choice(sorted(columns))
        case.path_parameters = {"view": view}
    names = chance.sample(columns[view], min(2, len(columns[view])))
    known = {name: value for name, value in query.items()
             if name in ("limit", "format", "wait_seconds", "snapshot", "on_slow")}
    if not case.operation.path.endswith("/live"):
        known |= {"fields": ",".join(names), "sort": ",".join(f"-{name}" for name in names)}
    return known


def as_list(value):
    return value if isinstance(value, list) else [value]


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
def no_failure(context, response, case):
    """No failure of the server. That an epoch is not served yet is none: those made up will not come."""
    if response.status_code == 503 and "min_epoch" in (case.query or {}):
        assert json.loads(response.content)["code"] == "epoch_not_reached", response.content
        return
    assert response.status_code < 500, f"{response.status_code}: {response.content}"


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
