"""The events of a settled connection with their times, so that a person can follow what the signature says."""

from __future__ import annotations

from typing import Final

_BEGUN: Final = "toUnixTimestamp64Nano(first_seen)"
_CONNECTED: Final = "toUnixTimestamp64Nano(connected_at)"

_EVENTS: Final = (
    (f"toUnixTimestamp64Nano(pending_at) - {_BEGUN}", "'connect'", "toUnixTimestamp64Nano(pending_at) != 0"),
    (f"{_CONNECTED} - {_BEGUN}", "'accept'", f"{_CONNECTED} != 0"),
    (f"toUnixTimestamp64Nano(ready_at) - {_BEGUN}", "'ready'", "toUnixTimestamp64Nano(ready_at) != 0"),
    (
        f"toUnixTimestamp64Nano(pending_at) + toInt64(first_message_ns) - {_BEGUN}",
        "'first message'",
        "first_message_ns != 0",
    ),
    (
        f"{_CONNECTED} + toInt64(least(greatest(ifNull(dwell_ms, 0), 0), 1e12) * 1e6) - {_BEGUN}",
        "concat('ended by the ', close_initiator, if(close_code = 0, '', concat(' with ', toString(close_code))))",
        f"isNotNull(dwell_ms) AND {_CONNECTED} != 0",
    ),
    (f"toUnixTimestamp64Nano(last_seen) - {_BEGUN}", "'the last that is known'", "1"),
)


def timeline_sql() -> str:
    """`` Events: connect 0.1 ms, accept 2.3 ms, …``, counted from when the server handed the connection over."""
    events = ", ".join(f"(toInt64({at}), {text}, toBool({known}))" for at, text, known in _EVENTS)
    return f"""concat(' Events: ', arrayStringConcat(arrayMap(
            event -> concat(event.2, ' ', toString(round(event.1 / 1e6, 1)), ' ms'),
            arraySort(event -> event.1, arrayFilter(event -> event.3, [{events}]))), ', '), '.')"""
