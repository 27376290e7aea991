"""The instrumentor in a process of one's own: what it patches, when, and that it takes it back."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

import pytest

PRELUDE = """
import asyncio, json, sys
from acceptfirst.instrumentor import AcceptFirstInstrumentor
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

exporter = InMemorySpanExporter()
provider = TracerProvider(shutdown_on_exit=False)
provider.add_span_processor(SimpleSpanProcessor(exporter))
instrumentor = AcceptFirstInstrumentor()


def connect(app):
    messages = iter([{"type": "websocket.connect"}, {"type": "websocket.disconnect", "code": 1000}])

    async def receive():
        return next(messages)

    async def send(message):
        pass

    scope = {"type": "websocket", "path": "/", "root_path": "", "query_string": b"", "headers": []}
    asyncio.run(app(scope, receive, send))
    names = [span.name for span in exporter.get_finished_spans() if span.name == "websocket.handshake"]
    exporter.clear()
    return len(names)


def make(cls):
    app = cls()

    async def endpoint(websocket):
        await websocket.accept()
        await websocket.receive()

    app.router.add_websocket_route("/", endpoint)
    return app


async def bare(scope, receive, send):
    await receive()
    await send({"type": "websocket.accept"})
    await receive()


found = []
"""


def run(code: str, **environment: str) -> Any:
    """What a fresh process finds, with what it logged."""
    command = [sys.executable, "-W", "error", "-c", f"{PRELUDE}\n{code}\nprint(json.dumps(found))"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment or None)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


FRAMEWORKS = [("starlette.applications", "Starlette"), ("fastapi", "FastAPI")]


@pytest.mark.parametrize(("module", "name"), FRAMEWORKS)
@pytest.mark.parametrize("order", ["before", "after"])
def test_application_is_instrumented_whether_its_framework_was_imported_before_or_after(
    module: str, name: str, order: str
) -> None:
    """And one that was made before the instrumentor came, so long as nobody has called it."""
    steps = {
        "before": f"from {module} import {name} as Framework\napp = make(Framework)\n"
        "instrumentor.instrument(tracer_provider=provider)",
        "after": "instrumentor.instrument(tracer_provider=provider)\n"
        f"from {module} import {name} as Framework\napp = make(Framework)",
    }
    assert run(f"{steps[order]}\nfound += [connect(app), connect(app)]") == [1, 1]


def test_instrumentor_imports_no_framework_and_no_server() -> None:
    """A process that uses none of them pays for none of them."""
    code = (
        "instrumentor.instrument()\n"
        "found += [name for name in ('starlette', 'fastapi', 'uvicorn') if name in sys.modules]"
    )
    assert run(code) == []


def test_imported_module_keeps_its_own_loader_and_source() -> None:
    """Whoever asks a patched module for its source or its spec gets the real ones."""
    code = (
        "instrumentor.instrument()\n"
        "import inspect, starlette.applications as module\n"
        "found += [type(module.__loader__).__name__, module.__loader__ is module.__spec__.loader]\n"
        "found += ['class Starlette' in inspect.getsource(module), 'exec_module' in vars(module.__loader__)]"
    )
    assert run(code) == ["SourceFileLoader", True, True, False]


@pytest.mark.parametrize(("module", "name"), FRAMEWORKS)
def test_uninstrumenting_restores_everything(module: str, name: str) -> None:
    """Classes, finders and the factory of log records are those from before."""
    code = (
        f"import uvicorn.config, uvicorn.server, logging\nfrom {module} import {name} as Framework\n"
        "def state():\n"
        "    patched = [Framework.build_middleware_stack, uvicorn.config.Config.load, uvicorn.server.Server.shutdown]\n"
        "    return [*map(id, patched), id(logging.getLogRecordFactory()), *map(id, sys.meta_path)]\n"
        "before = state()\n"
        "instrumentor.instrument(tracer_provider=provider)\n"
        "found.append(state() == before)\n"
        "instrumentor.uninstrument()\n"
        "found += [state() == before, connect(make(Framework))]"
    )
    assert run(code, ACCEPTFIRST_LOG_CORRELATION="true") == [False, True, 0]


def test_application_that_wants_uvicorn_to_load_it_is_wrapped_once() -> None:
    """A bare one there, a framework's when it builds its stack."""
    code = (
        "instrumentor.instrument(tracer_provider=provider)\n"
        "from uvicorn import Config\n"
        "from fastapi import FastAPI\n"
        "for app in (bare, make(FastAPI)):\n"
        "    config = Config(app, log_config=None)\n"
        "    config.load()\n"
        "    found += [type(config.loaded_app).__name__, connect(config.loaded_app)]"
    )
    assert run(code) == ["AutomaticMiddleware", 1, "ProxyHeadersMiddleware", 1]


def test_application_that_is_instrumented_by_hand_keeps_its_options() -> None:
    """In each of the three ways to do it."""
    code = (
        "instrumentor.instrument(tracer_provider=provider)\n"
        "import acceptfirst\n"
        "from starlette.applications import Starlette\n"
        "from uvicorn import Config\n"
        "options = {'environment': 'staging', 'tracer_provider': provider}\n"
        "by_call = acceptfirst.instrument(make(Starlette), **options)\n"
        "by_class = make(Starlette)\n"
        "by_class.add_middleware(acceptfirst.AcceptFirstMiddleware, **options)\n"
        "around = acceptfirst.AcceptFirstMiddleware(make(Starlette), **options)\n"
        "for app in (by_call, by_class, around, acceptfirst.instrument(bare, **options)):\n"
        "    config = Config(app, log_config=None)\n"
        "    config.load()\n"
        "    clear, exporter.clear = exporter.clear, lambda: None\n"
        "    found.append(connect(config.loaded_app))\n"
        "    found += sorted({s.attributes['acceptfirst.environment'] for s in exporter.get_finished_spans()})\n"
        "    exporter.clear = clear\n"
        "    exporter.clear()"
    )
    assert run(code) == [1, "staging"] * 4


def test_module_that_has_changed_beyond_recognition_costs_only_the_observing() -> None:
    """What can't be patched is logged; the application starts."""
    code = (
        "import types\n"
        "strange = types.ModuleType('uvicorn.config')\n"
        "sys.modules['uvicorn.config'] = strange\n"
        "instrumentor.instrument(tracer_provider=provider)\n"
        "from starlette.applications import Starlette\n"
        "found.append(connect(make(Starlette)))"
    )
    assert run(code) == [1]
