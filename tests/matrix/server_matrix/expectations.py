"""What AcceptFirst is to find in each cell: the scenario's patterns, unless a deviation says why not; as data.

Two lists. A deviation is a cell in which a fault shows something else, every time. What is unsteady differs from one
run to the next, with and without AcceptFirst, so it is compared with nothing.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import replace
from typing import Final, NamedTuple

from server_matrix.scenarios import SCENARIOS
from server_matrix.servers import FRAMEWORKS, SERVERS, Cell
from server_matrix.trial import Sighting, View

_ALL_SERVERS: Final = frozenset(SERVERS)
_ALL_FRAMEWORKS: Final = frozenset(FRAMEWORKS)
_SILENT: Final = frozenset({"hypercorn", "daphne", "granian"})
_RAISING: Final = frozenset({"uvicorn_sansio", "uvicorn_wsproto"})
_NO_GUARD: Final = frozenset({"bare", "channels_app"})
VARIES: Final = "varies"


class Deviation(NamedTuple):
    """Where a fault shows other patterns than its own.

    Attributes:
        scenario: which fault.
        frameworks: in which it deviates.
        servers: on which it deviates.
        patterns: what is found instead.
        reason: why, for the page's readers.
    """

    scenario: str
    frameworks: frozenset[str]
    servers: frozenset[str]
    patterns: Collection[str]
    reason: str


DEVIATIONS: Final = (
    Deviation(
        "receive_before_accept",
        frozenset({"bare"}),
        _ALL_SERVERS,
        ["handshake_rejected_403", "handshake_stalled"],
        "Nothing refuses a receive in bare ASGI: it waits, and the handshake runs into its timeout.",
    ),
    Deviation(
        "receive_before_accept",
        frozenset({"channels_app"}),
        _ALL_SERVERS,
        ["handshake_stalled"],
        "Channels itself receives, whether or not the consumer accepted, so the handshake runs into its timeout. On "
        "granian the application is never told that the client gave up, and waits for ever.",
    ),
    Deviation(
        "receive_before_accept",
        frozenset({"litestar_app"}),
        _ALL_SERVERS,
        [],
        "Litestar accepts by itself before the first receive, so there is no fault.",
    ),
    Deviation(
        "send_before_accept",
        frozenset({"litestar_app"}),
        _ALL_SERVERS,
        [],
        "Litestar accepts by itself before the first send, so there is no fault.",
    ),
    Deviation(
        "send_before_accept",
        frozenset({"channels_app"}),
        frozenset({"granian"}),
        ["handshake_stalled", "send_before_accept"],
        "granian takes the message without a word, and Channels waits for the client: the handshake runs into its "
        "timeout too.",
    ),
    Deviation(
        "double_accept",
        frozenset({"litestar_app"}),
        _ALL_SERVERS,
        [],
        "Litestar leaves the second accept out, so there is no fault.",
    ),
    Deviation(
        "reject_before_accept",
        frozenset({"socketio_app"}),
        _ALL_SERVERS,
        [],
        "Socket.IO refuses in a packet of its own, on a WebSocket that engineio accepted before.",
    ),
    Deviation(
        "receive_after_own_close",
        _NO_GUARD,
        _ALL_SERVERS,
        [],
        "Nothing refuses the receive: it delivers the disconnect, as ASGI wants it.",
    ),
    Deviation(
        "receive_after_own_close",
        frozenset({"litestar_app"}),
        _ALL_SERVERS,
        ["double_close"],
        "Nothing refuses the receive: it delivers the disconnect, whose exception leaves the handler, and Litestar "
        "then closes what the handler has closed.",
    ),
    Deviation(
        "receive_after_disconnect",
        frozenset({"bare"}),
        frozenset({"hypercorn", "daphne"}),
        [],
        "The second receive never ends, on a connection that is gone; no event tells of it.",
    ),
    Deviation(
        "swallowed_failed_send",
        _ALL_FRAMEWORKS,
        _SILENT,
        [],
        "The server lets every send return as if it had arrived; the disconnect comes with the next receive.",
    ),
    Deviation(
        "swallowed_failed_send",
        _NO_GUARD | {"litestar_app"},
        _RAISING,
        ["send_after_disconnect"],
        "The sends fail, but nothing refuses the receive after them: it delivers the disconnect.",
    ),
)


class Unsteady(NamedTuple):
    """What differs from run to run.

    Attributes:
        scenario: which.
        frameworks: in which.
        servers: on which.
        ends: whose view varies: client, application or both. With the application's the signature varies too.
        reason: why, for the page's readers.
    """

    scenario: str
    frameworks: frozenset[str]
    servers: frozenset[str]
    ends: frozenset[str]
    reason: str


UNSTEADY: Final = (
    Unsteady(
        "shutdown",
        _ALL_FRAMEWORKS,
        frozenset({"daphne", "granian"}),
        frozenset({"application"}),
        "The process may be gone before the application was told or cancelled.",
    ),
    Unsteady(
        "shutdown",
        frozenset({"socketio_app"}),
        frozenset({"daphne", "granian"}),
        frozenset({"client"}),
        "engineio closes with 1000 when it is told in time; otherwise the connection just ends.",
    ),
    Unsteady(
        "early_message",
        frozenset({"socketio_app"}),
        _ALL_SERVERS,
        frozenset({"application"}),
        "engineio reads and writes in two tasks; whether an answer or the next message comes first is chance. The "
        "pattern is found every time, since Socket.IO's own CONNECT packet comes before the connect handler is done.",
    ),
    Unsteady(
        "receive_before_accept",
        frozenset({"litestar_app"}),
        frozenset({"granian"}),
        frozenset({"client"}),
        "The handler gave up a receive and returned without a close; granian then closes when Python has collected the "
        "handler's objects, at once or much later.",
    ),
)


def expected_patterns(cell: Cell, scenario: str) -> list[str]:
    """The patterns that a cell has to show, sorted."""
    for deviation in DEVIATIONS:
        if _holds(deviation, cell, scenario):
            return sorted(deviation.patterns)
    return sorted(SCENARIOS[scenario].patterns)


def steadied(sightings: Iterable[Sighting]) -> list[Sighting]:
    """The same sightings, with what differs from run to run replaced by ``varies``."""
    return [_steadied(sighting) for sighting in sightings]


def _steadied(sighting: Sighting) -> Sighting:
    for unsteady in UNSTEADY:
        if _holds(unsteady, sighting.cell, sighting.scenario):
            if "client" in unsteady.ends:
                sighting = _with(sighting, client=VARIES)
            if "application" in unsteady.ends:
                sighting = replace(_with(sighting, application=(VARIES,), left=VARIES), signature=VARIES)
    return sighting


def _with(sighting: Sighting, **seen: object) -> Sighting:
    plain, observed = (View(**{**vars(view), **seen}) for view in (sighting.plain, sighting.observed))
    return replace(sighting, plain=plain, observed=observed)


def _holds(where: Deviation | Unsteady, cell: Cell, scenario: str) -> bool:
    return scenario == where.scenario and cell.framework in where.frameworks and cell.server in where.servers
