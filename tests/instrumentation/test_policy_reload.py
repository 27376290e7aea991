"""A policy that changes while the application runs: for new connections, without anybody waiting for it."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import socket
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

import acceptfirst
from acceptfirst import failsafe
from acceptfirst.middleware import ConfigurationError
from acceptfirst.policy import CollectorPolicy, Policy, policy_to_document
from acceptfirst.policy.feed import INTERVAL_VARIABLE
from acceptfirst.policy.source import POLICY_VARIABLE

CONNECT = {"type": "websocket.connect"}
GONE = {"type": "websocket.disconnect", "code": 1000}


async def polite_app(scope: Any, receive: Any, send: Any) -> None:
    """Accepts, says ready and reads to the end."""
    await receive()
    await send({"type": "websocket.accept"})
    acceptfirst.ready(scope)
    while (await receive())["type"] == "websocket.receive":
        pass


def toml(version: str, *lines: str) -> str:
    """A policy file of testing."""
    return "\n".join(["schema_version = 1", "[testing]", f'version = "{version}"', *lines]) + "\n"


@pytest.fixture
def path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A policy file with version v1, which is looked at ten times a second."""
    monkeypatch.setenv(INTERVAL_VARIABLE, "0.1")
    file = tmp_path / "policy.toml"
    file.write_text(toml("v1"))
    return file


@pytest.fixture
def hanging_url() -> Iterator[str]:
    """Where somebody takes connections and never answers."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"


@pytest.fixture
def serving() -> Iterator[Callable[[Policy], str]]:
    """Serves a policy as a collector does; gives its URL."""
    servers: list[ThreadingHTTPServer] = []

    def serve(policy: Policy) -> str:
        body = json.dumps(policy_to_document(policy)).encode()

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                self.send_response(200)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the name is the base class's
                """Nothing on standard error."""

        servers.append(ThreadingHTTPServer(("127.0.0.1", 0), Handler))
        threading.Thread(target=servers[-1].serve_forever, args=(0.01,)).start()
        return f"http://127.0.0.1:{servers[-1].server_port}"

    yield serve
    for server in servers:
        server.shutdown()
        server.server_close()


def instrumented(spans: Any, policy: Any, **options: Any) -> Any:
    """The application with a policy."""
    options = {"environment": "testing", "readiness": "event", **options}
    return acceptfirst.instrument(polite_app, policy=policy, tracer_provider=spans.provider, **options)


def version_of_a_connection(server: Any, spans: Any, app: Any) -> str:
    """What the last span of a new connection says."""
    spans.exporter.clear()
    assert asyncio.run(server([CONNECT, GONE]).run(app)) is None
    return str(spans.last()["acceptfirst.policy.version"])


def eventually_version(server: Any, spans: Any, app: Any, expected: str) -> None:
    """Connect until a new connection has the version."""
    deadline = time.monotonic() + 30
    while (version := version_of_a_connection(server, spans, app)) != expected and time.monotonic() < deadline:
        time.sleep(0.02)
    assert version == expected


def test_new_connections_have_the_new_policy_when_the_file_changes(server: Any, spans: Any, path: Path) -> None:
    """The file is read at the start, and then again and again."""
    app = instrumented(spans, path)
    assert version_of_a_connection(server, spans, app) == "v1"
    path.write_text(toml("v2"))

    eventually_version(server, spans, app, "v2")


def test_policy_is_followed_later_when_the_system_has_no_thread_at_first(
    server: Any, spans: Any, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The connection does not notice, the failure is counted, and the next connection tries again."""

    def no_thread(_: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    app = instrumented(spans, path)
    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", no_thread)
        assert version_of_a_connection(server, spans, app) == "v1"
    counted = dict(failsafe.failures)
    failsafe.failures.clear()
    path.write_text(toml("v2"))

    eventually_version(server, spans, app, "v2")
    assert counted == {"Feed.start": 1}


def test_open_connection_keeps_the_policy_it_began_with(server: Any, spans: Any, path: Path) -> None:
    """Also on the spans that are made when it ends."""
    app = instrumented(spans, path)

    async def across_a_change() -> None:
        script = server([CONNECT, 2.0, GONE])
        running = asyncio.create_task(script.run(app, patience_s=30.0))
        await asyncio.sleep(0.05)
        await asyncio.to_thread(path.write_text, toml("v2"))
        while app.policy.version != "v2":
            await server([CONNECT, GONE]).run(app)
            await asyncio.sleep(0.02)
        await running

    asyncio.run(across_a_change())
    told: dict[str, set[str]] = {}
    for span in spans.exporter.get_finished_spans():
        told.setdefault(span.attributes["acceptfirst.connection.id"], set()).add(
            span.attributes["acceptfirst.policy.version"]
        )
    assert all(len(versions) == 1 for versions in told.values())
    assert told[min(told)] == {"v1"}
    assert {"v2"} in told.values()


def test_detector_counts_delays_by_the_policy_that_holds(server: Any, spans: Any, path: Path) -> None:
    """The incident's code asks it."""
    app = instrumented(spans, path)
    path.write_text(toml("v2", "delay_ladder_ms = [40]"))
    eventually_version(server, spans, app, "v2")

    assert app.detector.calculate_progressive_delay(0) == 0.04


def test_collector_is_asked_in_the_background(
    server: Any, spans: Any, serving: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Until the first answer comes the default holds; then its policy."""
    monkeypatch.setenv(INTERVAL_VARIABLE, "0.1")
    app = instrumented(spans, serving(Policy(environment="testing", version="from-afar")))
    assert app.policy.version == "default"

    eventually_version(server, spans, app, "from-afar")


def wait_for_the_feed(app: Any) -> None:
    """Until it has a policy."""
    deadline = time.monotonic() + 30
    while app._in_force._feed.policy is None and time.monotonic() < deadline:
        time.sleep(0.02)


def test_policy_is_there_for_the_first_connection_when_the_server_has_a_lifespan(
    server: Any, spans: Any, serving: Any
) -> None:
    """The feed begins with the server, not with the first client."""
    app = instrumented(spans, serving(Policy(environment="testing", version="from-afar")))

    async def lifespan_app(scope: Any, receive: Any, send: Any) -> None:
        await asyncio.to_thread(wait_for_the_feed, app)

    app.app, inner = lifespan_app, app.app
    script = server([])
    script.scope = {"type": "lifespan"}
    asyncio.run(script.run(app, patience_s=40.0))
    app.app = inner

    assert version_of_a_connection(server, spans, app) == "from-afar"


def test_application_neither_waits_nor_fails_when_the_collector_hangs(
    server: Any, spans: Any, hanging_url: str
) -> None:
    """The question would take ten minutes; connections get the default meanwhile."""
    app = instrumented(spans, CollectorPolicy(hanging_url, timeout_s=600.0))

    assert [version_of_a_connection(server, spans, app) for _ in range(3)] == ["default"] * 3


def test_policy_comes_from_the_environment_when_no_argument_is_given(
    server: Any, spans: Any, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A path, or the URL of a collector."""
    monkeypatch.setenv(POLICY_VARIABLE, str(path))

    assert version_of_a_connection(server, spans, instrumented(spans, None)) == "v1"


def test_argument_wins_over_the_environment(
    server: Any, spans: Any, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What the code says, it means."""
    monkeypatch.setenv(POLICY_VARIABLE, str(path))
    app = instrumented(spans, Policy(environment="testing", version="in code"))

    assert version_of_a_connection(server, spans, app) == "in code"


@pytest.mark.parametrize("url", ["http://", "http://user:hush@127.0.0.1:1"])
def test_default_holds_when_the_url_can_not_be_one(
    server: Any, spans: Any, url: str, caplog: pytest.LogCaptureFixture
) -> None:
    """Logged, without the password; the application starts."""
    with caplog.at_level(logging.ERROR, "acceptfirst"):
        app = instrumented(spans, url)

    assert version_of_a_connection(server, spans, app) == "default"
    assert len(caplog.records) == 1
    assert "hush" not in caplog.text


def test_policy_that_the_application_can_not_carry_out_is_told_once(
    server: Any, spans: Any, path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """It polls, and there is nothing to ask; what held before holds on, until another policy comes."""
    app = instrumented(spans, path)
    with caplog.at_level(logging.ERROR, "acceptfirst"):
        path.write_text(toml("v2", 'readiness_mode = "polled"'))
        deadline = time.monotonic() + 30
        while not caplog.records and time.monotonic() < deadline:
            assert version_of_a_connection(server, spans, app) == "v1"
        for _ in range(3):
            assert version_of_a_connection(server, spans, app) == "v1"
        path.write_text(toml("v3"))
        eventually_version(server, spans, app, "v3")

    [told] = [record.getMessage() for record in caplog.records]
    assert told.startswith("the policy v2 can't be carried out: readiness 'polled' needs a check")
    assert told.endswith("version v1 holds")


def test_contradiction_of_the_arguments_waits_for_the_collector_to_mend_it(
    server: Any, spans: Any, serving: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """``auto`` can't hold; until the policy says otherwise nothing is held back."""
    monkeypatch.setenv(INTERVAL_VARIABLE, "0.1")
    url = serving(Policy(environment="testing", version="mends", readiness_mode="event"))
    app = instrumented(spans, url, readiness="auto", gate="hold")
    assert app._in_force.held.gate_mode == "observe"
    eventually_version(server, spans, app, "mends")

    assert app._in_force.held[1:] == ("event", "hold")
    with pytest.raises(ConfigurationError):
        instrumented(spans, None, readiness="auto", gate="hold")


def test_fixed_policy_needs_no_thread(server: Any, spans: Any) -> None:
    """Nothing runs for who follows nothing."""
    before = set(threading.enumerate())
    app = instrumented(spans, Policy(environment="testing", version="fixed"))
    version_of_a_connection(server, spans, app)

    assert set(threading.enumerate()) <= before


# -- processes ---------------------------------------------------------------------------------------------------------

FORKING = textwrap.dedent('''
    """Instrumented and used before the fork, as a preloading server does it; each child follows the file by itself."""
    import asyncio, os, sys, threading, time
    from pathlib import Path
    import acceptfirst

    path = Path(sys.argv[1])

    async def app(scope, receive, send):
        await receive()
        await send({"type": "websocket.accept"})
        await receive()

    watched = acceptfirst.instrument(app, environment="testing", policy=path)

    def connect():
        messages = iter([{"type": "websocket.connect"}, {"type": "websocket.disconnect", "code": 1000}])
        async def receive():
            return next(messages)
        async def send(message):
            pass
        asyncio.run(watched({"type": "websocket", "path": "/", "headers": []}, receive, send))
        return watched.policy.version

    def threads():
        return sum(thread.name == "acceptfirst-policy" for thread in threading.enumerate())

    assert connect() == "v1"
    assert threads() == 1
    children = []
    for number in range(3):
        child = os.fork()
        if not child:
            assert threads() == 0
            deadline = time.monotonic() + 30
            while connect() != "v2" and time.monotonic() < deadline:
                time.sleep(0.02)
            sys.exit(0 if (connect(), threads()) == ("v2", 1) else 3)
        children.append(child)
    time.sleep(0.2)
    path.write_text(path.read_text().replace("v1", "v2"))
    codes = [os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children]
    print(codes, flush=True)
''')


def run(code: str, *arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
    """Run a program to its end."""
    return subprocess.run(
        [sys.executable, "-W", "error", "-c", code, *arguments],
        capture_output=True,
        text=True,
        timeout=90,
        check=False,
        env={**os.environ, **variables},
    )


def test_forked_worker_follows_the_policy_by_itself(path: Path) -> None:
    """The thread does not survive a fork; the child starts its own, once."""
    ended = run(FORKING, str(path), ACCEPTFIRST_POLICY_INTERVAL_S="0.1")

    assert (ended.returncode, ended.stdout) == (0, "[0, 0, 0]\n"), ended.stderr


EXITING = textwrap.dedent('''
    """Ends while the question to the collector is under way."""
    import asyncio, sys, time
    import acceptfirst

    async def app(scope, receive, send):
        await receive()
        await send({"type": "websocket.accept"})
        await send({"type": "websocket.close"})

    source = acceptfirst.CollectorPolicy(sys.argv[1], timeout_s=600.0)
    watched = acceptfirst.instrument(app, environment="testing", policy=source)
    async def receive():
        return {"type": "websocket.connect"}
    async def send(message):
        pass
    asyncio.run(watched({"type": "websocket", "path": "/", "headers": []}, receive, send))
    time.sleep(0.2)
''')


def test_interpreter_exits_while_the_collector_hangs(hanging_url: str) -> None:
    """Without a word, and without waiting for a question that would take ten minutes."""
    ended = run(EXITING, hanging_url)

    assert (ended.returncode, ended.stderr) == (0, "")


def test_library_loads_no_http_and_no_tls_for_who_uses_a_file(path: Path) -> None:
    """They would be most of its start."""
    code = (
        "import sys; import acceptfirst.policy as p; p.load_policy_file(sys.argv[1], 'testing'); "
        "print('acceptfirst.policy.collector_source' in sys.modules)"
    )

    assert run(code, str(path)).stdout == "False\n"
