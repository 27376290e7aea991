"""python-socketio's ASGI application: its events stand two protocols above ASGI, which limits what can go wrong."""

from __future__ import annotations

from typing import Any, Final

import socketio

import acceptfirst
from server_matrix.applications.deeds import OwnError
from server_matrix.applications.diary import note, trial, tried
from server_matrix.applications.variants import Variants

_trials: Final[dict[str, tuple[str, str]]] = {}
"""Scenario and trial of each session; an event's task need not be the connection's."""


def build(variant: str) -> Any:
    """The application under its variant's prefix."""
    server = socketio.AsyncServer(async_mode="asgi", ping_interval=60, async_handlers=False)

    @server.event  # type: ignore[untyped-decorator] # python-socketio publishes no types
    async def connect(sid: str, environ: dict[str, Any]) -> bool:
        scope: dict[str, Any] = environ["asgi.scope"]
        scenario = str(scope["path"]).split("/")[2]
        _trials[sid] = (scenario, trial.get())
        if scenario == "exception_after_accept":
            raise OwnError
        if scenario == "early_message":
            with acceptfirst.phase(scope, "warming"):
                await tried("send", server.emit("warming", to=sid))
        acceptfirst.ready(scope)
        return scenario != "reject_before_accept"

    @server.event  # type: ignore[untyped-decorator] # python-socketio publishes no types
    async def say(sid: str, text: str) -> None:
        scenario, trial_id = _trials[sid]
        trial.set(trial_id)
        note(what="say", came=repr(text))
        await server.emit("said", text, to=sid)
        if scenario == "echo":
            await server.disconnect(sid)

    @server.event  # type: ignore[untyped-decorator] # python-socketio publishes no types
    async def disconnect(sid: str, reason: str) -> None:
        trial.set(_trials.pop(sid)[1])
        note(what="disconnect", came=reason)

    return socketio.ASGIApp(server, socketio_path=variant)


app = Variants(build)
