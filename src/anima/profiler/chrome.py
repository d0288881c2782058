"""Profiles in Chrome's trace event format, compressed: what ui.perfetto.dev and chrome://tracing open.

Invariant: times are in microseconds, as the format has them, with three decimals: no nanosecond is lost.

The format is described in "Trace Event Format" (Google, 2016): complete events "X", and "M" for names.
"""

from __future__ import annotations

import gzip
import http.server
import json
import os
import urllib.parse
from typing import Any

from anima.profiler.picture import Picture


def write(picture: Picture, path: str) -> None:
    """Write a profile to a file whose name ends in .json.gz."""
    with gzip.open(path, "wt", encoding="utf-8", compresslevel=6) as file:
        json.dump(_trace(picture), file, separators=(",", ":"))


def _trace(picture: Picture) -> dict[str, Any]:
    events: list[dict[str, Any]] = []
    for pid, (plane, threads) in enumerate(picture.planes.items(), 1):
        events.append({"ph": "M", "pid": pid, "name": "process_name", "args": {"name": plane}})
        events.append({"ph": "M", "pid": pid, "name": "process_sort_index", "args": {"sort_index": pid}})
        for tid, happened in threads.items():
            name = picture.name_of(plane, tid)
            events.append({"ph": "M", "pid": pid, "tid": tid, "name": "thread_name", "args": {"name": name}})
            for event in happened:
                entry = {
                    "ph": "X", "pid": pid, "tid": tid, "name": event.name, "cat": event.kind,
                    "ts": event.start / 1000, "dur": event.duration / 1000,
                }  # fmt: skip
                events.append({**entry, "args": event.details} if event.details else entry)
    known = {"start_time_ns": picture.began, "end_time_ns": picture.ended, "events_lost": picture.lost}
    return {"displayTimeUnit": "ns", "metadata": {"producer": "anima", **known}, "traceEvents": events}


_PORT = 9001  # from where ui.perfetto.dev may read
_VIEWER = "https://ui.perfetto.dev"


class _Handler(http.server.BaseHTTPRequestHandler):
    """Gives out one file, to that page."""

    server: _Server

    def do_GET(self) -> None:
        wanted = urllib.parse.urlparse(self.path).path.lstrip("/")
        if wanted != os.path.basename(self.server.file):
            self.send_error(404)
            return
        with open(self.server.file, "rb") as file:
            content = file.read()
        self.send_response(200)
        self.send_header("Content-Type", "application/gzip")
        self.send_header("Access-Control-Allow-Origin", _VIEWER)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)
        self.server.given = True

    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing about requests."""


class _Server(http.server.HTTPServer):
    allow_reuse_address = True
    given = False

    def __init__(self, file: str) -> None:
        self.file = file
        super().__init__(("127.0.0.1", _PORT), _Handler)


def serve(path: str) -> None:
    """Print a link that opens the file in Perfetto's page, and wait until it was read once.

    Raises:
      OSError: the port is taken.
    """
    with _Server(path) as server:
        address = f"http://127.0.0.1:{_PORT}/{os.path.basename(path)}"
        print(f"Open {_VIEWER}/#!/?url={address} to see the profile", flush=True)
        while not server.given:
            server.handle_request()
