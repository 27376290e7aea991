"""How far one change may go down: at most 20 % a step.

A delay or a timeout that is too long costs patience; one that is too short loses messages. So going up is free, and
going down takes several steps, each of which can be watched. The rule is asked where a change is *proposed*, not where
a policy is read: who reads can't tell a step from a rollback, which must hold at once, nor one step from two of which
it missed the first.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from acceptfirst.policy.model import Policy, PolicyError

STEP_DOWN_SHARE_MAX: Final = 0.2
STEP_DOWN_MS_MIN: Final = 1.0
"""Below this a step down is as good as none: without it no number of steps would ever reach zero."""

_ROUNDING: Final = 1e-9
_WAITS_FOR_NO_EVENT: Final = frozenset({None, "blind"})
"""The modes in which a delay stands in for readiness; ``None`` leaves it to the application, which may say blind."""


class StepError(PolicyError):
    """A change that goes down too far at once; says how far it may go."""


def check_step(old: Policy, new: Policy) -> None:
    """Check that a change goes down by no more than 20 % (or 1 ms, whichever is more), on no route.

    A delay counts only where the new policy may wait by it: where it waits for an event or a check instead, the delay
    is not shortened but replaced. A timeout always counts. The canary of ``new`` is compared with ``old`` too.

    Args:
        old: what holds now.
        new: what is to hold.

    Raises:
        StepError: naming every value that goes down too far.
    """
    steps = [f"{'canary ' if new.arm == 'canary' else ''}{step}" for step in _too_far(old, new)]
    if steps:
        raise StepError(f"expected no step down of more than {STEP_DOWN_SHARE_MAX:.0%}, but got: {'; '.join(steps)}")
    if new.canary is not None:
        check_step(old, new.canary.policy)


def _too_far(old: Policy, new: Policy) -> Iterator[str]:
    for route in ("", *sorted({*old.routes, *new.routes})):
        before, after = old.for_route(route), new.for_route(route)
        where = f" of route {route}" if route else ""
        yield from _below(f"handshake_timeout_ms{where}", before.handshake_timeout_ms, after.handshake_timeout_ms)
        if (after.readiness_mode or new.readiness_mode) in _WAITS_FOR_NO_EVENT:
            for attempt in range(max(len(before.delay_ladder_ms), len(after.delay_ladder_ms))):
                name = f"delay_ladder_ms[{attempt}]{where}"
                yield from _below(name, before.delay_ms(attempt), after.delay_ms(attempt))


def _below(name: str, before_ms: float, after_ms: float) -> Iterator[str]:
    lowest_ms = before_ms - max(before_ms * STEP_DOWN_SHARE_MAX, STEP_DOWN_MS_MIN)
    if after_ms < lowest_ms * (1 - _ROUNDING):
        yield f"{name} {after_ms:g} after {before_ms:g} (at least {lowest_ms:g})"
