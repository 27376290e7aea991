"""Says in words what happened on a connection: the note on an exception, a violation's evidence, ``explain``.

One text of Starlette's has at least five causes. Which of them it was is told from the order of events; the places in
the application's code were taken where its WebSocket's methods were called.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from acceptfirst.catalogue import Pattern
from acceptfirst.connection import Connection
from acceptfirst.diagnosis.sites import Site
from acceptfirst.live_evidence import NS_PER_MS
from acceptfirst.signature import describe

_DELAY_ANSWERS: Final = {
    "cures": "Yes, a delay of random length on the client's side.",
    "masks": "No. A delay changes the odds and hides the race; it stays.",
    "useless": "No. However long it waits, the outcome is the same.",
    "worsens": "No, waiting makes it worse.",
}


def note(connection: Connection, patterns: tuple[Pattern, ...]) -> str:
    """The text that is added to an exception when a guard of the framework raised it.

    Args:
        connection: the connection that the guard stands on.
        patterns: what its events show, the decisive one first; never empty.
    """
    pattern = patterns[0]
    lines = [
        f"AcceptFirst: {pattern.name} ({pattern.severity}): {pattern.title}",
        f"  what happened:  {what_happened(connection, pattern)}",
        f"  order:          {' → '.join(describe(str(connection.signature)))}",
        f"  delay helps?    {_DELAY_ANSWERS[pattern.delay_helps]}",
        f"  fix:            {pattern.remedy}",
        f"  connection:     {connection.id.hex()}",
    ]
    if others := [other.name for other in patterns[1:]]:
        lines.append(f"  also:           {', '.join(others)}")
    return "\n".join(lines)


def evidence_text(connection: Connection, pattern: Pattern) -> str:
    """What a violation span carries as ``acceptfirst.pattern.evidence``: one sentence and the signature."""
    down = connection.describe_down()
    while_down = f" Down: {down}." if down else ""
    return f"{what_happened(connection, pattern)}{while_down} [{connection.signature}]"


def what_happened(connection: Connection, pattern: Pattern) -> str:
    """One sentence about this connection, with places and times where they are known."""
    tell = _SENTENCES.get(pattern.name)
    return tell(connection) if tell else _by_cause(connection, pattern)


def _never_accepted(connection: Connection) -> str:
    del connection
    return "accept() was never called on this connection before this."


def _accepted_through_another_object(connection: Connection) -> str:
    return (
        f"the connection was accepted by {_place(connection, 'A', 'accept()')}, but on another WebSocket object made "
        "from the same scope; this object was never accepted."
    )


def _ended_here(connection: Connection) -> str:
    if "X" in connection.moments:
        return f"the application itself had closed the connection: {_place(connection, 'X', 'close()')}."
    return f"a denial response had been started: {_place(connection, 'N', 'send_denial_response()')}."


def _send_failed(connection: Connection) -> str:
    return (
        f"an earlier send had failed because the client was gone, and the failure was swallowed: "
        f"{_place(connection, 's', 'send()')}."
    )


def _disconnected(connection: Connection) -> str:
    code = f" with code {connection.close_code}" if connection.close_code else ""
    return f"the client's disconnect{code} had been delivered by {_place(connection, 'D', 'receive()')}."


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
    return f"{connection.error_type} left the application in state {connection.transitions[-1].old}."


_SENTENCES: Final[dict[str, Callable[[Connection], str]]] = {
    "receive_before_accept": _never_accepted,
    "send_before_accept": _never_accepted,
    "receive_on_unaccepted_object": _accepted_through_another_object,
    "receive_after_local_close": _ended_here,
    "send_after_close": _ended_here,
    "receive_after_failed_send": _send_failed,
    "receive_after_disconnect": _disconnected,
    "early_message_before_ready": _too_early,
    "handshake_stalled": _timed_out,
    "dependency_not_ready": _dependency,
}


def _by_cause(connection: Connection, pattern: Pattern) -> str:
    for letter in pattern.caused_by:
        if letter in connection.sites:
            return f"{pattern.title}; it goes back to {_place(connection, letter, '')}."
    return f"{pattern.title}."


def _place(connection: Connection, letter: str, fallback: str) -> str:
    site = connection.sites.get(letter)
    if site is not None:
        return f"{site}{_when(connection, site)}"
    since_ms = connection.since_ms(letter, connection.now_ns())
    return fallback if since_ms is None else f"{fallback}, {since_ms:.1f} ms ago"


def _when(connection: Connection, site: Site) -> str:
    ago_ms = (connection.now_ns() - site.at_ns) / NS_PER_MS
    task = f", in task {site.task!r}" if site.task else ""
    return f"{task}, {ago_ms:.1f} ms ago"


def explain(connection: Connection) -> str:
    """The connection's timeline so far, one line an event, with milliseconds since the server handed it over."""
    lines = [f"connection {connection.id.hex()}  state {connection.state}  signature {connection.signature}"]
    steps = [(t.left_ns, f"{t.old} → {t.new}  ({t.trigger})") for t in connection.transitions]
    steps += [(site.at_ns, str(site)) for site in connection.sites.values()]
    lines += [f"  {(at_ns - connection.started_ns) / NS_PER_MS:10.3f} ms  {text}" for at_ns, text in sorted(steps)]
    lines += [f"  phase {name}: {ms:.3f} ms" for name, ms in connection.phases_ms.items()]
    return "\n".join(lines)
