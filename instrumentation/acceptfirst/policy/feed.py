"""Reads a source again and again in the background, and keeps the last policy of it that was good.

Design constraints:

- one daemon thread a process and source, shared by all middlewares with that source; it is started by the first use in
  a process, so that a forked worker has its own;
- ``policy`` is replaced by one assignment; whoever reads it needs no lock;
- a change of trouble is logged once, and so is its end;
- the thread keeps nobody alive: it ends with its feed, and the interpreter does not wait for it.
"""

from __future__ import annotations

import logging
import math
import os
import random
import threading
import weakref
from collections.abc import Hashable
from pathlib import Path
from typing import Final

from acceptfirst.failsafe import failsafe, logger, record_failure
from acceptfirst.policy.model import Policy, PolicyError
from acceptfirst.policy.source import CollectorPolicy, NothingStored, Source, StillChanging, source_of

INTERVAL_VARIABLE: Final = "ACCEPTFIRST_POLICY_INTERVAL_S"
INTERVAL_S: Final = 30.0
INTERVAL_S_MIN: Final = 0.1
INTERVAL_S_MAX: Final = 86_400.0
JITTER_SHARE: Final = 0.1
"""How far an interval may be off, either way: a fleet that was started at once should not ask at once for ever."""

RETRY_S_MIN: Final = 1.0
BACKOFF_INTERVALS_MAX: Final = 4.0
"""A collector that is down is asked less and less often, but a rollback must still arrive within minutes."""

_FAILURES_COUNTED_MAX: Final = 30


class Feed:
    """The policies of one source.

    Args:
        source: where they come from.
        environment: whose they are.
        interval_s: between two readings; else ``ACCEPTFIRST_POLICY_INTERVAL_S``, else 30.

    Attributes:
        policy: the last good one, ``None`` until there is one.
    """

    def __init__(self, source: Source, environment: str, interval_s: float | None = None) -> None:
        self.policy: Policy | None = None
        self.is_running = False
        self._source = source
        self._environment = environment
        self._interval_s = _interval_s() if interval_s is None else interval_s
        self._reading = threading.Lock()
        self._trouble = ""
        self._is_bad = False  # as bad as to be told that it is over
        self._failures = 0
        self._end: weakref.finalize[..., Feed] | None = None

    def read_at_once(self) -> None:
        """Read now where that can't take long: a file while an application starts."""
        if self._source.is_local:
            self.read()

    @failsafe
    def start(self) -> None:
        """Read in the background from now on; in this process only. A second call does nothing."""
        if self.is_running:
            return
        woken = threading.Event()
        thread = threading.Thread(target=_run, args=(weakref.ref(self), woken), name="acceptfirst-policy", daemon=True)
        self.is_running = True
        try:
            thread.start()
        except RuntimeError:  # the system has no thread for us now; the next connection tries again
            self.is_running = False
            raise
        self._end = weakref.finalize(self, woken.set)

    def read(self) -> float:
        """Read the source once.

        Returns:
            Seconds until the next reading.
        """
        with self._reading:
            try:
                policy = self._source.read()
            except StillChanging:
                return self._spread(min(RETRY_S_MIN, self._interval_s))
            except NothingStored as news:
                self._stumbled(str(news), logging.INFO)
                self._failures = 0  # it answers: asked as often as one that has a policy
            except PolicyError as error:
                self._stumbled(str(error), logging.ERROR)
            except Exception as error:  # noqa: BLE001 - whatever it is, the last good one holds and it is tried again
                record_failure("Source.read", error)
                self._failures += 1
            else:
                self._arrived(policy)
            return self._pause_s()

    def forget_the_thread(self) -> None:
        """In a forked child: the thread is the parent's, and a lock may be held by nobody who is here."""
        if self._end is not None:
            self._end.detach()
        self._reading = threading.Lock()
        self.is_running = False

    def _arrived(self, policy: Policy | None) -> None:
        if self._is_bad:
            logger.warning("the policy of %s can be used again", self._source.place)
        self._trouble, self._is_bad, self._failures = "", False, 0
        if policy is None or policy == self.policy:
            return
        logger.info("policy %s of %s holds for new connections from now on", policy.version, self._source.place)
        self.policy = policy

    def _stumbled(self, trouble: str, level: int) -> None:
        self._failures = min(self._failures + 1, _FAILURES_COUNTED_MAX)
        if trouble == self._trouble:
            return
        self._trouble, self._is_bad = trouble, level >= logging.ERROR
        held = f"the default of {self._environment}" if self.policy is None else f"version {self.policy.version}"
        logger.log(level, "no new policy: %s; %s holds", trouble, held)

    def _pause_s(self) -> float:
        pause_s = self._interval_s
        if self._failures:
            longest_s = pause_s * (1.0 if self._source.is_local else BACKOFF_INTERVALS_MAX)
            pause_s = min(min(RETRY_S_MIN, pause_s) * 2.0 ** (self._failures - 1), longest_s)
        return self._spread(pause_s)

    @staticmethod
    def _spread(pause_s: float) -> float:
        return pause_s * random.uniform(1 - JITTER_SHARE, 1 + JITTER_SHARE)  # noqa: S311 - spreads requests, guards nothing


def feed_of(given: Path | str | CollectorPolicy, environment: str) -> Feed:
    """The feed of a source, the same one for all who ask for it in this process.

    Raises:
        PolicyError: when the source can't be one.
    """
    source = source_of(given, environment)
    with _shared.lock:
        feed = _shared.feeds.get(source.key)
        if feed is None:
            _shared.feeds[source.key] = feed = Feed(source, environment)
        return feed


def _run(reference: weakref.ref[Feed], woken: threading.Event) -> None:
    """The thread: holds its feed only while it reads."""
    while (feed := reference()) is not None:
        pause_s = _read(feed)
        del feed
        if woken.wait(pause_s):
            return


def _read(feed: Feed) -> float:
    try:
        return feed.read()
    except Exception as error:  # noqa: BLE001 - a thread that ends would leave the policy as it is for ever
        record_failure("Feed.read", error)
        return INTERVAL_S


def _interval_s() -> float:
    text = os.environ.get(INTERVAL_VARIABLE)
    if not text:
        return INTERVAL_S
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if INTERVAL_S_MIN <= value <= INTERVAL_S_MAX:
        return value
    logger.error(
        "%s: expected seconds from %g to %g, but got %r; %g holds",
        INTERVAL_VARIABLE,
        INTERVAL_S_MIN,
        INTERVAL_S_MAX,
        text,
        INTERVAL_S,
    )
    return INTERVAL_S


class _Shared:
    """The feeds of this process."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.feeds: weakref.WeakValueDictionary[Hashable, Feed] = weakref.WeakValueDictionary()

    @failsafe
    def after_fork(self) -> None:
        """Begin anew, with the policies that the parent has read."""
        self.lock = threading.Lock()
        for feed in list(self.feeds.values()):
            feed.forget_the_thread()


_shared: Final = _Shared()
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_shared.after_fork)
