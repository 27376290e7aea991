"""What ``recommend --format env`` prints: assignments of which none takes another's place."""

from __future__ import annotations

from typing import Any

from acceptfirst_cli.verbs.recommend import environment_lines


def row(service: str, route: str, timeout_ms: float, verdict: str = "gate") -> dict[str, Any]:
    """A recommendation of a timeout."""
    place = {"environment": "production", "service": service, "route": route}
    return {**place, "verdict": verdict, "delay_ms": None, "timeout_ms": timeout_ms, "poll_interval_ms": None}


def timeouts(*rows: dict[str, Any]) -> list[str]:
    """The lines that are about timeouts."""
    return [line for line in environment_lines(rows) if "TIMEOUT" in line]


def test_name_is_short_where_one_service_has_the_route() -> None:
    """The environment and the route say it."""
    assert timeouts(row("chat", "/ws/chat", 80.0)) == ["ACCEPTFIRST_PRODUCTION_WS_CHAT_TIMEOUT_MS=80.0"]


def test_name_has_the_service_where_two_have_the_route() -> None:
    """Both of them, so that neither looks like the only one."""
    assert timeouts(row("chat", "/ws", 80.0), row("feed", "/ws", 90.0), row("feed", "/other", 70.0)) == [
        "ACCEPTFIRST_PRODUCTION_CHAT_WS_TIMEOUT_MS=80.0",
        "ACCEPTFIRST_PRODUCTION_FEED_WS_TIMEOUT_MS=90.0",
        "ACCEPTFIRST_PRODUCTION_OTHER_TIMEOUT_MS=70.0",
    ]


def test_name_has_a_number_where_even_the_service_is_the_same() -> None:
    """A shell can't tell a dash from an underscore."""
    assert timeouts(row("chat", "/ws-a", 80.0), row("chat", "/ws_a", 90.0)) == [
        "ACCEPTFIRST_PRODUCTION_CHAT_WS_A_TIMEOUT_MS=80.0",
        "ACCEPTFIRST_PRODUCTION_CHAT_WS_A_2_TIMEOUT_MS=90.0",
    ]


def test_what_is_to_be_done_in_the_code_takes_no_name() -> None:
    """It has no value to set."""
    assert timeouts(row("chat", "/ws", 80.0, "code_fix"), row("feed", "/ws", 90.0)) == [
        "ACCEPTFIRST_PRODUCTION_WS_TIMEOUT_MS=90.0"
    ]
