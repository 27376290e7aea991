"""Puts the note on an exception, wherever it comes from: a guard of the framework, the server, the application.

An exception gets a note when a pattern says why it was raised: it came out of an attempt that shows the pattern, or it
completes the pattern by leaving the application. An error of the application's own on a connection that happens to have
shown a pattern earlier gets none.
"""

from __future__ import annotations

from typing import Final

from acceptfirst.catalogue import Pattern
from acceptfirst.connection import Connection
from acceptfirst.diagnosis.note import NOTE_BEGINS, note
from acceptfirst.failsafe import failsafe, record_failure

_ENDED_BY_IT: Final = ", which this exception ended"


def annotate(error: BaseException, connection: Connection, patterns: tuple[Pattern, ...]) -> None:
    """Add the note, unless there is one: whoever saw the exception first stood nearest.

    Args:
        error: what an attempt on this connection raised.
        connection: the connection.
        patterns: what its events show, the decisive one first; where there is none, nothing is added.
    """
    if patterns and not _notes(error):
        error.add_note(note(connection, patterns))


@failsafe
def send_failed(connection: Connection, kind: str, error: Exception) -> None:
    """The server refused a send: tell the connection, and the reader of the traceback."""
    before = _shown_by(connection)
    connection.send_failed(kind)
    after = _shown_by(connection)
    annotate(error, connection, _new(after, before) or after)


@failsafe
def receive_failed(connection: Connection, error: BaseException) -> None:
    """The server refused a receive, or it was cancelled: likewise."""
    connection.receive_raised()
    if isinstance(error, Exception) and "O" in connection.moments:  # the one that servers refuse
        annotate(error, connection, _shown_by(connection))


@failsafe
def application_raised(connection: Connection, error: BaseException) -> None:
    """An exception left the application: likewise, where that is what the pattern is about.

    One exception object can end many connections (they awaited one task, for a dependency that all of them need): each
    connection's note takes the place of the one before, so that none is read in another's traceback.
    """
    before = _shown_by(connection)
    connection.raised(error)
    if not isinstance(error, Exception):
        return  # a cancellation: nobody reads its notes
    if theirs := [text for text in _notes(error) if text.endswith(_ENDED_BY_IT)]:
        error.__notes__ = [text for text in error.__notes__ if text not in theirs]
    new = _new(_shown_by(connection), before)
    if new and not _notes(error):
        error.add_note(note(connection, new) + _ENDED_BY_IT)


def _shown_by(connection: Connection) -> tuple[Pattern, ...]:
    """The patterns so far; none where that fails, so that the connection is told what happened all the same."""
    try:
        return connection.patterns_now()
    except Exception as error:  # noqa: BLE001 - ours must never reach the application
        record_failure("annotation._shown_by", error)
        return ()


def _new(after: tuple[Pattern, ...], before: tuple[Pattern, ...]) -> tuple[Pattern, ...]:
    return tuple(pattern for pattern in after if pattern not in before)


def _notes(error: BaseException) -> list[str]:
    return [text for text in getattr(error, "__notes__", ()) if text.startswith(NOTE_BEGINS)]
