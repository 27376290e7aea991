"""What can be planted in the chat, and where: one table, read by the backend, by its clients and by the demo.

A plant is a bug with the name that the catalogue has for its pattern. Each has a route of its own, so that what was
found can be compared with what was planted, route by route.
"""

from __future__ import annotations

from typing import Final, NamedTuple

CHAT_ROUTE: Final = "/ws/chat/{room}"
BUG_ROUTES_PREFIX: Final = "/ws/bugs/"


class Plant(NamedTuple):
    """One bug.

    Attributes:
        name: how it is switched on.
        pattern: what AcceptFirst should find on its route; ``None`` where it should find nothing.
        mistake: what the code does wrong, in a few words.
        route: the template of the route that has it.
    """

    name: str
    pattern: str | None
    mistake: str
    route: str


def _planted(name: str, mistake: str) -> Plant:
    return Plant(name, name, mistake, BUG_ROUTES_PREFIX + name)


TIMING_RACE: Final = Plant(
    "early_message_before_ready",
    "early_message_before_ready",
    "a fixed 25 ms sleep stands in for a session that is not there yet",
    CHAT_ROUTE,
)

DENIAL: Final = Plant(
    "denial_response", None, "no mistake: refuses with an HTTP answer of its own", BUG_ROUTES_PREFIX + "denial_response"
)

CODE_PLANTS: Final = (
    _planted("receive_before_accept", "accept() is missing on this path"),
    _planted("receive_on_unaccepted_object", "a dependency accepts through a second WebSocket object"),
    _planted("receive_after_local_close", "a moderator's task closes, the loop goes on receiving"),
    _planted("receive_after_failed_send", "a failed send is swallowed, the loop goes on receiving"),
    _planted("receive_after_disconnect", "the disconnect is swallowed, the loop goes on receiving"),
    _planted("send_before_accept", "registered for broadcasts before accept()"),
    _planted("double_accept", "endpoint and manager both accept"),
    _planted("accept_after_client_gone", "slow authentication stands before accept()"),
    _planted("handshake_stalled", "a cold service stands between connect and accept()"),
    _planted("handshake_rejected_403", "close(4401) before accept(): the client sees a bare 403"),
    _planted("send_after_disconnect", "a ticker outlives its reader"),
    _planted("send_after_close", "closed, but still on the broadcast list"),
    _planted("double_close", "close() again in finally"),
    _planted("concurrent_receive", "two tasks read one connection"),
    _planted("dependency_not_ready", "connects to a Redis that is not up yet"),
    _planted("auth_timeout", "waits for a token that never comes"),
)
"""Each is cured by changing the code and by nothing else."""

PLANTS: Final[dict[str, Plant]] = {plant.name: plant for plant in (TIMING_RACE, *CODE_PLANTS, DENIAL)}
BUG_ROUTES: Final[dict[str, Plant]] = {plant.name: plant for plant in (*CODE_PLANTS, DENIAL)}


def chosen(names: str) -> tuple[Plant, ...]:
    """The bugs with routes of their own that a comma-separated list names; ``all`` and ``none`` are understood.

    Raises:
        ValueError: naming the ones that exist, when a name is none of them.
    """
    if names in ("all", "none"):
        return tuple(BUG_ROUTES.values()) if names == "all" else ()
    wanted = [name.strip() for name in names.split(",") if name.strip()]
    if unknown := [name for name in wanted if name not in BUG_ROUTES]:
        raise ValueError(f"expected bugs of {', '.join(BUG_ROUTES)}, but got {', '.join(unknown)}")
    return tuple(BUG_ROUTES[name] for name in wanted)
