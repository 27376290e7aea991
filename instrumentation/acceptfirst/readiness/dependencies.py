"""What an application needs besides itself, and how to ask whether it is there.

The clients are the application's own: nothing of Redis or Postgres is imported here, and a check is whatever method the
client has. A check never tells more than its exception's class: texts of drivers carry addresses and user names.
"""

from __future__ import annotations

import importlib
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, NamedTuple

Check = Callable[[], Awaitable[object]]

DEADLINE_MS: Final = 1000.0
INTERVAL_MS: Final = 1000.0
TIME_MS_MAX: Final = 3_600_000.0


class DependencyError(ValueError):
    """A dependency that can't be asked; says what was expected and what came."""


@dataclass(frozen=True, slots=True)
class Dependency:
    """Something that must answer before the application can serve a WebSocket.

    Attributes:
        name: as spans, metrics and evidence carry it; no address, no secret.
        check: an async callable without arguments; what it gives must be true, not ``None``, where all is well.
        deadline_ms: how long one call may take, in milliseconds; what takes longer is a no.
        interval_ms: milliseconds between two calls while it is up; while it is down they become rarer.
        required: whether the start-up gate refuses connections while it is down.

    Raises:
        DependencyError: when the name is empty, the check can't be called or a time is out of bounds.
    """

    name: str
    check: Check
    deadline_ms: float = DEADLINE_MS
    interval_ms: float = INTERVAL_MS
    required: bool = True

    def __post_init__(self) -> None:
        name: Any = self.name
        if not isinstance(name, str) or not name:
            raise DependencyError(f"expected a dependency's name, a text that is not empty, but got {self.name!r}")
        if not callable(self.check):
            raise DependencyError(
                f"expected the check of {self.name!r} to be an async callable, but got {type(self.check).__name__}"
            )
        for field in ("deadline_ms", "interval_ms"):
            _require_time(self.name, field, getattr(self, field))


class DependencyStatus(NamedTuple):
    """What is known of one dependency in this process and event loop.

    Attributes:
        name: of the dependency.
        is_up: ``None`` until the first answer.
        required: whether the start-up gate asks for it.
        since: aware UTC time of the last change, ``None`` until the first answer.
        checked_at: aware UTC time of the last answer.
        duration_ms: how long the last answer took, in milliseconds.
        error_type: class of what the last check raised, ``None`` where it raised nothing.
    """

    name: str
    is_up: bool | None
    required: bool
    since: datetime | None = None
    checked_at: datetime | None = None
    duration_ms: float | None = None
    error_type: str | None = None


def redis_dependency(
    client: Any,
    *,
    name: str = "redis",
    deadline_ms: float = DEADLINE_MS,
    interval_ms: float = INTERVAL_MS,
    required: bool = True,
) -> Dependency:
    """A Redis, asked with PING.

    Args:
        client: a ``redis.asyncio`` client (anything with an async ``ping()``); a callable that gives one, for a client
            that is made when the application starts; or a URL, for which each check opens and closes a connection.
        name: see ``Dependency``, like all that follow.
        deadline_ms: of one check.
        interval_ms: between two checks.
        required: whether the start-up gate asks for it.

    Raises:
        DependencyError: when the client is none of these.
    """
    if isinstance(client, str):
        check = _ping_by_url(client)
    else:
        _require_client(client, ("ping",), name)
        check = _ping(client)
    return Dependency(name, check, deadline_ms=deadline_ms, interval_ms=interval_ms, required=required)


def postgres_dependency(
    client: Any,
    *,
    name: str = "postgres",
    deadline_ms: float = DEADLINE_MS,
    interval_ms: float = INTERVAL_MS,
    required: bool = True,
) -> Dependency:
    """A Postgres, asked with ``select 1``.

    Args:
        client: a pool or connection of asyncpg, a psycopg pool or async connection, an async engine of SQLAlchemy; or a
            callable that gives one. Give the pool rather than one connection: that may be busy with another query. A
            pool without a free connection within the deadline counts as down.
        name: see ``Dependency``, like all that follow.
        deadline_ms: of one check.
        interval_ms: between two checks.
        required: whether the start-up gate asks for it.

    Raises:
        DependencyError: when the client is none of these.
    """
    _require_client(client, _POSTGRES_SIGNS, name)

    async def check() -> bool:
        return await _select_one(_given(client, _POSTGRES_SIGNS))

    return Dependency(name, check, deadline_ms=deadline_ms, interval_ms=interval_ms, required=required)


def _ping(client: Any) -> Check:
    async def check() -> object:
        answer: object = await _given(client, ("ping",)).ping()
        return answer

    return check


def _ping_by_url(url: str) -> Check:
    """Looked up by name since the library may import nothing of Redis; a client of an event loop can't be kept."""
    try:
        redis: Any = importlib.import_module("redis.asyncio")
    except ImportError as error:
        raise DependencyError(
            "expected the Redis client library for a dependency by URL, but it is not there: pip install redis"
        ) from error

    async def check() -> object:
        async with redis.Redis.from_url(url) as client:
            answer: object = await client.ping()
            return answer

    return check


# What only asyncpg, psycopg's pools, SQLAlchemy's engines and psycopg's connections have, in this order: connections of
# psycopg's have a ``connect`` and a ``connection`` too, which mean something else.
_POSTGRES_SIGNS: Final = ("fetchval", "getconn", "sync_engine", "execute")


async def _select_one(client: Any) -> bool:
    """Ask in the way of whichever library the client is from, told by what it has."""
    if hasattr(client, "fetchval"):  # asyncpg
        return bool(await client.fetchval("select 1") == 1)
    if hasattr(client, "getconn"):  # a pool of psycopg's
        async with client.connection() as connection:
            await connection.execute("select 1")
    elif hasattr(client, "sync_engine"):  # SQLAlchemy
        async with client.connect() as connection:
            await connection.exec_driver_sql("select 1")
    else:  # a connection of psycopg's
        await client.execute("select 1")
    return True


def _given(client: Any, methods: tuple[str, ...]) -> Any:
    """The client itself, or what the callable gives that stands for it."""
    return client if _has_any(client, methods) else client()


def _has_any(client: Any, methods: tuple[str, ...]) -> bool:
    return any(hasattr(client, method) for method in methods)


def _require_client(client: Any, methods: tuple[str, ...], name: str) -> None:
    if not _has_any(client, methods) and not callable(client):
        raise DependencyError(
            f"expected the client of {name!r} to have one of {', '.join(methods)}, or a callable that "
            f"gives such a client, but got {type(client).__name__}"
        )


def _require_time(name: str, field: str, value: Any) -> None:
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    if not is_number or not 1 <= value <= TIME_MS_MAX:
        raise DependencyError(
            f"expected {field} of {name!r} to be a number from 1 to {TIME_MS_MAX:g}, but got {value!r}"
        )
