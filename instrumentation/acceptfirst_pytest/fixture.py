"""What a test gets from the ``acceptfirst`` fixture."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any, TypeVar

import acceptfirst
from acceptfirst_pytest.watch import SeenConnection, SeenViolation, Watched

_App = TypeVar("_App")


class Races:
    """The connections and the races of one test, on whichever application of this process.

    Args:
        watched: what happens in the test.
    """

    def __init__(self, watched: Watched) -> None:
        self._watched = watched
        self._instrumented: list[Any] = []

    def instrument(self, app: _App, **options: Any) -> _App:
        """Observe an application until the test is over.

        Args:
            app: as for ``acceptfirst.instrument``; one that served other tests already is fine.
            options: the same as there; ``environment`` is testing unless given.

        Returns:
            What to hand to the test's client.
        """
        before = len(getattr(app, "user_middleware", ()))
        if getattr(app, "middleware_stack", None) is not None:
            app.middleware_stack = None  # type: ignore[attr-defined]  # Starlette builds it anew at the next request
        instrumented = acceptfirst.instrument(app, **{"environment": "testing"} | options)
        if len(getattr(app, "user_middleware", ())) != before:
            self._instrumented.append(app)
        return instrumented

    def restore(self) -> None:
        """Take the middleware away from what was instrumented here."""
        for app in self._instrumented:
            acceptfirst.uninstrument(app)
        self._instrumented.clear()

    @property
    def violations(self) -> tuple[SeenViolation, ...]:
        """The races so far, in order."""
        return tuple(self._watched.violations)

    @property
    def connections(self) -> tuple[SeenConnection, ...]:
        """The connections that were opened since the test began, in order."""
        return tuple(self._watched.connections)

    def explain(self) -> str:
        """The timelines of all of them."""
        return "\n\n".join(connection.explain() for connection in self.connections)

    def assert_clean(self, allow: Collection[str] = ()) -> None:
        """Fail unless no race was seen so far.

        Args:
            allow: names of patterns that may have been.

        Raises:
            AssertionError: with the note of each race and the timelines.
        """
        if isinstance(allow, str):
            raise TypeError(f"expected allow to be a list of names of patterns, but got {allow!r}")
        if seen := [violation for violation in self.violations if violation.pattern not in allow]:
            names = ", ".join(dict.fromkeys(violation.pattern for violation in seen))
            raise AssertionError(f"acceptfirst: expected no race, but got {names}\n\n{self._watched.explain()}")
