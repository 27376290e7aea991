"""What few connections have is a connection's own, though those that have nothing of it share one object."""

from __future__ import annotations

from typing import Any

from acceptfirst.catalogue import load_catalogue
from acceptfirst.connection import Connection
from acceptfirst.policy import Policy
from acceptfirst.record import FEW_HAVE, Seldom


class Silent:
    """Observers that hear and do nothing."""

    def opened(self, *_: Any) -> None:
        """Hear."""

    moved = violated = finished = opened


def connection() -> Connection:
    """A connection that has nothing of it yet."""
    return Connection(
        scope={},
        policy=Policy(environment="testing"),
        readiness_mode="event",
        gate_mode="observe",
        catalogue=load_catalogue(),
        observers=Silent(),
    )


def values(seldom: Seldom) -> dict[str, Any]:
    """All that stands in one."""
    return {name: getattr(seldom, name) for name in Seldom.__slots__}


def test_connections_share_it_when_they_have_nothing_of_it() -> None:
    """A server holds thousands of them."""
    assert connection().seldom is connection().seldom


def test_connection_keeps_what_it_has_for_itself() -> None:
    """A phase, an exception and a timeout of one are not seen in another, whether that one is older or younger."""
    before = values(FEW_HAVE)
    older, unlucky = connection(), connection()
    unlucky.phase_began(None)
    unlucky.phase_ended("auth", 5.0, None)
    unlucky.time_is_up()
    unlucky.raised(ValueError())

    assert (unlucky.phases_ms, unlucky.timed_out, unlucky.error_type) == ({"auth": 5.0}, True, "ValueError")
    assert values(older.seldom) == values(connection().seldom) == values(FEW_HAVE) == before


def test_connection_keeps_the_rest_when_more_is_set() -> None:
    """The second value does not cost the first."""
    record = connection()
    record.user_hash, record.delay_applied_ms = "u", 5.0

    assert (record.user_hash, record.delay_applied_ms, record.coordinator) == ("u", 5.0, None)
