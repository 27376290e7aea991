"""What only many connections show: shutdowns, herds that come back, proxies that cut off, cold starts, bad deploys.

Each episode is one incident at one place; it makes its own connections, beside those of the plan.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any, Final

import numpy as np

from acceptfirst_analysis.simulate.climate import Climate
from acceptfirst_analysis.simulate.course import Course
from acceptfirst_analysis.simulate.group import Float64, Group, Int64, Truth
from acceptfirst_analysis.simulate.plan import NS_PER_MS, NS_PER_S, Place

CHAT: Final = Course.of("C A G R S D Z")
Episode = Callable[[Climate, Place, int, np.random.Generator], list[Group]]


def _tails(rng: np.random.Generator, n: int) -> Any:
    """Random halves of identities; drawn in any sample, so that an episode is stored as a whole."""
    return np.column_stack([rng.integers(0, 2**16, n, np.uint64), rng.integers(0, 2**30, n, np.uint64)])


def _chats(
    climate: Climate,
    place: Place,
    rng: np.random.Generator,
    started_ns: Int64,
    lives_ms: Float64,
    *,
    cause: str,
    races: bool,
    close_code: int,
    idle_ms: Float64 | None = None,
    messages: int = 5,
    user: Int64 | None = None,
    course: Course = CHAT,
    accept_ms: Float64 | None = None,
    is_next: bool = False,
) -> Group:
    """Connections that became ready, chatted and ended; all that an episode needs but for refused handshakes.

    Args:
        climate: what holds for all.
        place: where.
        rng: random numbers.
        started_ns: when each began.
        lives_ms: from then to the end.
        cause: the label.
        races: whether these are instances of it, or only belong to the scene.
        close_code: of the end.
        idle_ms: the last frame to the end; a hundredth of its life where it is not given.
        messages: how many each way.
        user: numbers of the users.
        course: another course of seven events.
        accept_ms: handed over to accept returned; quick where it is not given.
        is_next: of the version that episodes deploy.
    """
    n = len(started_ns)
    end = (lives_ms * NS_PER_MS).astype(np.int64)
    last = end - ((lives_ms / 100 if idle_ms is None else idle_ms) * NS_PER_MS).astype(np.int64)
    accepted = rng.uniform(0.3, 3.0, n) if accept_ms is None else accept_ms
    ready = accepted + rng.uniform(1.0, 8.0, n)
    first = ready + np.minimum(rng.uniform(1.0, 60.0, n), np.maximum((last / NS_PER_MS - ready) / 2, 0.01))
    ms = [np.full(n, 0.02), accepted, ready, first, first + 0.005, lives_ms, lives_ms + 0.05]
    event_ns = (np.column_stack(ms) * NS_PER_MS).astype(np.int64)
    return Group(
        course=course,
        place=place,
        started_ns=started_ns,
        event_ns=event_ns,
        tail=_tails(rng, n),
        version=np.full(n, len(climate.plan.versions) - 1) if is_next else climate.version_at(started_ns),
        truth=Truth(
            cause=cause,
            patterns=(cause,) if races else (),
            ready_ms=ready - accepted,
            cold=np.zeros(n, bool),
            censored=np.full(n, place.mode == "blind"),
        ),
        last_frame_ns=np.maximum(last, event_ns[:, 4]),
        received=np.full(n, messages),
        sent=np.full(n, messages),
        early=np.zeros(n, np.int64),
        close_code=np.full(n, close_code),
        held_ms=np.full(n, np.nan),
        user=np.zeros(n, np.int64) if user is None else user,
    )


def _refused(climate: Climate, place: Place, rng: np.random.Generator, started_ns: Int64, cause: str) -> Group:
    """Handshakes that were cut off: their accept failed."""
    n = len(started_ns)
    event_ns = (np.column_stack([np.full(n, 0.02), rng.uniform(1, 5, n), rng.uniform(5, 6, n)]) * NS_PER_MS).astype(
        np.int64
    )
    zeros, unknown = np.zeros(n, np.int64), np.full(n, np.nan)
    return Group(
        course=Course.of("C a E"),
        place=place,
        started_ns=started_ns,
        event_ns=event_ns,
        tail=_tails(rng, n),
        version=climate.version_at(started_ns),
        truth=Truth(
            cause=cause, patterns=(cause,), ready_ms=unknown, cold=np.zeros(n, bool), censored=np.ones(n, bool)
        ),
        last_frame_ns=zeros,
        received=zeros,
        sent=zeros,
        early=zeros,
        close_code=zeros,
        held_ms=unknown,
        user=zeros,
        error_type="OSError",
        error_kind="client_gone",
    )


def shutdown(climate: Climate, place: Place, at_ns: int, rng: np.random.Generator) -> list[Group]:
    """The server stops under 40 open connections, and under three handshakes."""
    lives_ms = rng.uniform(500, 60_000, 40)
    ended = at_ns + (rng.uniform(0, 0.4, 40) * NS_PER_S).astype(np.int64)
    started = ended - (lives_ms * NS_PER_MS).astype(np.int64)
    name = "shutdown_with_open_sockets"
    return [
        _chats(climate, place, rng, started, lives_ms, cause=name, races=True, close_code=1012),
        _refused(climate, place, rng, at_ns + rng.integers(0, 300 * NS_PER_MS, 3), name),
    ]


def reconnect_herd(climate: Climate, place: Place, at_ns: int, rng: np.random.Generator) -> list[Group]:
    """Sixty connections break off within a second; their clients all come back in one second, ten seconds later."""
    second_ns = at_ns // NS_PER_S * NS_PER_S
    lives_ms = rng.uniform(2000, 20_000, 60)
    broke = second_ns + rng.integers(0, 900 * NS_PER_MS, 60)
    started = broke - (lives_ms * NS_PER_MS).astype(np.int64)
    back = second_ns + 10 * NS_PER_S + rng.integers(0, 900 * NS_PER_MS, 60)
    name = "reconnect_storm"
    return [
        _chats(climate, place, rng, started, lives_ms, cause=name, races=False, close_code=1006),
        _chats(climate, place, rng, back, rng.uniform(500, 9000, 60), cause=name, races=True, close_code=1000),
    ]


def reconnect_timer(climate: Climate, place: Place, at_ns: int, rng: np.random.Generator) -> list[Group]:
    """One user's client comes back every 5 s, whatever happens; five intervals make a timer, so the sixth shows it."""
    started = at_ns + np.arange(12) * 5 * NS_PER_S + rng.integers(0, 100 * NS_PER_MS, 12)
    user = np.full(12, 1_000_000_000 + int(rng.integers(0, 10**9)))
    lives_ms = rng.uniform(100, 900, 12)
    return [
        _chats(
            climate,
            place,
            rng,
            started[rows],
            lives_ms[rows],
            cause="reconnect_storm",
            races=races,
            close_code=1006,
            user=user[rows],
        )
        for rows, races in ((slice(0, 5), False), (slice(5, 12), True))
    ]


def idle_cutoff(climate: Climate, place: Place, at_ns: int, rng: np.random.Generator) -> list[Group]:
    """A proxy drops thirty connections that have been silent for a minute."""
    lives_ms = rng.uniform(70_000, 90_000, 30)
    started = at_ns + (np.arange(30) * 3 * NS_PER_S) - (lives_ms * NS_PER_MS).astype(np.int64)
    idle_ms = rng.uniform(60_000, 60_900, 30)
    return [
        _chats(
            climate,
            place,
            rng,
            started,
            lives_ms,
            cause="proxy_idle_cutoff",
            races=True,
            close_code=1006,
            idle_ms=idle_ms,
        )
    ]


def eviction(climate: Climate, place: Place, at_ns: int, rng: np.random.Generator) -> list[Group]:
    """Six users are connected twice; when the older connection ends, the newer one gets nothing any more."""
    user = 2_000_000_000 + rng.integers(0, 10**9) + np.arange(6)
    older = at_ns + np.arange(6) * 7 * NS_PER_S
    newer = older + 20 * NS_PER_S
    older_ends = older + 80 * NS_PER_S
    silent_ms = rng.uniform(60_000, 90_000, 6)
    newer_lives_ms = (older_ends - newer) / NS_PER_MS + silent_ms
    name = "duplicate_connection_eviction"
    return [
        _chats(climate, place, rng, older, np.full(6, 80_000.0), cause=name, races=False, close_code=1001, user=user),
        _chats(
            climate,
            place,
            rng,
            newer,
            newer_lives_ms,
            cause=name,
            races=True,
            close_code=1001,
            user=user,
            idle_ms=silent_ms + rng.uniform(50, 400, 6),
            messages=30,
        ),
    ]


def cold_deploy(climate: Climate, place: Place, at_ns: int, rng: np.random.Generator) -> list[Group]:
    """A new version takes over before it is warm: sixty clients wait for its cold work, later ones for less of it."""
    own, started_ns = _alone(climate, place, at_ns, before=NS_PER_S * 60, after=NS_PER_S * 600)
    before = started_ns - np.arange(1, 31) * NS_PER_S
    return [
        _chats(climate, own, rng, before, rng.uniform(500, 9000, 30), cause=COLD, races=False, close_code=1000),
        *_thaw(climate, own, rng, started_ns, is_next=True),
    ]


def cold_restart(climate: Climate, place: Place, at_ns: int, rng: np.random.Generator) -> list[Group]:
    """The server stops under eight connections and comes back cold, in the same version."""
    own, started_ns = _alone(climate, place, at_ns, before=NS_PER_S * 60, after=NS_PER_S * 600)
    lives_ms = rng.uniform(2000, 30_000, 8)
    stopped = started_ns - 5 * NS_PER_S + rng.integers(0, 400 * NS_PER_MS, 8) - (lives_ms * NS_PER_MS).astype(np.int64)
    name = "shutdown_with_open_sockets"
    return [
        _chats(climate, own, rng, stopped, lives_ms, cause=name, races=True, close_code=1012),
        *_thaw(climate, own, rng, started_ns, is_next=False),
    ]


def _thaw(climate: Climate, place: Place, rng: np.random.Generator, at_ns: int, *, is_next: bool) -> list[Group]:
    """Sixty clients in forty seconds, each slower than the next but within the timeout; five minutes on, the usual."""
    came_s = np.sort(rng.uniform(0.0, 40.0, 60))
    accept_ms = place.policy.handshake_timeout_ms * (0.85 - 0.25 * came_s / 40.0) * rng.uniform(0.98, 1.02, 60)
    cold, warm = (at_ns + (times_s * NS_PER_S).astype(np.int64) for times_s in (came_s, rng.uniform(300.0, 590.0, 90)))
    lives = [accept_ms + 100 + rng.uniform(500, 5000, 60), rng.uniform(500, 5000, 90)]
    return [
        _chats(
            climate,
            place,
            rng,
            cold,
            lives[0],
            cause=COLD,
            races=True,
            close_code=1000,
            accept_ms=accept_ms,
            is_next=is_next,
        ),
        _chats(climate, place, rng, warm, lives[1], cause=COLD, races=False, close_code=1000, is_next=is_next),
    ]


def bad_deploy(climate: Climate, place: Place, at_ns: int, rng: np.random.Generator) -> list[Group]:
    """A new version takes four times as long to accept, from its first connection on, which stands for all of them."""
    before_ns, after_ns = 90 * 60 * NS_PER_S, 115 * 60 * NS_PER_S
    if climate.plan.until_ns - climate.plan.since_ns < before_ns + after_ns:
        return []  # too short a range to tell it from a bad moment
    own, started_ns = _alone(climate, place, at_ns, before=before_ns, after=after_ns)
    old = started_ns - rng.integers(NS_PER_S, before_ns, 260)
    new = started_ns + np.sort(np.append(rng.integers(NS_PER_S, after_ns - 60 * NS_PER_S, 299), 0))
    groups = [
        _chats(climate, own, rng, old, rng.uniform(500, 9000, 260), cause=REGRESSION, races=False, close_code=1000)
    ]
    for rows, races in ((slice(0, 1), True), (slice(1, None), False)):
        came = new[rows]
        groups.append(
            _chats(
                climate,
                own,
                rng,
                came,
                rng.uniform(500, 9000, len(came)),
                cause=REGRESSION,
                races=races,
                close_code=1000,
                accept_ms=16.0 * np.exp(0.3 * rng.standard_normal(len(came))),
                is_next=True,
            )
        )
    return groups


def _alone(climate: Climate, place: Place, at_ns: int, *, before: int, after: int) -> tuple[Place, int]:
    """A service of its own, so that no other handshakes are what is usual there, and a moment with room around it."""
    plan = climate.plan
    moment = max(plan.since_ns + before, min(at_ns, plan.until_ns - after))
    minutes = (at_ns - plan.since_ns) // (60 * NS_PER_S)
    return replace(place, service=f"{place.service}-{minutes}"), moment


COLD: Final = "cold_start_stampede"
REGRESSION: Final = "regression_after_deploy"

EPISODES: Final[dict[str, Sequence[Episode]]] = {
    "duplicate_connection_eviction": (eviction,),
    "shutdown_with_open_sockets": (shutdown,),
    "reconnect_storm": (reconnect_herd, reconnect_timer),
    "proxy_idle_cutoff": (idle_cutoff,),
    COLD: (cold_deploy, cold_restart),
    REGRESSION: (bad_deploy,),
}
"""By the pattern that they are instances of."""
