"""Log records that say which connection they belong to.

``ConnectionFilter`` on a handler gives each record that passes ``connection_id``, ``trace_id`` and ``span_id``, for a
formatter (``%(connection_id)s``) as for the OpenTelemetry SDK's ``LoggingHandler``, which exports them as attributes.
``correlate`` does the same for every record of the process. Nothing here happens unless it is asked for,
and a connection that began before it was is not known.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any, Final

from acceptfirst.connection import Connection
from acceptfirst.current_connection import ask, running
from acceptfirst.failsafe import failsafe

_NOWHERE: Final = {"connection_id": "", "trace_id": "", "span_id": ""}


class ConnectionFilter(logging.Filter):
    """Lets every record pass, and gives it the ids of the connection whose code made it.

    ``connection_id`` has 32 hex digits, ``trace_id`` 32 and ``span_id`` 16: those of the connection's handshake span.
    All are empty outside a connection, the latter two also where nothing of the connection is exported. What a record
    has already under one of these names is kept. Put it on a handler that runs in the thread that logs: behind a queue
    nobody knows the connection any more.
    """

    def __init__(self, name: str = "") -> None:
        super().__init__(name)
        ask()

    def filter(self, record: logging.LogRecord) -> bool:
        """Give the record its ids; always true."""
        _stamp(record)
        return True


class _Factory:
    """Makes records as the factory before it did, and gives them their ids."""

    def __init__(self, before: Callable[..., logging.LogRecord]) -> None:
        self.before = before

    def __call__(self, *args: Any, **kwargs: Any) -> logging.LogRecord:
        record = self.before(*args, **kwargs)
        _stamp(record)
        return record


def correlate() -> None:
    """Give every log record of this process its ids, whichever way it takes; twice is as good as once."""
    ask()
    factory = logging.getLogRecordFactory()
    if not isinstance(factory, _Factory):
        logging.setLogRecordFactory(_Factory(factory))


def stop_correlating() -> None:
    """Take ``correlate`` back, unless somebody has put a record factory of their own on top of it since."""
    factory = logging.getLogRecordFactory()
    if isinstance(factory, _Factory):
        logging.setLogRecordFactory(factory.before)


@failsafe
def _stamp(record: logging.LogRecord) -> None:
    connection = running()
    ids = _NOWHERE if connection is None else _ids(connection)
    for name, value in ids.items():
        record.__dict__.setdefault(name, value)


def _ids(connection: Connection) -> dict[str, str]:
    identify = getattr(connection.observers, "identify", None)
    identity = identify(connection) if identify is not None else None
    if identity is None:
        return {**_NOWHERE, "connection_id": connection.id.hex()}
    return {
        "connection_id": connection.id.hex(),
        "trace_id": f"{identity.trace_id:032x}",
        "span_id": f"{identity.span_id:016x}",
    }
