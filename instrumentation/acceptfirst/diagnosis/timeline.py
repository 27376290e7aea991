"""Tells a connection's life so far, for somebody who sits in front of a debugger or of a failed test."""

from __future__ import annotations

from collections.abc import Iterator

from acceptfirst.catalogue import Pattern
from acceptfirst.connection import Connection
from acceptfirst.diagnosis.note import DELAY_ANSWERS, what_happened
from acceptfirst.live_evidence import NS_PER_MS
from acceptfirst.signature import ALPHABET, GUARD


class Timeline(str):
    """A text of several lines that a debugger's ``p`` shows as such."""

    __slots__ = ()

    def __repr__(self) -> str:
        return str(self)


def timeline(connection: Connection) -> Timeline:
    """What happened, in order, with milliseconds since the server handed the connection over, and what it means.

    Safe at any time and from any thread: it reads what is there.
    """
    head = f"connection {connection.id.hex()}"
    lines = [f"{head} on {connection.route}" if connection.route else head]
    lines += [f"  {name:<10} {value}" for name, value in _facts(connection)]
    lines += ["", *_events(connection)]
    patterns = connection.patterns_now()
    lines += ["", *(line for pattern in patterns for line in _verdict(connection, pattern))]
    if not patterns:
        lines.append("  no race so far")
    return Timeline("\n".join(lines))


def _facts(connection: Connection) -> Iterator[tuple[str, str]]:
    policy = connection.policy
    yield "state", f"{connection.state}, handshake {connection.outcome}"
    yield "signature", connection.signature
    yield "watched", f"{policy.environment}, readiness {connection.readiness_mode}, gate {connection.gate_mode}"
    kind = "had been waiting" if connection.readiness_mode == "auto" else "before ready"
    early = f", {connection.messages_early} {kind}" if connection.messages_early else ""
    yield "messages", f"{connection.messages_received} received, {connection.messages_sent} sent{early}"
    if connection.phases_ms:
        yield "phases", ", ".join(f"{name} {ms:.1f} ms" for name, ms in connection.phases_ms.items())
    if connection.close_code is not None:
        yield "closed", f"with {connection.close_code} by the {connection.close_initiator}"
    if connection.error_type is not None:
        yield "ended by", connection.error_type


class _Event:
    """What happened at one moment: in words, the state that it led to, and the place in the code."""

    __slots__ = ("at_ns", "state", "text", "where")

    def __init__(self, at_ns: int, text: str) -> None:
        self.at_ns = at_ns
        self.text = text
        self.state = ""
        self.where = ""


def _events(connection: Connection) -> Iterator[str]:
    """One line an event, the first of each letter, and one for its place in the code."""
    by_moment = {at_ns: _Event(at_ns, ALPHABET[letter]) for letter, at_ns in list(connection.moments.items())}
    for step in list(connection.transitions):
        by_moment.setdefault(step.left_ns, _Event(step.left_ns, str(step.trigger))).state = f" → {step.new}"
    events = [_Event(connection.started_ns, "the server handed the connection over"), *by_moment.values()]
    sites = list(connection.sites.items())
    several_tasks = len({site.task for _, site in sites}) > 1
    for letter, site in sites:
        if letter.startswith(GUARD):
            event = _Event(site.at_ns, "tried in vain")
            events.append(event)
        else:
            event = by_moment.get(connection.moments.get(letter, 0)) or _Event(0, "")
        event.where = f"{site}{f' [{site.task}]' if several_tasks else ''}"
    events.sort(key=lambda event: event.at_ns)
    return _aligned(connection.started_ns, events)


def _aligned(started_ns: int, events: list[_Event]) -> Iterator[str]:
    before_ns = started_ns
    yield f"  {'ms':>10}  {'since':>10}"
    for event in events:
        at_ms, since_ms = (event.at_ns - started_ns) / NS_PER_MS, (event.at_ns - before_ns) / NS_PER_MS
        yield f"  {at_ms:10.3f}  {since_ms:+10.3f}  {event.text}{event.state}"
        if event.where:
            yield f"{'':26}{event.where}"
        before_ns = event.at_ns


def _verdict(connection: Connection, pattern: Pattern) -> Iterator[str]:
    yield f"  {pattern.name} ({pattern.severity}): {pattern.title}"
    yield f"    what happened:  {what_happened(connection, pattern)}"
    yield f"    delay helps?    {DELAY_ANSWERS[pattern.delay_helps]}"
    yield f"    fix:            {pattern.remedy}"
