"""The policy that holds for new connections of one instrumented application, whatever it comes from.

A connection is given what holds when it begins and keeps it; so all of it is one value, replaced as a whole.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

from acceptfirst.failsafe import failsafe, logger
from acceptfirst.policy.feed import Feed, feed_of
from acceptfirst.policy.model import Gate, Policy, PolicyError, default_policy
from acceptfirst.policy.source import CollectorPolicy, source_in_environment

GivenPolicy = Policy | CollectorPolicy | Path | str | None
"""What an application may say: a policy, a collector, the path of a file, or the URL of a collector."""


class Held(NamedTuple):
    """What a new connection begins with."""

    policy: Policy
    readiness_mode: str
    gate_mode: str


class PolicyInForce:
    """Follows a source, or holds the one policy that was given.

    Args:
        given: what the application says; else ``ACCEPTFIRST_POLICY``, else the environment's default.
        environment: one of the four.
        argued: readiness mode and gate of the application's own, for what the policy leaves open.
        require_fits: raises ``ValueError`` where the application can't carry a policy out.

    Raises:
        ValueError: when a policy that was given in code does not fit. What is wrong in a file or at a collector is
            logged instead, and the last good policy holds.
    """

    def __init__(
        self, given: GivenPolicy, environment: str, argued: tuple[str, str], require_fits: Callable[[Policy], None]
    ) -> None:
        self._argued = argued
        self._require_fits = require_fits
        self._feed: Feed | None = None
        self._seen: Policy | None = None
        source = given if given is not None else source_in_environment()
        if source is None or isinstance(source, Policy):
            policy = source or default_policy(environment)
            require_fits(policy)
            self.held = self._as_held(policy)
            return
        # What the source is to mend may be a contradiction of the arguments themselves: then nothing is held back.
        gate: Gate | None = "observe" if argued == ("auto", "hold") else None
        self.held = self._as_held(replace(default_policy(environment), gate=gate))
        try:
            self._feed = feed_of(source, environment)
        except PolicyError as error:
            logger.error("no policy: %s; the default of %s holds", error, environment)
        else:
            self._feed.read_at_once()
            self._take(self._feed)

    def start(self) -> None:
        """Follow the source in this process, if there is one: the server is about to begin."""
        if self._feed is not None:
            self._feed.start()

    def now(self) -> Held:
        """What holds for a connection that begins now. Never waits, never raises."""
        feed = self._feed
        if feed is not None:
            if not feed.is_running:
                feed.start()
            if feed.policy is not self._seen:
                self._take(feed)
        return self.held

    @failsafe
    def _take(self, feed: Feed) -> None:
        policy = feed.policy
        if policy is self._seen or policy is None:
            return
        self._seen = policy
        try:
            self._require_fits(policy)
        except ValueError as error:
            logger.error(
                "the policy %s can't be carried out: %s; version %s holds",
                policy.version,
                error,
                self.held.policy.version,
            )
        else:
            self.held = self._as_held(policy)

    def _as_held(self, policy: Policy) -> Held:
        return Held(policy, policy.readiness_mode or self._argued[0], policy.gate or self._argued[1])
