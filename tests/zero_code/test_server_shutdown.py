"""A server that is stopped loses nothing of what was told before: real processes, stopped with connections open."""

from __future__ import annotations

import asyncio
import signal
import socket
from collections import Counter
from typing import Any

import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed

EXPLICIT = '''
    import asyncio

    import acceptfirst
    from opentelemetry import trace
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor
    from starlette.applications import Starlette
    from starlette.routing import WebSocketRoute

    trace.set_tracer_provider(TracerProvider())
    trace.get_tracer_provider().add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))


    async def chat(websocket):
        await websocket.accept()
        async for text in websocket.iter_text():
            await websocket.send_text(text)


    async def stubborn(websocket):
        """Does not end, whatever happens to it."""
        while True:
            try:
                await asyncio.sleep(3600)
            except asyncio.CancelledError:
                pass


    async def lingering(websocket):
        await websocket.accept()
        await websocket.send_text(await websocket.receive_text())
        await websocket.close(4000)
        await stubborn(websocket)


    async def deaf(websocket):
        await websocket.accept()
        await websocket.send_text(await websocket.receive_text())
        await stubborn(websocket)


    app = Starlette(
        routes=[WebSocketRoute("/chat", chat), WebSocketRoute("/linger", lingering), WebSocketRoute("/deaf", deaf)]
    )
    acceptfirst.instrument(app, environment="testing")
'''

OPEN = ["HANDSHAKE_PENDING", "CONNECTED", "READY_FOR_MESSAGES"]
IMPATIENT = ("uvicorn", "served:app", "--fd", "{fd}", "--timeout-graceful-shutdown", "1")


async def stop_under_load(served: Any, path: str, clients: int, number: int = signal.SIGTERM) -> str:
    """Have clients connect and talk, stop the server while they hold on, and give its log."""
    heard = asyncio.Barrier(clients + 1)

    async def hold_on() -> None:
        async with connect(served.url(path)) as client:
            await client.send("hello")
            await client.recv()
            await heard.wait()
            try:
                await client.recv()
            except ConnectionClosed:
                return

    async with asyncio.timeout(60), asyncio.TaskGroup() as holding:
        for _ in range(clients):
            holding.create_task(hold_on())
        await heard.wait()
        log: str = await asyncio.to_thread(served.stop, number)
    return log


def last_transitions(receiver: Any) -> list[dict[str, Any]]:
    """The attributes of each transition into CLOSED."""
    return [span.attributes for span in receiver.spans() if span.attributes.get("acceptfirst.state.to") == "CLOSED"]


def assert_nothing_twice(receiver: Any) -> None:
    """Each step of each connection arrived once, under a span id of its own."""
    spans = receiver.spans()
    steps = Counter((s.connection, s.attributes.get("acceptfirst.transition.sequence"), s.name) for s in spans)
    assert set(steps.values()) == {1}
    assert len({span.span_id for span in spans}) == len(spans)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_stopped_server_delivers_every_transition_once(serve: Any, receiver: Any, number: int) -> None:
    """Twenty connections are open when the signal comes; each ends with the server's own close."""
    served = serve(EXPLICIT, environment=receiver.environment, zero_code=False)
    asyncio.run(stop_under_load(served, "/chat", 20, number))

    assert list(receiver.steps().values()) == [[*OPEN, "CLOSED"]] * 20
    assert_nothing_twice(receiver)
    assert {(last["acceptfirst.signature"], last["acceptfirst.close.code"]) for last in last_transitions(receiver)} == {
        ("CAGRSDZ", 1012)
    }


def test_stopped_server_delivers_connections_that_are_closed_but_not_over(serve: Any, receiver: Any) -> None:
    """The application closed and goes on for ever: the last transition waits neither for it nor for five seconds."""
    served = serve(EXPLICIT, *IMPATIENT, environment=receiver.environment, zero_code=False)
    asyncio.run(stop_under_load(served, "/linger", 3))

    assert list(receiver.steps().values()) == [[*OPEN, "CLOSED"]] * 3
    assert_nothing_twice(receiver)
    assert {last["acceptfirst.signature"] for last in last_transitions(receiver)} == {"CAGRSX"}


def test_stopped_server_claims_no_end_of_what_has_not_ended(serve: Any, receiver: Any) -> None:
    """An application that neither reads nor returns is killed open: what was told is there, and nothing is made up."""
    served = serve(EXPLICIT, *IMPATIENT, environment=receiver.environment, zero_code=False)
    asyncio.run(stop_under_load(served, "/deaf", 3))

    assert list(receiver.steps().values()) == [OPEN] * 3
    assert_nothing_twice(receiver)


def test_stopped_server_ends_although_its_exporter_hangs(serve: Any, receiver: Any) -> None:
    """Its collector accepts connections and never answers."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        endpoint = f"http://127.0.0.1:{silent.getsockname()[1]}"
        hanging = {**receiver.environment, "OTEL_EXPORTER_OTLP_ENDPOINT": endpoint}
        served = serve(EXPLICIT, environment=hanging, zero_code=False)
        log = asyncio.run(stop_under_load(served, "/chat", 1))

    assert "Application shutdown complete" in log
    assert served.process.returncode == -signal.SIGTERM


def test_interpreter_that_exits_delivers_what_waits(serve: Any, receiver: Any) -> None:
    """No server's lifespan, no signal: the exit handler runs before the provider's own."""
    script = (
        EXPLICIT
        + """

    async def main():
        messages = iter([{"type": "websocket.connect"}, {"type": "websocket.receive", "text": "hi"}])
        sent = asyncio.Event()

        async def receive():
            return next(messages)

        async def send(message):
            if message["type"] == "websocket.close":
                sent.set()

        scope = {"type": "websocket", "path": "/linger", "headers": [], "query_string": b""}
        connection = asyncio.ensure_future(app(scope, receive, send))
        await sent.wait()
        await asyncio.sleep(0)
        print("closed", flush=True)
        raise SystemExit


    if __name__ == "__main__":
        loop = asyncio.new_event_loop()  # which nobody closes: no task is cancelled
        loop.run_until_complete(main())
"""
    )
    served = serve(script, "python", "served.py", environment=receiver.environment, zero_code=False, ready="closed")
    served.process.wait(60)

    assert list(receiver.steps().values()) == [[*OPEN, "CLOSED"]]
    assert [last["acceptfirst.signature"] for last in last_transitions(receiver)] == ["CAGRSX"]
