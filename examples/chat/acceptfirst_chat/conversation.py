"""The chat itself, and in it the race of the incident.

A session takes its time, and a client speaks when it likes. The code below is what the incident's team wrote: accept,
start making the session, let the coordinator say when messages may be handled. Which of two things that means is not
decided here but by the policy:

- ``blind``: the coordinator sleeps 25 ms and messages are handled, session or no session;
- ``event`` with ``gate="hold"``: messages wait until the session says ``acceptfirst.ready()``.
"""

from __future__ import annotations

import asyncio
import json
from typing import Any, Final

from fastapi import WebSocket
from starlette.websockets import WebSocketDisconnect

import acceptfirst
from acceptfirst_chat.ledger import Ledger
from acceptfirst_chat.plants import TIMING_RACE
from acceptfirst_chat.rooms import Room, Rooms
from acceptfirst_chat.sessions import Session, SessionMaker, TokenError

NO_SESSION: Final = 4425
"""Close code for a message that came before its session: HTTP's 425 Too Early, among the codes left to applications."""
BAD_TOKEN: Final = 4403
BAD_MESSAGE: Final = 4400


class Conversation:
    """One connection to the chat."""

    def __init__(self, websocket: WebSocket, room: Room, ledger: Ledger) -> None:
        self._websocket = websocket
        self._room = room
        self._ledger = ledger
        self.session: Session | None = None
        self.is_over = False

    async def hold(self) -> None:
        """Handle messages until the client leaves or one of them can't be handled."""
        try:
            while not self.is_over:
                await self._handle(await self._websocket.receive_text())
        except WebSocketDisconnect:
            pass
        finally:
            self._room.leave(self._websocket)

    async def refuse(self, code: int, why: str) -> None:
        """Say why, and close."""
        self.is_over = True
        await self._websocket.send_json({"type": "error", "why": why})
        await self._websocket.close(code, why)

    async def _handle(self, text: str) -> None:
        message = _parsed(text)
        if self.session is None:
            self._ledger.plant(TIMING_RACE.name)
            await self.refuse(NO_SESSION, "no session yet")
        elif message is None:
            await self.refuse(BAD_MESSAGE, "expected a JSON object with a type")
        else:
            await self._answer(message, self.session)

    async def _answer(self, message: dict[str, Any], session: Session) -> None:
        if message["type"] == "join":
            self._room.join(self._websocket)
            await self._websocket.send_json({"type": "welcome", "user": session.user, "members": len(self._room)})
        elif message["type"] == "leave":
            self._room.leave(self._websocket)
            await self._websocket.send_json({"type": "left"})
        else:
            await self._room.say({"type": "said", "by": session.user, "text": str(message.get("text", ""))})


def _parsed(text: str) -> dict[str, Any] | None:
    try:
        message = json.loads(text)
    except ValueError:
        return None
    return message if isinstance(message, dict) and isinstance(message.get("type"), str) else None


class Chat:
    """The chat's endpoint.

    Args:
        sessions: makes sessions.
        rooms: all rooms.
        ledger: is told of each message that came before its session.
    """

    def __init__(self, sessions: SessionMaker, rooms: Rooms, ledger: Ledger) -> None:
        self._sessions = sessions
        self._rooms = rooms
        self._ledger = ledger

    async def converse(self, websocket: WebSocket, room: str) -> None:
        """One connection, from accept to its end."""
        await websocket.accept()
        conversation = Conversation(websocket, self._rooms[room], self._ledger)
        opening = asyncio.create_task(self._open(websocket, room, conversation), name="session")
        try:
            await acceptfirst.coordinator(websocket).coordinate_handshake()
            await conversation.hold()
        finally:
            await opening  # a factory can't be stopped half way: the user's next connection will need what it makes

    async def _open(self, websocket: WebSocket, room: str, conversation: Conversation) -> None:
        try:
            conversation.session = await self._sessions.make(websocket, room)
        except TokenError as error:
            if not conversation.is_over:
                await conversation.refuse(BAD_TOKEN, str(error))
        else:
            acceptfirst.ready(websocket)
