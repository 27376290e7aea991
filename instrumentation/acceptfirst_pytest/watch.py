"""Which connections were opened and which races were seen, and in which test.

A connection that is opened while a test's own code runs belongs to that test; one that a fixture opened may serve many
tests, so its races belong to the test that runs when they occur. A race of a test's own connection that occurs when
that test is over is *late*: the next test is not to blame.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import Final

from acceptfirst.connection import Connection
from acceptfirst.diagnosis.note import note
from acceptfirst.diagnosis.timeline import timeline
from acceptfirst.diagnosis.watchers import add_watcher, remove_watcher
from acceptfirst.observation import Violation

TIMELINES_SHOWN_MAX: Final = 3
BETWEEN_TESTS: Final = "between tests"


@dataclass(frozen=True)
class SeenViolation:
    """A race that a connection showed.

    Attributes:
        pattern: its name in the catalogue.
        severity: ``warning``, ``critical`` or ``fatal``.
        route: the route's template, empty where the framework tells none.
        connection_id: 32 hex digits.
        note: what the note in a traceback says.
    """

    pattern: str
    severity: str
    route: str
    connection_id: str
    note: str


@dataclass(frozen=True)
class SeenConnection:
    """A connection that was opened; what it says is what holds now."""

    _record: Connection

    @property
    def id(self) -> str:
        """32 hex digits."""
        return self._record.id.hex()

    @property
    def route(self) -> str:
        """The route's template, empty where the framework tells none."""
        return self._record.route

    @property
    def state(self) -> str:
        """Its state: one of ``ApplicationConnectionState``."""
        return str(self._record.state)

    @property
    def outcome(self) -> str:
        """How its handshake ended, ``open`` while it has not."""
        return self._record.outcome

    @property
    def signature(self) -> str:
        """Its events so far, as letters."""
        return self._record.signature

    def explain(self) -> str:
        """Its timeline."""
        return timeline(self._record)


class Watched:
    """What happened in one test.

    Attributes:
        test: its node id; ``None`` between tests.
        connections: those opened since it began.
        violations: those that count for it.
    """

    def __init__(self, test: str | None) -> None:
        self.test = test
        self.connections: list[SeenConnection] = []
        self.violations: list[SeenViolation] = []
        self._shown: dict[str, SeenConnection] = {}
        self._judged = 0
        self._reported = 0

    def add(self, seen: SeenViolation, connection: SeenConnection) -> None:
        """Count a race."""
        self._shown[seen.connection_id] = connection
        self.violations.append(seen)

    def judge(self, severities: Collection[str], allowed: Collection[str]) -> str:
        """What makes the test fail, of what has not been judged yet; empty where nothing does."""
        new, self._judged = self.violations[self._judged :], len(self.violations)
        guilty = [seen for seen in new if seen.severity in severities and seen.pattern not in allowed]
        if not guilty:
            return ""
        names = ", ".join(dict.fromkeys(seen.pattern for seen in guilty))
        allow = ", ".join(f'"{name}"' for name in dict.fromkeys(seen.pattern for seen in guilty))
        return (
            f"acceptfirst: expected no race in this test, but got {names}\n\n{self._timelines(guilty)}\n\n"
            f"If this test is meant to show it: @pytest.mark.acceptfirst(allow=[{allow}])"
        )

    def explain(self) -> str:
        """The timelines of the connections that showed a race."""
        return self._timelines(self.violations)

    def take_unreported(self) -> list[dict[str, str]]:
        """The races since the last call, as plain text."""
        new, self._reported = self.violations[self._reported :], len(self.violations)
        return [as_text(seen, self.test) for seen in new]

    def _timelines(self, violations: Collection[SeenViolation]) -> str:
        shown = list(dict.fromkeys(seen.connection_id for seen in violations))
        texts = [self._shown[of].explain() for of in shown[:TIMELINES_SHOWN_MAX]]
        if len(shown) > TIMELINES_SHOWN_MAX:
            texts.append(f"… and {len(shown) - TIMELINES_SHOWN_MAX} more connections")
        return "\n\n".join(texts)


def as_text(seen: SeenViolation, test: str | None) -> dict[str, str]:
    """A race as plain text."""
    return {
        "pattern": seen.pattern,
        "severity": seen.severity,
        "route": seen.route,
        "test": test or BETWEEN_TESTS,
    }


class RunWatch:
    """Watches every connection of the process until it is stopped; told by whichever thread runs the application.

    Args:
        late: where races go whose test is over.
    """

    def __init__(self, late: list[dict[str, str]]) -> None:
        self.current: Watched | None = None
        self._late = late
        self._owners: dict[bytes, str] = {}
        self._in_call = False
        add_watcher(self)

    def begin(self, test: str | None) -> None:
        """A test begins; with ``None`` the run ends."""
        self.current = None if test is None else Watched(test)
        self._in_call = False

    def call(self) -> None:
        """The test's own code begins."""
        self._in_call = True

    def teardown(self) -> None:
        """The test's own code is over, its fixtures go."""
        self._in_call = False

    def stop(self) -> None:
        """Be told no more."""
        remove_watcher(self)

    def opened(self, connection: Connection) -> None:
        """See ``Watcher``."""
        current = self.current
        if current is None:
            return
        if self._in_call and current.test is not None:
            self._owners[connection.id] = current.test
        current.connections.append(SeenConnection(connection))

    def violated(self, connection: Connection, violation: Violation) -> None:
        """See ``Watcher``."""
        pattern = violation.pattern
        identity = (pattern.name, pattern.severity, connection.route, connection.id.hex())
        seen = SeenViolation(*identity, note(connection, (pattern,)))
        current = self.current
        owner = self._owners.get(connection.id)
        if current is not None and owner in (None, current.test):
            current.add(seen, SeenConnection(connection))
        else:
            self._late.append(as_text(seen, owner))
