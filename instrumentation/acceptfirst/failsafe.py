"""Keeps our own failures out of the application.

Whatever of ours runs in the application's path goes through here: a failure is counted, logged once for each place and
swallowed. ``BaseException`` is not ours to touch: a ``CancelledError`` passes through as it came.
"""

from __future__ import annotations

import functools
import logging
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from typing import Final, ParamSpec, TypeVar

_P = ParamSpec("_P")
_R = TypeVar("_R")

logger: Final = logging.getLogger("acceptfirst")

failures: Final[Counter[str]] = Counter()
"""How often each place of ours has failed since the process began, by its qualified name."""


def record_failure(place: str, error: Exception) -> None:
    """Count a failure of ours; log the first one of each place with its traceback."""
    failures[place] += 1
    if failures[place] == 1:
        with suppress(Exception):  # a handler or a filter of the application's may fail itself: then nobody can be told
            logger.error(
                "acceptfirst failed in %s and went on without it; further failures there are only counted",
                place,
                exc_info=error,
            )


def failsafe(function: Callable[_P, _R]) -> Callable[_P, _R | None]:
    """Make a function that never raises ``Exception``: it gives ``None`` instead."""
    place = function.__qualname__

    @functools.wraps(function)
    def guarded(*args: _P.args, **kwargs: _P.kwargs) -> _R | None:
        try:
            return function(*args, **kwargs)
        except Exception as error:  # noqa: BLE001 - the one place whose purpose is to catch everything of ours
            record_failure(place, error)
            return None

    return guarded
