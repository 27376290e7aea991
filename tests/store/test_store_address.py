"""A DSN is understood or refused with one line; a password is never repeated."""

from __future__ import annotations

import pathlib

import pytest

from acceptfirst_store.address import StoreAddress
from acceptfirst_store.database import open_database
from acceptfirst_store.errors import AddressInvalid, StatementUnknown, StoreUnreachable
from acceptfirst_store.statements import statement, statement_names

DEAD = (
    r"^the store clickhouse://127\.0\.0\.1:1/acceptfirst can't be opened: connection refused; "
    r"is a ClickHouse server's HTTP port there\?$"
)
"""One sentence, whole: the driver's own has 400 characters."""


def test_address_reads_an_embedded_path() -> None:
    """Three slashes and a path."""
    assert StoreAddress.parse("chdb:///var/lib/a%20b") == StoreAddress(path=pathlib.Path("/var/lib/a b"))


def test_address_reads_a_server() -> None:
    """User, password, host and port; quoted characters are unquoted."""
    address = StoreAddress.parse("clickhouses://ann:p%40ss@db.example/acceptfirst")
    assert (address.user, address.password, address.host, address.port) == ("ann", "p@ss", "db.example", 8443)
    assert address.secure


@pytest.mark.parametrize(
    "dsn", ["", "db", "chdb://relative/path", "chdb:///", "http://host", "clickhouse://", "clickhouse://h:99999",
            "clickhouse://h/other"],
)  # fmt: skip
def test_address_refuses_what_it_does_not_understand(dsn: str) -> None:
    """One line that says what was expected."""
    with pytest.raises(AddressInvalid, match=r"^expected [^\n]+$"):
        StoreAddress.parse(dsn)


def test_address_never_shows_its_password() -> None:
    """Neither in a message nor in a debugger's line."""
    address = StoreAddress.parse("clickhouse://ann:secret@db.example")
    assert "secret" not in f"{address} {address!r}"


def test_open_database_says_that_a_server_is_unreachable() -> None:
    """A refused connection is one line, of the class for it."""
    with pytest.raises(StoreUnreachable, match=DEAD):
        open_database("clickhouse://127.0.0.1:1")


@pytest.mark.parametrize("name", ["", "nope", "../requests", "handshakes_page.sql", "a" * 999])
def test_statement_refuses_a_name_that_is_none(name: str) -> None:
    """A name may come over HTTP, so it never reaches the file system."""
    with pytest.raises(StatementUnknown, match="expected one of the statements"):
        statement(name)


@pytest.mark.parametrize("name", statement_names())
def test_statement_says_what_it_is_for(name: str) -> None:
    """Each opens with a comment, and only reads."""
    text = statement(name)
    assert text.startswith("--")
    code = " ".join(line for line in text.splitlines() if not line.lstrip().startswith("--"))
    assert code.split()[0] in {"SELECT", "WITH"}
