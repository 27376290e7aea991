"""Django Channels: a consumer is called on events, so it does what it can do of each deed where it can do it.

Channels itself receives again after every event; a consumer can neither receive by itself nor with two readers.
"""

from __future__ import annotations

from typing import Any

import django
from channels.generic.websocket import AsyncWebsocketConsumer
from channels.routing import URLRouter
from django.conf import settings
from django.urls import path

import acceptfirst
from server_matrix.applications.deeds import BIG, SENDS_TO_NOBODY, OwnError
from server_matrix.applications.diary import note, told_by_client, tried
from server_matrix.applications.variants import Variants

settings.configure(SECRET_KEY="of a test that guards nothing")  # noqa: S106 - Django wants one
django.setup()


class Consumer(AsyncWebsocketConsumer):  # type: ignore[misc] # Channels publishes no types
    """Does the deed that stands in the path."""

    @property
    def deed(self) -> str:
        """The scenario's name."""
        return str(self.scope["url_route"]["kwargs"]["scenario"])

    async def connect(self) -> None:
        """What each deed does first."""
        for step in (f"{self.deed}_instead_of_accepting", f"{self.deed}_after_accept"):
            if hasattr(self, step):
                await getattr(self, step)()
            elif step.endswith("_accepting"):
                await self.accept()

    async def receive(self, text_data: str | None = None, bytes_data: bytes | None = None) -> None:
        """What each deed does with a message."""
        note(what="receive", came=repr(text_data))
        if self.deed == "early_message":
            acceptfirst.ready(self.scope)
            await self.close(1000)
            return
        await self.send(text_data, bytes_data)
        if self.deed == "echo":
            await self.close(1000)
        if self.deed == "swallowed_failed_send":
            await told_by_client()
            for _ in range(SENDS_TO_NOBODY):
                await tried("send", self.send(BIG))

    async def disconnect(self, code: int) -> None:
        """What each deed does when the client is gone."""
        note(what="disconnect", came=str(int(code)))  # wsproto's is an enumeration's member
        if self.deed == "send_after_disconnect":
            await tried("send", self.send("too late"))
        if self.deed == "close_after_disconnect":
            await tried("close", self.close(1000))

    async def receive_before_accept_instead_of_accepting(self) -> None:
        """Forget to accept; Channels goes on to receive."""

    async def send_before_accept_instead_of_accepting(self) -> None:
        """Send on a connection that was not accepted."""
        await tried("send", self.send("too early"), let_out=True)

    async def accept_after_client_gone_instead_of_accepting(self) -> None:
        """Work before accept until the client has given up."""
        await told_by_client()
        await tried("accept", self.accept())

    async def reject_before_accept_instead_of_accepting(self) -> None:
        """Refuse with a code that the client never sees."""
        await tried("close", self.close(4401))

    async def double_accept_after_accept(self) -> None:
        """Accept twice."""
        await tried("accept", self.accept(), let_out=True)

    async def exception_after_accept_after_accept(self) -> None:
        """Accept, then fail."""
        raise OwnError

    async def receive_after_own_close_after_accept(self) -> None:
        """Close; Channels goes on to receive."""
        await self.close(4000)

    async def send_after_own_close_after_accept(self) -> None:
        """Close, and go on sending."""
        await self.close(4000)
        await tried("send", self.send("too late"))

    async def double_close_after_accept(self) -> None:
        """Close twice."""
        await self.close(4000)
        await tried("close", self.close(4001))


def build(variant: str) -> Any:
    """The application under its variant's prefix."""
    return URLRouter([path(f"{variant}/<str:scenario>", Consumer.as_asgi())])


app = Variants(build)
