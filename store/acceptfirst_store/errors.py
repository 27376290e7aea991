"""Everything that can go wrong with the store, split by who can do something about it."""

from __future__ import annotations

from typing import Any


class StoreError(Exception):
    """Base of the store's errors; its text is one line that says what was expected, what came and what to do."""


class AddressInvalid(StoreError):  # noqa: N818 - says the state, like the words of the users' guide
    """The DSN is not one we understand: the user's to mend."""


class StoreHeld(StoreError):  # noqa: N818 - says the state, like the words of the users' guide
    """Another process holds the embedded store.

    Attributes:
        holder: what the lock file says of it: `pid`, `command`, `since` (ISO 8601, UTC); empty if it says nothing.
    """

    def __init__(self, path: str, holder: dict[str, Any]) -> None:
        self.holder = holder
        pid = holder.get("pid", "unknown")
        command = holder.get("command", "an unknown command")
        since = holder.get("since", "an unknown time")
        super().__init__(
            f"the store {path} is held by process {pid} ({command}) since {since}; "
            "stop it, or give its address with --url"
        )


class StoreUnreachable(StoreError):  # noqa: N818 - says the state, like the words of the users' guide
    """The store can't be reached, read or written just now; the same call may succeed later."""


class StoreRefused(StoreError):  # noqa: N818 - says the state, like the words of the users' guide
    """The store understood and said no: the same call will fail again.

    Attributes:
        code: ClickHouse's error code, 0 if it gave none.
    """

    def __init__(self, message: str, code: int = 0) -> None:
        self.code = code
        super().__init__(message)


class DataRefused(StoreRefused):
    """The store can't take these very data (not: the statement, the table or the rights)."""


class RequestInvalid(StoreRefused):
    """What was asked for makes no sense, whatever the store holds: the caller's to mend."""


class MigrationInvalid(StoreError):  # noqa: N818 - says the state, like the words of the users' guide
    """The migration files and what the store remembers of them contradict each other."""


class StatementUnknown(StoreError):  # noqa: N818 - says the state, like the words of the users' guide
    """No named statement of that name exists."""
