"""An open store: clients that read and one that writes, on chDB or on a ClickHouse server alike.

Each client is serialised by its driver, and a read behind an insert waits for it (270 ms measured, against 2 ms on a
client of its own), as does a quick read behind a long one; hence one that writes, as many that read as are needed at
once, up to a few, and `sibling()` for whoever works beside them. Nothing here ever says USE: every
statement names its database, since a handle's current database is one more thing that can be wrong.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from types import TracebackType
from typing import Any, Protocol, Self

import clickhouse_connect
from clickhouse_connect.driver.exceptions import Error as DriverError

from acceptfirst_store.address import DATABASE, StoreAddress
from acceptfirst_store.errors import StoreUnreachable
from acceptfirst_store.lock import StoreLock
from acceptfirst_store.readers import ReaderPool
from acceptfirst_store.refusals import as_store_error, connection_trouble
from acceptfirst_store.requests import REQUEST_TABLE, request_settings
from acceptfirst_store.results import StatementResult, result_from
from acceptfirst_store.statements import statement

READ_SECONDS_MAX = 60
WRITE_SECONDS_MAX = 60
READ_MEMORY_BYTES_MAX = 1 << 30
WRITE_MEMORY_BYTES_MAX = 2 << 30
CONNECT_SECONDS_MAX = 5
SEND_RECEIVE_SECONDS_MAX = 90

#: A block may hold spans of many days (a clock jump, an outage); one with thousands is hostile, and each costs 10 ms.
PARTITIONS_PER_BLOCK_MAX = 1000

# The driver and what it speaks HTTP with log what they raise, and we raise it again in our words: once is enough.
for _name in ("clickhouse_connect", "urllib3.connectionpool"):
    logging.getLogger(_name).setLevel(logging.CRITICAL)

Parameters = Mapping[str, Any]


class StatementRunner(Protocol):
    """Whoever can run a named, reading statement: a `Database` here, a `RemoteStore` over HTTP."""

    def statement_rows(self, name: str, parameters: Parameters | None = None) -> list[dict[str, Any]]:
        """Run the statement `name` and return its rows."""
        ...


class Database:
    """The store, open. Safe to share between threads; calls on the same client wait for each other.

    Args:
        address: where it is; for an embedded one the caller holds the lock.
        lock: released by `close`, if this one owns it.
    """

    def __init__(self, address: StoreAddress, lock: StoreLock | None = None) -> None:
        self.address = address
        self._lock = lock
        self._closing = threading.Lock()
        self._closed = False
        self._readers = ReaderPool(lambda: _connect(address, READ_SECONDS_MAX, READ_MEMORY_BYTES_MAX))
        try:
            self._writer = _connect(address, WRITE_SECONDS_MAX, WRITE_MEMORY_BYTES_MAX)
        except Exception:
            self._readers.close()
            raise

    def rows(self, sql: str, parameters: Parameters | None = None) -> list[dict[str, Any]]:
        """Read rows.

        Args:
            sql: a SELECT; parameters stand in it as `{name:Type}` and are bound by the store.
            parameters: their values.

        Returns:
            One dict a row; times with a zone are aware datetimes, FixedString is bytes.

        Raises:
            StoreError: see `acceptfirst_store.refusals`.
        """
        return self.result(sql, parameters).rows

    def result(self, sql: str, parameters: Parameters | None = None) -> StatementResult:
        """Read rows with the types of their columns; arguments and errors as in `rows`."""
        with _errors_of("read"), self._readers.borrowed() as reader:
            return result_from(reader.query(sql, parameters=dict(parameters or {})))

    def statement_rows(self, name: str, parameters: Parameters | None = None) -> list[dict[str, Any]]:
        """Run a named statement; see `acceptfirst_store.statements`."""
        return self.rows(statement(name), parameters)

    def statement_result(self, name: str, parameters: Parameters | None = None) -> StatementResult:
        """Run a named statement and keep its types; see `acceptfirst_store.statements`."""
        return self.result(statement(name), parameters)

    def run(self, sql: str, parameters: Parameters | None = None) -> None:
        """Run a statement that returns no rows (DDL, INSERT … SELECT) on the writing client."""
        with _errors_of("write"):
            self._writer.command(sql, parameters=dict(parameters or {}))

    def may(self, right: str) -> bool:
        """Say whether this user has a right, such as `CREATE TABLE`, on the whole database; errors as in `rows`."""
        with _errors_of("read"), self._readers.borrowed() as reader:
            return str(reader.command(f"CHECK GRANT {right} ON {DATABASE}.*")) == "1"

    def insert_rows(self, table: str, rows: Sequence[Mapping[str, Any]]) -> None:
        """Insert rows that all have the keys of the first.

        Args:
            table: its name, without the database.
            rows: column name → value; nothing happens when there are none.
        """
        if not rows:
            return
        columns = list(rows[0])
        data = [[row[column] for column in columns] for row in rows]
        with _errors_of(f"insert into {table}"):
            self._writer.insert(table, data, column_names=columns, database=DATABASE, settings={"async_insert": 0})

    def insert_binary(self, table: str, columns: Sequence[str], rows: bytes) -> None:
        """Insert rows that are encoded already: many, of fixed width, from whoever holds them as columns.

        Args:
            table: its name, without the database.
            columns: in the order in which each row has them.
            rows: in the format ``RowBinary``.
        """
        with _errors_of(f"insert into {table}"):
            self._writer.raw_insert(
                f"{DATABASE}.{table}", column_names=list(columns), insert_block=rows, fmt="RowBinary"
            )

    def insert_requests(self, body: bytes, token: str) -> None:
        """Insert concatenated OTLP trace requests; the store parses them itself.

        Args:
            body: protobuf of one or more ExportTraceServiceRequest, one after the other.
            token: the same bytes under the same token are stored once, however often they are sent.

        Raises:
            DataRefused: these bytes will never be taken.
            StoreUnreachable: not now.
        """
        with _errors_of(f"insert into {REQUEST_TABLE}"):
            self._writer.raw_insert(
                f"{DATABASE}.{REQUEST_TABLE}",
                insert_block=body,
                fmt="ProtobufSingle",
                settings=request_settings(token, embedded=self.address.path is not None),
            )

    def alterable(self, table: str) -> str:
        """Return what stands behind ALTER TABLE or DELETE FROM for a table of ours: in a cluster its local ones."""
        cluster = self.address.cluster
        return f"{self.source(table)} ON CLUSTER '{cluster}'" if cluster else self.source(table)

    def source(self, table: str) -> str:
        """Return the name of the table that holds the rows of this node: what views read, and what is altered."""
        return f"{DATABASE}.{table}_local" if self.address.cluster else f"{DATABASE}.{table}"

    def sibling(self) -> Database:
        """Open clients of one's own on the same store, under the same lock; close it before this one."""
        return Database(self.address)

    def close(self) -> None:
        """Close the clients, then give the lock back; closing twice is once."""
        with self._closing:
            if self._closed:
                return
            self._closed = True
        self._writer.close()
        self._readers.close()
        if self._lock is not None:
            self._lock.release()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def open_database(dsn: str | StoreAddress, *, wait_lock: bool = False) -> Database:
    """Open a store and make sure that its database exists.

    Args:
        dsn: as `StoreAddress.parse` reads it, or an address.
        wait_lock: wait for another process to let go of an embedded store instead of failing.

    Returns:
        The database; use it as a context manager, or close it.

    Raises:
        AddressInvalid: the DSN is none.
        StoreHeld: another process holds the embedded store.
        StoreUnreachable: it can't be opened, read or written.
    """
    address = StoreAddress.parse(dsn) if isinstance(dsn, str) else dsn
    lock = StoreLock(address.path, wait=wait_lock) if address.path is not None else None
    try:
        database = Database(address, lock)
    except BaseException:
        if lock is not None:
            lock.release()
        raise
    try:
        _make_database(database)
    except BaseException:
        database.close()
        raise
    return database


def _make_database(database: Database) -> None:
    """Make the database where there is none: not asked for otherwise, since a writer may not make any."""
    if database.rows("SELECT 1 AS found FROM system.databases WHERE name = {name:String}", {"name": DATABASE}):
        return
    cluster = database.address.cluster
    everywhere = f" ON CLUSTER '{cluster}'" if cluster else ""
    database.run(f"CREATE DATABASE IF NOT EXISTS {DATABASE}{everywhere} ENGINE = Atomic")


def _connect(address: StoreAddress, seconds_max: int, memory_bytes_max: int) -> Any:
    """Open one client; chDB's limits are off by default, so both are always given."""
    settings = {
        "max_execution_time": seconds_max,
        "max_memory_usage": memory_bytes_max,
        "max_partitions_per_insert_block": PARTITIONS_PER_BLOCK_MAX,
    }
    try:
        if address.path is not None:
            address.path.mkdir(parents=True, exist_ok=True)
            return clickhouse_connect.get_client(
                interface="chdb", path=str(address.path), settings=settings, tz_mode="aware"
            )
        return _connect_server(address, settings)
    except (DriverError, OSError, RuntimeError) as error:
        trouble = connection_trouble(error) if address.path is None else ""
        why = f"{trouble}; is a ClickHouse server's HTTP port there?" if trouble else " ".join(str(error).split())
        raise StoreUnreachable(f"the store {address} can't be opened: {why}") from error


def _connect_server(address: StoreAddress, settings: Mapping[str, int]) -> Any:
    # What spreads over a cluster must be stored when the insert returns, and joins must meet all of the other side.
    spread = {"distributed_foreground_insert": 1, "distributed_product_mode": "global"} if address.cluster else {}
    return clickhouse_connect.get_client(
        host=address.host,
        port=address.port,
        username=address.user,
        password=address.password,
        secure=address.secure,
        settings={**settings, **spread},
        tz_mode="aware",
        connect_timeout=CONNECT_SECONDS_MAX,
        send_receive_timeout=SEND_RECEIVE_SECONDS_MAX,
        autogenerate_session_id=False,
    )


@contextmanager
def _errors_of(what: str) -> Iterator[None]:
    """Turn the driver's exceptions into ours; what is neither the driver's nor the system's is a bug and passes."""
    try:
        yield
    except (DriverError, OSError, RuntimeError) as error:
        raise as_store_error(error, what) from error
