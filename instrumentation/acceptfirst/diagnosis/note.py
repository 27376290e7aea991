"""Says in words what happened on a connection: the note on an exception, a violation's evidence.

One text of Starlette's has at least five causes. Which of them it was is told from the order of events; the places in
the application's code were taken where its WebSocket's methods were called.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from acceptfirst.catalogue import Pattern
from acceptfirst.connection import Connection
from acceptfirst.diagnosis.sites import Site, current_task_name
from acceptfirst.lifecycle import ApplicationConnectionState as State
from acceptfirst.live_evidence import NS_PER_MS, dwell_ms
from acceptfirst.signature import GUARD, describe
from acceptfirst.unread import notable_unread_ms

NOTE_BEGINS: Final = "AcceptFirst: "

DELAY_ANSWERS: Final = {
    "cures": "Yes, a delay of random length on the client's side.",
    "masks": "No. A delay changes the odds and hides the race; it stays.",
    "useless": "No. However long it waits, the outcome is the same.",
    "worsens": "No, waiting makes it worse.",
}


def note(connection: Connection, patterns: tuple[Pattern, ...]) -> str:
    """The text that is added to an exception.

    Args:
        connection: the connection that the exception is about.
        patterns: what its events show, the decisive one first; never empty.
    """
    pattern = patterns[0]
    lines = [
        f"{NOTE_BEGINS}{pattern.name} ({pattern.severity}): {pattern.title}",
        f"  what happened:  {what_happened(connection, pattern)}",
        f"  order:          {' → '.join(describe(connection.signature))}",
        f"  delay helps?    {DELAY_ANSWERS[pattern.delay_helps]}",
        f"  fix:            {pattern.remedy}",
    ]
    if others := [other.name for other in patterns[1:]]:
        lines.append(f"  also:           {', '.join(others)}")
    lines.append(f"  connection:     {connection.id.hex()}")
    return "\n".join(lines)


def evidence_text(connection: Connection, pattern: Pattern) -> str:
    """What a violation span carries as ``acceptfirst.pattern.evidence``: one sentence and the signature."""
    down = connection.describe_down()
    while_down = f" Down: {down}." if down else ""
    return f"{what_happened(connection, pattern)}{while_down} [{connection.signature}]"


def what_happened(connection: Connection, pattern: Pattern) -> str:
    """One sentence about this connection, with places and times where they are known."""
    tell = _SENTENCES.get(pattern.name)
    sentence = tell(connection) if tell else _by_cause(connection, pattern)
    # What was tried in vain is no news in a traceback, which shows it, but all that a log has.
    in_vain = connection.sites.get(GUARD + _TRIED_IN_VAIN.get(pattern.name, ""))
    return f"{sentence.removesuffix('.')}; then came {in_vain}." if in_vain else sentence


def _never_accepted(connection: Connection) -> str:
    del connection
    return "accept() had not been called on this connection."


def _accepted_through_another_object(connection: Connection) -> str:
    return (
        f"the connection was accepted by {_place(connection, 'A', 'accept()')}, but on another WebSocket object made "
        "from the same scope; this object was never accepted."
    )


def _accepted_before(connection: Connection) -> str:
    return f"it had been accepted already: {_place(connection, 'A', 'accept()')}."


def _ended_here(connection: Connection) -> str:
    if "X" in connection.moments:
        closed = _place(connection, "X", "close()")
        return f"the application itself had closed the connection: {closed}."
    denied = _place(connection, "N", "send_denial_response()")
    return f"a denial response had been started: {denied}."


def _send_failed(connection: Connection) -> str:
    return (
        f"an earlier send had failed because the client was gone, and the failure was swallowed: "
        f"{_place(connection, 's', 'send()')}."
    )


def _disconnected(connection: Connection) -> str:
    if "D" not in connection.moments:
        sent = f" by {connection.sites['s']}" if "s" in connection.sites else ""
        return f"the client was gone when the application sent{sent}; its disconnect had not been received yet."
    code = f" with code {connection.close_code}" if connection.close_code else ""
    received = _place(connection, "D", "receive()")
    return f"the client's disconnect{code} had been delivered by {received}."


def _ended_before(connection: Connection) -> str:
    for letter, tell in (("X", _ended_here), ("D", _disconnected), ("s", _send_failed)):
        if letter in connection.moments:
            return tell(connection)
    return "the connection had ended."


def _client_left(connection: Connection) -> str:
    moments = connection.moments
    worked_ms = (moments.get("a", moments.get("A", connection.now_ns())) - connection.started_ns) / NS_PER_MS
    if "a" in moments:
        return f"accept() failed, {worked_ms:.1f} ms after the server handed the connection over: the client had left."
    return (
        f"accept() returned {worked_ms:.1f} ms after the server handed the connection over, and the client was gone "
        f"{dwell_ms(moments) or 0.0:.1f} ms later: it had left before that."
    )


def _refused(connection: Connection) -> str:
    if "X" in connection.moments:
        return f"the application closed the connection before accept(): {_place(connection, 'X', 'close()')}."
    if connection.error_type is not None:
        return f"{connection.error_type} left the application before accept()."
    return "the application returned without accept()."


def _two_readers(connection: Connection) -> str:
    second = connection.sites.get("!R")
    return f"{second or 'a receive()'}{_task_of(second)} began while another receive was waiting on this connection."


def _too_early(connection: Connection) -> str:
    waited_ms = (connection.now_ns() - connection.moments.get("A", connection.started_ns)) / NS_PER_MS
    phases = ", ".join(f"{name} {ms:.1f} ms" for name, ms in connection.phases_ms.items()) or "none had ended"
    return (
        f"{connection.messages_early} message(s) reached the application before it was ready, the last one "
        f"{waited_ms:.1f} ms after accept returned; delay applied {connection.delay_applied_ms:g} ms; phases: {phases}."
    )


def _timed_out(connection: Connection) -> str:
    waiting_for = "readiness" if "A" in connection.moments else "accept"
    return f"no {waiting_for} within the handshake timeout of {connection.policy.handshake_timeout_ms:g} ms."


def _dependency(connection: Connection) -> str:
    if connection.error_type is None:
        return "the connection was refused before the application saw it, since a dependency was down."
    state = next((step.old for step in connection.transitions if step.new is State.ERROR), connection.state)
    return f"{connection.error_type} left the application in state {state}."


def _unread(connection: Connection) -> str:
    unread_s = (notable_unread_ms(connection) or 0.0) / 1000
    return f"for {unread_s:.0f} s no receive was pending, so a disconnect could not be seen."


_SENTENCES: Final[dict[str, Callable[[Connection], str]]] = {
    "receive_before_accept": _never_accepted,
    "send_before_accept": _never_accepted,
    "receive_on_unaccepted_object": _accepted_through_another_object,
    "receive_after_local_close": _ended_here,
    "send_after_close": _ended_here,
    "receive_after_failed_send": _send_failed,
    "receive_after_disconnect": _disconnected,
    "send_after_disconnect": _disconnected,
    "double_accept": _accepted_before,
    "double_close": _ended_before,
    "accept_after_client_gone": _client_left,
    "handshake_rejected_403": _refused,
    "concurrent_receive": _two_readers,
    "early_message_before_ready": _too_early,
    "handshake_stalled": _timed_out,
    "dependency_not_ready": _dependency,
    "zombie_half_open": _unread,
}


_TRIED_IN_VAIN: Final = {
    "receive_before_accept": "R",
    "receive_after_local_close": "R",
    "receive_after_failed_send": "R",
    "receive_after_disconnect": "R",
    "send_before_accept": "S",
    "send_after_disconnect": "S",
    "send_after_close": "S",
    "double_accept": "A",
    "double_close": "X",
}


def _by_cause(connection: Connection, pattern: Pattern) -> str:
    for letter in pattern.caused_by:
        if letter in connection.sites:
            return f"{pattern.title}; it goes back to {_place(connection, letter, '')}."
    return f"{pattern.title}."


def _place(connection: Connection, letter: str, fallback: str) -> str:
    site = connection.sites.get(letter)
    if site is not None:
        return f"{site}{_task_of(site)}, {_ago(connection, site.at_ns)}"
    at_ns = connection.moments.get(letter)
    return fallback if at_ns is None else f"{fallback}, {_ago(connection, at_ns)}"


def _ago(connection: Connection, at_ns: int) -> str:
    return f"{(_judged_ns(connection) - at_ns) / NS_PER_MS:.1f} ms earlier"


def _judged_ns(connection: Connection) -> int:
    """The moment that the sentences speak of: what was tried in vain; else the end; else now."""
    in_vain = [site.at_ns for letter, site in connection.sites.items() if letter.startswith(GUARD)]
    if in_vain:
        return max(in_vain)
    return (
        max(connection.moments.values(), default=connection.started_ns) if connection.finished else connection.now_ns()
    )


def _task_of(site: Site | None) -> str:
    """Only another task than the one that runs now is worth a word."""
    current = current_task_name()
    return f", in another task ({site.task!r})" if site and current and site.task not in ("", current) else ""
