"""The scenarios: what the application does wrong, what the client does, and which pattern that is."""

from __future__ import annotations

from collections.abc import Collection
from typing import Final, NamedTuple

from server_matrix.clients import (
    Client,
    answers,
    closes,
    says,
    says_at_once,
    stays,
    vanishes,
    vanishes_before_accept,
)

SHUTDOWN: Final = "shutdown"
_LISTENS: Final = says()
_DEEDS: Final = frozenset({"bare", "starlette_app", "fastapi_app", "litestar_app"})
_CONSUMER: Final = _DEEDS | {"channels_app"}
_ALL: Final = _CONSUMER | {"socketio_app"}


class Scenario(NamedTuple):
    """One thing that an application and its client do.

    Attributes:
        title: in the page.
        client: what the client does.
        patterns: what AcceptFirst is to find, whatever the server.
        frameworks: those in which it can be said.
        observed: the variant that is compared with ``plain``.
    """

    title: str
    client: Client
    patterns: Collection[str]
    frameworks: frozenset[str] = _CONSUMER
    observed: str = "observed"


SCENARIOS: Final[dict[str, Scenario]] = {
    "echo": Scenario("A message is answered, and the application closes with 1000", says("hello"), (), _ALL),
    "client_closes": Scenario("The client closes with 1000", closes, (), _ALL),
    "client_aborts": Scenario("The client cuts the line", vanishes("hello"), (), _ALL),
    "receive_before_accept": Scenario(
        "The application receives without having accepted", _LISTENS, ["receive_before_accept"]
    ),
    "send_before_accept": Scenario("The application sends without having accepted", _LISTENS, ["send_before_accept"]),
    "double_accept": Scenario("The application accepts twice", _LISTENS, ["double_accept"]),
    "accept_after_client_gone": Scenario(
        "The client has left before the application accepts", vanishes_before_accept, ["accept_after_client_gone"]
    ),
    "reject_before_accept": Scenario(
        "The application closes with 4401 before it accepts", _LISTENS, ["handshake_rejected_403"], _ALL
    ),
    "return_without_accept": Scenario(
        "The application returns without having accepted", _LISTENS, ["handshake_rejected_403"], _DEEDS
    ),
    "exception_after_accept": Scenario("An exception leaves the application after accept", _LISTENS, (), _ALL),
    "receive_after_own_close": Scenario(
        "The application receives after its own close", _LISTENS, ["receive_after_local_close"]
    ),
    "send_after_own_close": Scenario("The application sends after its own close", _LISTENS, ["send_after_close"]),
    "double_close": Scenario("The application closes twice", _LISTENS, ["double_close"]),
    "receive_after_disconnect": Scenario(
        "The application receives after the client's disconnect", closes, ["receive_after_disconnect"], _DEEDS
    ),
    "send_after_disconnect": Scenario(
        "The application sends after the client's disconnect", closes, ["send_after_disconnect"]
    ),
    "close_after_disconnect": Scenario(
        "The application closes after the client's disconnect", closes, ["double_close"]
    ),
    "swallowed_failed_send": Scenario(
        "The application swallows what sends to a vanished client raise, and receives",
        vanishes("hello"),
        ["receive_after_failed_send"],
    ),
    "concurrent_receive": Scenario(
        "Two tasks of the application receive at once", answers("one", "two"), ["concurrent_receive"], _DEEDS
    ),
    "early_message": Scenario(
        "The first message comes before the application said that it is ready (`event` mode)",
        says_at_once("early"),
        ["early_message_before_ready"],
        _ALL,
        "event",
    ),
    SHUTDOWN: Scenario("The server is stopped while the connection is open", stays("hello"), (), _ALL),
}
"""By the name that stands in the path; the page keeps this order."""

SOCKETIO_CLIENTS: Final[dict[str, Client]] = {
    "echo": says('42["say","hello"]'),
    "client_aborts": vanishes('42["say","hello"]'),
    "early_message": says_at_once('42["say","early"]', "1"),
    SHUTDOWN: stays('42["say","hello"]'),
}
"""The same in Socket.IO's packets, where something is said."""
SOCKETIO_GREETING: Final = ("40",)
SOCKETIO_QUERY: Final = "?EIO=4&transport=websocket"


def client_of(framework: str, scenario: str) -> Client:
    """Who plays the client's part."""
    own = SOCKETIO_CLIENTS.get(scenario) if framework == "socketio_app" else None
    return own or SCENARIOS[scenario].client


def scenarios_of(framework: str) -> list[str]:
    """The scenarios that can be said in a framework, shutdown last."""
    return [name for name, scenario in SCENARIOS.items() if framework in scenario.frameworks]
