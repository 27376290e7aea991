"""What jobs work for: a running collector, or a server store that nobody has to hold."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Protocol

from acceptfirst_collector.job_history import JobHistory
from acceptfirst_collector.policy.ledger import PolicyLedger
from acceptfirst_collector.services import Services
from acceptfirst_store.database import Database


class JobHost(Protocol):
    """Where jobs read, write and keep their reports."""

    @property
    def database(self) -> Database:
        """The open store."""
        ...

    @property
    def policies(self) -> PolicyLedger:
        """The policies of all environments."""
        ...

    @property
    def reports(self) -> Path:
        """The folder for weekly reports."""
        ...

    @property
    def history(self) -> JobHistory:
        """What ran last."""
        ...

    def worker_request(self) -> dict[str, Any]:
        """How a worker gets at the same store."""
        ...

    def stored_through(self) -> int | None:
        """Any value that changes when something was stored; ``None`` where that is not known."""
        ...


class CollectorHost:
    """A collector: its worker reads through its API, since it holds the store.

    Args:
        services: the collector's; its URL is known once it listens.
    """

    def __init__(self, services: Services) -> None:
        self._services = services

    @property
    def database(self) -> Database:
        """The open store."""
        return self._services.database

    @property
    def policies(self) -> PolicyLedger:
        """The ledger that also answers the backends, so that a step is seen at once."""
        return self._services.policies

    @property
    def reports(self) -> Path:
        """In the data directory."""
        return self._services.settings.data_dir / "reports"

    @property
    def history(self) -> JobHistory:
        """The one that ``status`` shows."""
        return self._services.job_history

    def worker_request(self) -> dict[str, Any]:
        """The URL, this process's own token, and the certificate to believe."""
        tls = self._services.settings.tls
        certificate = "" if tls is None else str(tls.certificate)
        return {"url": self._services.url, "token": self._services.tokens.internal, "certificate": certificate}

    def stored_through(self) -> int | None:
        """How far the writer has got in the log."""
        return self._services.log.stored_through


class StoreHost:
    """A server store, beside the collectors that fill it.

    Args:
        dsn: as it was given; the worker opens it too.
        database: open, its tables migrated.
        data_dir: for reports.
    """

    def __init__(self, dsn: str, database: Database, data_dir: Path) -> None:
        self._dsn = dsn
        self._database = database
        self._data_dir = data_dir
        self._policies = PolicyLedger(database)
        self._history = JobHistory()

    @property
    def database(self) -> Database:
        """The open store."""
        return self._database

    @property
    def policies(self) -> PolicyLedger:
        """A ledger of its own; collectors see a step within a second."""
        return self._policies

    @property
    def reports(self) -> Path:
        """In the data directory."""
        return self._data_dir / "reports"

    @property
    def history(self) -> JobHistory:
        """This process's."""
        return self._history

    def worker_request(self) -> dict[str, Any]:
        """The DSN."""
        return {"dsn": self._dsn}

    def stored_through(self) -> int | None:
        """Others write; nobody tells."""
        return None
