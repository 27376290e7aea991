"""What serve promises: an acknowledged span is stored once, whatever happens to the process or to the answer."""

from __future__ import annotations

import concurrent.futures
import dataclasses
import itertools
import pathlib
import time
from collections.abc import Callable
from typing import Any

import httpx

StoredNames = Callable[[pathlib.Path], list[str]]
PROTOBUF = {"Content-Type": "application/x-protobuf"}
SPANS_PER_REQUEST = 5
#: Field 100 as a group with a field inside: valid protobuf, long out of fashion.
UNKNOWN_GROUP = b"\xa3\x06\x08\x01\xa4\x06"

#: The real server over a store that refuses while a file says so: an outage that a test can begin and end.
OUTAGE = """
import pathlib, sys
import chdb
from acceptfirst_collector.server import run
from acceptfirst_collector.settings import CollectorSettings
from acceptfirst_store.database import Database
from acceptfirst_store.errors import StoreUnreachable
data_dir = pathlib.Path(sys.argv[4])
insert_requests = Database.insert_requests
def insert(self, body, token):
    if (data_dir / "outage").exists():
        raise StoreUnreachable("the store could not insert: planted outage")
    insert_requests(self, body, token)
Database.insert_requests = insert
run(CollectorSettings(data_dir=data_dir, port=0))
"""

#: The real server, killed by itself right after an insert succeeded: before the log could know.
DIES_AFTER_INSERT = """
import os, pathlib, sys
import chdb
from acceptfirst_collector.server import run
from acceptfirst_collector.settings import CollectorSettings
from acceptfirst_store.database import Database
insert_requests = Database.insert_requests
def insert(self, body, token):
    insert_requests(self, body, token)
    os.kill(os.getpid(), 9)
Database.insert_requests = insert
run(CollectorSettings(data_dir=pathlib.Path(sys.argv[4]), port=0))
"""


@dataclasses.dataclass
class _Load:
    """What four senders sent, what of it was acknowledged, and what was left without an answer."""

    make_request: Callable[..., bytes]
    numbers: itertools.count[int] = dataclasses.field(default_factory=itertools.count)
    sent: set[str] = dataclasses.field(default_factory=set)
    acknowledged: set[str] = dataclasses.field(default_factory=set)
    unanswered: list[tuple[list[str], bytes]] = dataclasses.field(default_factory=list)

    def send_until_dead(self, url: str) -> None:
        """Send on one connection: first what was left unanswered, the same bytes again, then new requests."""
        with httpx.Client(headers=PROTOBUF, timeout=30) as client:
            while True:
                names, body = self.unanswered.pop() if self.unanswered else self._new()
                try:
                    answer = client.post(f"{url}/v1/traces", content=body)
                except httpx.TransportError:
                    self.unanswered.append((names, body))
                    return
                if answer.status_code == httpx.codes.OK:
                    self.acknowledged.update(names)

    def _new(self) -> tuple[list[str], bytes]:
        names = [f"span-{next(self.numbers)}" for _ in range(SPANS_PER_REQUEST)]
        self.sent.update(names)
        return names, self.make_request(*names)


def test_serve_stores_each_acknowledged_span_once_when_killed_in_mid_load(
    start_serve: Any, make_request: Callable[..., bytes], stored_names: StoredNames
) -> None:
    """Kill -9 under load, resend what had no answer: nothing is lost, nothing is doubled, nothing is invented."""
    load = _Load(make_request)
    for kill_after_seconds in (0.3, 0.8, 1.3):
        serve = start_serve()
        with concurrent.futures.ThreadPoolExecutor(4) as pool:
            senders = [pool.submit(load.send_until_dead, serve.url) for _ in range(4)]
            time.sleep(kill_after_seconds)
            serve.kill()
            concurrent.futures.wait(senders)
    serve = start_serve()
    serve.stop()
    stored = stored_names(serve.data_dir)
    assert len(load.acknowledged) > 4 * SPANS_PER_REQUEST
    assert load.acknowledged <= set(stored) <= load.sent
    assert len(stored) == len(set(stored))


def test_serve_stores_a_batch_once_when_killed_between_the_insert_and_the_checkpoint(
    start_serve: Any, make_request: Callable[..., bytes], stored_names: StoredNames
) -> None:
    """The intended range is sent again under the same token, and the store drops the twin."""
    serve = start_serve(code=DIES_AFTER_INSERT)
    serve.post(make_request("once"))
    serve.process.wait(30)
    serve.kill()
    start_serve().stop()
    assert stored_names(serve.data_dir) == ["once"]


def test_serve_stores_a_body_once_when_it_is_sent_again(
    start_serve: Any, make_request: Callable[..., bytes], stored_names: StoredNames
) -> None:
    """A client that never saw our 200 sends the same bytes, also to the next process."""
    body = make_request("again")
    serve = start_serve()
    assert [serve.post(body).status_code for _ in range(3)] == [200, 200, 200]
    serve.stop()
    serve = start_serve()
    assert serve.post(body).status_code == 200
    serve.stop()
    assert stored_names(serve.data_dir) == ["again"]


def test_serve_keeps_what_it_acknowledged_and_answers_503_when_the_store_is_down(
    start_serve: Any, make_request: Callable[..., bytes], stored_names: StoredNames
) -> None:
    """During an outage clients are told to come back; afterwards all that was acknowledged is there, once."""
    serve = start_serve(code=OUTAGE)
    (serve.data_dir / "outage").touch()
    assert serve.post(make_request("kept")).status_code == 200
    _wait_for_status(serve, 503)
    refused = serve.post(make_request("refused"))
    assert (refused.status_code, refused.headers["Retry-After"]) == (503, "5")
    (serve.data_dir / "outage").unlink()
    _wait_for_status(serve, 200)
    assert serve.post(make_request("later")).status_code == 200
    serve.stop()
    assert stored_names(serve.data_dir) == ["kept", "later"]


def test_serve_sets_a_record_aside_when_the_store_never_takes_it(
    start_serve: Any, make_request: Callable[..., bytes], stored_names: StoredNames
) -> None:
    """One poisonous request among others costs only itself, and its bytes are kept in a file."""
    days = b"".join(make_request("poison", start_ns=day * 86_400_000_000_000) for day in range(1100))
    serve = start_serve()
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        bodies = [make_request(f"good-{i}") for i in range(6)]
        answers = list(pool.map(serve.post, [*bodies[:3], days, *bodies[3:]]))
    assert {answer.status_code for answer in answers} == {200}
    said = serve.stop()
    [kept] = (serve.data_dir / "refused").iterdir()
    assert kept.read_bytes() == days
    assert "was refused for good and is kept as" in said
    assert stored_names(serve.data_dir) == [f"good-{i}" for i in range(6)]


def test_serve_stores_a_request_that_only_protobuf_can_read(
    start_serve: Any, make_request: Callable[..., bytes], stored_names: StoredNames
) -> None:
    """Unknown fields that protobuf skips and the store does not: the request is stored in its canonical form."""
    serve = start_serve()
    assert serve.post(make_request("odd") + UNKNOWN_GROUP).status_code == 200
    assert serve.post(make_request("next")).status_code == 200
    serve.stop()
    assert not (serve.data_dir / "refused").exists()
    assert stored_names(serve.data_dir) == ["next", "odd"]


def test_serve_drains_and_exits_cleanly_when_it_is_terminated(
    start_serve: Any, make_request: Callable[..., bytes], stored_names: StoredNames
) -> None:
    """SIGTERM right after an acknowledgement: the span is stored, the exit code is 0, the address file is gone."""
    serve = start_serve()
    serve.post(make_request("last"))
    serve.stop()
    assert serve.process.returncode == 0
    assert not (serve.data_dir / "serve.json").exists()
    assert stored_names(serve.data_dir) == ["last"]


def _wait_for_status(serve: Any, status: int) -> None:
    deadline = time.monotonic() + 30
    while httpx.get(f"{serve.url}/readyz").status_code != status:
        assert time.monotonic() < deadline, f"/readyz never answered {status}"
        time.sleep(0.05)
