"""From recommendations to the policy file that the middleware reads."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Final

from acceptfirst.environment import UnknownEnvironmentError, normalise_environment
from acceptfirst.policy import Policy, default_policy
from acceptfirst.policy.steps import STEP_DOWN_MS_MIN, STEP_DOWN_SHARE_MAX
from acceptfirst_analysis.tuning.recommendation import Recommendation

#: Verdicts that a policy can carry out; the others ask for code, for a look or for more handshakes.
APPLICABLE: Final = frozenset({"gate", "delay", "poll"})


def propose(
    recommendations: Iterable[Recommendation], current: Mapping[str, Policy], *, version: str
) -> dict[str, Policy]:
    """The policies that carry the recommendations out, route by route.

    Only routes with a verdict that a policy can carry out are changed, and each gets its own table: one route's gate is
    no reason to touch its neighbours. A route that two services share gets the more patient of their settings.

    Args:
        recommendations: rows of ``recommend``.
        current: the policies in force by environment; the default policy stands in where there is none.
        version: of the policies that come out changed.

    Returns:
        Policies by environment, of each environment for which there is a recommendation and whose name is known.
    """
    policies: dict[str, Policy] = {}
    for row in recommendations:
        try:
            environment = normalise_environment(row.environment)
        except UnknownEnvironmentError:
            continue  # the middleware could not be told to use it either
        base = policies.get(environment) or current.get(environment) or default_policy(environment)
        policies[environment] = _with(base, row, version) if row.verdict in APPLICABLE else base
    return policies


def within_step(old: Policy, new: Policy) -> Policy:
    """The new policy, but no delay and no timeout of it further down than one step may go; up is free.

    What is left of the way is for the next weeks: a timeout that is too short loses messages, one that is too long
    costs patience.

    Args:
        old: what holds now.
        new: what is wished for.

    Returns:
        A policy that ``check_step`` lets through.
    """
    routes = {route: _stepped(old.for_route(route), own) for route, own in new.routes.items()}
    return replace(_stepped(old, new), routes=routes)


def _stepped(old: Policy, new: Policy) -> Policy:
    timeout_ms = max(new.handshake_timeout_ms, _lowest_ms(old.handshake_timeout_ms))
    if new.readiness_mode not in (None, "blind"):
        return replace(new, handshake_timeout_ms=timeout_ms)
    attempts = range(max(len(old.delay_ladder_ms), len(new.delay_ladder_ms)))
    ladder_ms = tuple(max(new.delay_ms(attempt), _lowest_ms(old.delay_ms(attempt))) for attempt in attempts)
    return replace(new, handshake_timeout_ms=timeout_ms, delay_ladder_ms=ladder_ms)


def _lowest_ms(before_ms: float) -> float:
    return before_ms - max(before_ms * STEP_DOWN_SHARE_MAX, min(STEP_DOWN_MS_MIN, before_ms))


def _with(policy: Policy, row: Recommendation, version: str) -> Policy:
    if not row.route:  # the spans named no route, so neither could the middleware: the environment's own table
        return _applied(replace(policy, version=version), row)
    before = policy.routes.get(row.route)
    own = _applied(replace(before or policy, version=version, routes={}), row)
    if before is not None and before.version == version:
        own = _patient(before, own)
    routes = {route: replace(other, version=version) for route, other in policy.routes.items()}
    return replace(policy, version=version, routes={**routes, row.route: own})


def _applied(policy: Policy, row: Recommendation) -> Policy:
    timeout_ms = row.timeout_ms if row.timeout_ms is not None else policy.handshake_timeout_ms
    if row.verdict == "gate":
        return replace(policy, readiness_mode="event", gate="hold", handshake_timeout_ms=timeout_ms)
    if row.verdict == "poll" and row.poll_interval_ms is not None:
        return replace(
            policy,
            readiness_mode="polled",
            gate="hold",
            poll_interval_ms=row.poll_interval_ms,
            handshake_timeout_ms=timeout_ms,
        )
    if row.verdict == "delay" and row.delay_ms is not None:
        # A delay stands in for the event only in blind mode, and only a gate that holds waits for it. Nobody can tell a
        # blind handshake that it is late, so its one wait is the whole delay and not the ladder.
        return replace(
            policy,
            readiness_mode="blind",
            gate="hold",
            delay_ladder_ms=(row.delay_ms,),
            handshake_timeout_ms=max(timeout_ms, row.delay_ms),
        )
    return policy


def _patient(one: Policy, other: Policy) -> Policy:
    """Two services on one route: hold if either must, wait as long as the slower."""
    holding = one if one.gate == "hold" else other
    return replace(
        holding,
        delay_ladder_ms=max(one.delay_ladder_ms, other.delay_ladder_ms, key=sum),
        handshake_timeout_ms=max(one.handshake_timeout_ms, other.handshake_timeout_ms),
    )
