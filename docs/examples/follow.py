"""Follows a view of Otklik and holds its rows, whatever becomes of the connection.

    python3 follow.py http://127.0.0.1:8140 agencies [COLUMN=VALUE ...]
"""

import http.client
import json
import sys
import time
import urllib.parse
import urllib.request


def follow(url, view, conditions=()):
    """Yields (epoch, rows by key) after each frame; every frame goes on from the one before."""
    views = json.load(urllib.request.urlopen(f"{url}/v1/views", timeout=30))["views"]
    key = next(entry["key"] for entry in views if entry["name"] == view)
    rows, held = {}, ""
    while True:
        query = urllib.parse.urlencode([("format", "ndjson"), ("after", held), *conditions])
        try:
            for line in urllib.request.urlopen(f"{url}/v1/views/{view}/live?{query}", timeout=30):
                frame = json.loads(line)
                event, data = frame["event"], frame["data"]
                if event == "snapshot":  # in parts; only the last has an id
                    rows = {} if data["part"] == 1 else rows
                    rows |= {tuple(row[column] for column in key): row for row in data["rows"]}
                elif event in ("changes", "progress"):
                    assert data["after"] == held, "a frame is missing"
                    for change in data.get("changes", ()):
                        rows.pop(tuple(change["key"][column] for column in key), None)
                        if change["op"] == "upsert":
                            rows[tuple(change["key"][column] for column in key)] = change["row"]
                elif event == "end" and data["reason"] == "up_to":
                    return
                held = "" if event == "lagged" else frame.get("id", held)
                if event in ("changes", "progress") or data.get("last"):
                    yield data["epoch"], rows
        except (OSError, http.client.HTTPException) as lost:
            print(f"coming back: {lost}", file=sys.stderr)
            time.sleep(1)


if __name__ == "__main__":
    for epoch, rows in follow(*sys.argv[1:3], [pair.split("=", 1) for pair in sys.argv[3:]]):
        print(json.dumps({"epoch": epoch, "rows": list(rows.values())}), flush=True)
