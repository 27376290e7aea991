"""The metrics: names, units, exemplars, and what keeps their number of series small."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from dataclasses import dataclass
from typing import Any

import pytest
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader

import acceptfirst
from acceptfirst.telemetry.metering import ROUTES_MAX

CONNECT = {"type": "websocket.connect"}
DISCONNECT = {"type": "websocket.disconnect", "code": 1000}


async def misbehaved(scope: Any, receive: Any, send: Any) -> None:
    """Becomes ready, and sends after the disconnect."""
    await receive()
    await send({"type": "websocket.accept"})
    await receive()
    await send({"type": "websocket.send", "text": "too late"})


@dataclass
class Meters:
    """Metrics kept in memory."""

    reader: InMemoryMetricReader
    provider: MeterProvider

    def read(self) -> dict[str, Any]:
        """The metrics by name."""
        data = self.reader.get_metrics_data()
        assert data is not None
        return {m.name: m for resource in data.resource_metrics for s in resource.scope_metrics for m in s.metrics}


@pytest.fixture
def meters() -> Any:
    """An SDK meter provider that exports into memory."""
    reader = InMemoryMetricReader()
    provider = MeterProvider([reader], shutdown_on_exit=False)
    yield Meters(reader, provider)
    provider.shutdown()


def run(server: Any, spans: Any, meters: Meters, *, scopes: int = 1, **options: Any) -> None:
    """Connections, each with a route of its own."""
    watched = acceptfirst.instrument(
        misbehaved,
        environment="testing",
        tracer_provider=spans.provider,
        meter_provider=meters.provider,
        **options,
    )

    async def connections() -> None:
        for number in range(scopes):
            script = server([CONNECT, DISCONNECT])
            script.scope["route"] = type("Route", (), {"path": f"/route/{number}"})
            await script.run(watched)

    asyncio.run(connections())


UNITS = {
    "acceptfirst.handshakes": "{handshake}",
    "acceptfirst.handshake.duration": "s",
    "acceptfirst.handshakes.open": "{handshake}",
    "acceptfirst.connections.open": "{connection}",
    "acceptfirst.violations": "{violation}",
}


def test_metrics_have_the_names_and_units_of_the_contract(server: Any, spans: Any, meters: Meters) -> None:
    """All that one connection with a violation touches."""
    run(server, spans, meters)

    assert {name: metric.unit for name, metric in meters.read().items()} == UNITS


def test_open_connections_and_handshakes_come_back_to_zero(server: Any, spans: Any, meters: Meters) -> None:
    """Every up has its down."""
    run(server, spans, meters, scopes=3)

    found = meters.read()
    for name in ("acceptfirst.connections.open", "acceptfirst.handshakes.open"):
        assert [point.value for point in found[name].data.data_points] == [0]


@pytest.mark.parametrize("name", ["acceptfirst.handshakes", "acceptfirst.handshake.duration", "acceptfirst.violations"])
def test_exemplar_names_the_handshake_span(server: Any, spans: Any, meters: Meters, name: str) -> None:
    """From a bar of a histogram to the trace of a connection in it."""
    run(server, spans, meters)

    (handshake,) = spans.named("websocket.handshake")
    exemplars = [exemplar for point in meters.read()[name].data.data_points for exemplar in point.exemplars]
    assert {(exemplar.trace_id, exemplar.span_id) for exemplar in exemplars} == {
        (handshake.context.trace_id, handshake.context.span_id)
    }


def test_connection_outside_the_sample_is_counted_and_is_no_exemplar(server: Any, spans: Any, meters: Meters) -> None:
    """An exemplar never names a trace that is not there; its violation is exported, so that has one."""
    run(server, spans, meters, policy=acceptfirst.Policy(environment="testing", sample_rate=0.0))

    found = meters.read()
    (point,) = found["acceptfirst.handshakes"].data.data_points
    assert (point.value, list(point.exemplars)) == (1, [])
    assert len(found["acceptfirst.violations"].data.data_points[0].exemplars) == 1


def test_routes_without_end_share_one_series(server: Any, spans: Any, meters: Meters) -> None:
    """A framework that calls each path a template must not cost a series each."""
    run(server, spans, meters, scopes=ROUTES_MAX + 10)

    points = meters.read()["acceptfirst.handshakes"].data.data_points
    assert len(points) == ROUTES_MAX + 1
    assert {point.attributes["http.route"]: point.value for point in points}["_OTHER"] == 10


LATE = """
import asyncio
import acceptfirst
from opentelemetry import metrics
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader


async def app(scope, receive, send):
    await receive()


watched = acceptfirst.instrument(app, environment="testing")


async def connect():
    async def receive():
        return {"type": "websocket.connect"}

    await watched({"type": "websocket", "path": "/", "headers": []}, receive, None)


asyncio.run(connect())
reader = InMemoryMetricReader()
metrics.set_meter_provider(MeterProvider([reader]))
asyncio.run(connect())
data = reader.get_metrics_data()
found = {m.name: m for r in data.resource_metrics for s in r.scope_metrics for m in s.metrics}
print([point.value for point in found["acceptfirst.handshakes"].data.data_points])
print([point.value for point in found["acceptfirst.connections.open"].data.data_points])
"""


def test_provider_that_is_set_after_instrumenting_is_heard() -> None:
    """What came before it is lost, and leaves no connection open for ever."""
    done = subprocess.run([sys.executable, "-c", LATE], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines() == ["[1]", "[0]"]
