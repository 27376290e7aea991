"""What serve promises: an acknowledged span is stored once, whatever happens to the process or to the answer."""

from __future__ import annotations

import concurrent.futures
import itertools
import pathlib
import time
from collections.abc import Callable

import httpx
import pytest

StoredNames = Callable[[pathlib.Path], list[str]]

BATCH_NAMES = 5


def test_serve_stores_each_acknowledged_span_once_when_killed_in_mid_load(
    start_serve: Callable[..., object], make_request: Callable[..., bytes], stored_names: StoredNames
) -> None:
    """Kill -9 three times under load: nothing acknowledged is lost or doubled, and nothing is invented."""
    numbers = itertools.count()
    acknowledged: set[str] = set()
    sent: set[str] = set()
    for kill_after_seconds in (0.4, 0.9, 1.5):
        serve = start_serve()
        with concurrent.futures.ThreadPoolExecutor(4) as pool:
            senders = [pool.submit(_send_until_dead, serve, make_request, numbers, sent) for _ in range(4)]
            time.sleep(kill_after_seconds)
            serve.kill()
            for sender in senders:
                acknowledged |= sender.result()
    serve = start_serve()
    serve.stop()
    stored = stored_names(serve.data_dir)
    assert acknowledged
    assert acknowledged <= set(stored)
    assert set(stored) <= sent
    assert len(stored) == len(set(stored))


def _send_until_dead(
    serve: object, make_request: Callable[..., bytes], numbers: itertools.count[int], sent: set[str]
) -> set[str]:
    acknowledged: set[str] = set()
    with httpx.Client(headers={"Content-Type": "application/x-protobuf"}) as client:
        while True:
            names = [f"span-{next(numbers)}" for _ in range(BATCH_NAMES)]
            sent.update(names)
            try:
                answer = client.post(f"{serve.url}/v1/traces", content=make_request(*names))
            except httpx.TransportError:
                return acknowledged
            if answer.status_code == httpx.codes.OK:
                acknowledged.update(names)
