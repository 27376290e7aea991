"""What no backend should send, in the store all the same: classified as far as it can be, and never a failure."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any

import pytest

from acceptfirst.catalogue import Catalogue
from acceptfirst_analysis.classification.batches import Batch, batches
from acceptfirst_analysis.classification.classify import classify
from acceptfirst_analysis.window import Window, window_between

NOW = datetime(2026, 11, 24, tzinfo=UTC)
FUTURE = datetime(2199, 1, 1, tzinfo=UTC)


def test_one_connection_is_classified(handshakes: Any, catalogue: Catalogue, window: Window) -> None:
    """There is no least number for what one connection shows."""
    handshakes.add("C!RE", None)
    handshakes.write()
    found = classify(handshakes.database, catalogue, window)
    assert (found.connections, found.patterns) == (1, {"receive_before_accept": 1})


@pytest.mark.parametrize("ms", [-1e18, -5.0, 0.0, 1e18])
def test_absurd_durations_are_no_failure(handshakes: Any, catalogue: Catalogue, window: Window, ms: float) -> None:
    """A clock that ran backwards, or a number that no life can have."""
    for signature in ("CAGRSDZ", "CAD", "CAX", "CaE", "CT"):
        handshakes.add(
            signature, None, dwell_ms=ms, idle_ms=ms, unread_ms=ms, close_code=1006, user_hash="u", messages_sent=50
        )
    handshakes.write()
    found = classify(handshakes.database, catalogue, window)
    assert found.connections == 5
    assert found.patterns["handshake_stalled"] == 1


def test_connection_accepted_before_it_began_is_no_failure(
    handshakes: Any, catalogue: Catalogue, window: Window
) -> None:
    """Two clocks that disagree."""
    handshakes.add("CA!AE", None)
    handshakes.rows[0]["connected_at"] = handshakes.rows[0]["first_seen"] - timedelta(seconds=5)
    handshakes.write()
    assert classify(handshakes.database, catalogue, window).patterns == {"double_accept": 1}


def test_connection_of_the_future_is_found_only_when_it_is_asked_for(handshakes: Any, catalogue: Catalogue) -> None:
    """What has no end ends now."""
    handshakes.add("C!RE", None)
    handshakes.rows[0] |= {"first_seen": FUTURE, "last_seen": FUTURE, "pending_at": FUTURE}
    handshakes.rows[0]["connection_id"] = int(FUTURE.timestamp() * 1000).to_bytes(6, "big") + bytes(10)
    handshakes.write()
    until_now = window_between(None, None, now=NOW)
    until_then = window_between(None, FUTURE + timedelta(days=1), now=NOW)
    assert classify(handshakes.database, catalogue, until_now).patterns == {}
    assert classify(handshakes.database, catalogue, until_then).patterns == {"receive_before_accept": 1}


def test_days_are_put_together_and_cut(window: Window) -> None:
    """No batch is larger than it may be, a day that is gets cut, and nothing lies between two of them."""
    rows = [{"day": "20261115", "n": 10}, {"day": "20261116", "n": 30}, {"day": "20261117", "n": 250}]
    made = batches([*rows, {"day": "20261118", "n": 90}, {"day": "20280101", "n": 5}], window, rows_max=100)
    assert [batch.days for batch in made] == [*[("20261117",)] * 3, ("20261115", "20261116"), ("20261118",)]
    parts = [batch for batch in made if batch.days == ("20261117",)]
    assert (parts[0].low, parts[-1].high) == (Batch(()).low, Batch(()).high)
    for before, after in pairwise(parts):
        assert int(before.high, 16) + 1 == int(after.low, 16)
