"""Who is in which room, and what is said there."""

from __future__ import annotations

from typing import Any

from starlette.websockets import WebSocket, WebSocketDisconnect


class Room:
    """The members of one room. A member is here from its first answer until it says that it leaves."""

    def __init__(self) -> None:
        self._members: dict[WebSocket, None] = {}  # a set that keeps its order

    def __len__(self) -> int:
        return len(self._members)

    def join(self, member: WebSocket) -> None:
        """Let a member hear what is said."""
        self._members[member] = None

    def leave(self, member: WebSocket) -> None:
        """Forget a member; one that is not here is no error."""
        self._members.pop(member, None)

    async def say(self, message: dict[str, Any]) -> None:
        """Tell all members; one whose connection broke is forgotten."""
        for member in list(self._members):
            if member in self._members:  # may have left while others were told
                try:
                    await member.send_json(message)
                except (WebSocketDisconnect, RuntimeError):
                    self.leave(member)


class Rooms:
    """All rooms, made when somebody enters them."""

    def __init__(self) -> None:
        self._rooms: dict[str, Room] = {}

    def __getitem__(self, name: str) -> Room:
        return self._rooms.setdefault(name, Room())
