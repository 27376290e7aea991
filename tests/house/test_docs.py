"""The documentation says what the code says: generated pages are current, names are explained, examples are true."""

from __future__ import annotations

import asyncio
import importlib.util
import logging
import re
import sys
import textwrap
import types
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, get_args

import pytest
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from starlette.responses import PlainTextResponse
from starlette.websockets import WebSocket, WebSocketDisconnect

import acceptfirst
from acceptfirst.catalogue import Evidence, load_catalogue
from acceptfirst.catalogue.model import DelayHelps, FixedBy, Severity
from acceptfirst.diagnosis.error_kind import ErrorKind
from acceptfirst.environment import ENVIRONMENTS
from acceptfirst.lifecycle import ApplicationConnectionState, Trigger
from acceptfirst.policy import Gate, GateTimeoutAction, Policy, ReadinessMode
from acceptfirst.record import _OUTCOMES
from acceptfirst_analysis.tuning.recommendation import Verdict
from acceptfirst_cli.application import VERBS, build

ROOT = Path(__file__).resolve().parents[2]
DOCS = ROOT / "docs"
HAND_WRITTEN = [path for path in sorted(DOCS.rglob("*.md")) if "Made by `make docs`" not in path.read_text()]
PAGES = [*HAND_WRITTEN, ROOT / "README.md", ROOT / "CONTRIBUTING.md", ROOT / "dashboards" / "README.md"]


def _generator() -> types.ModuleType:
    spec = importlib.util.spec_from_file_location("docs_generate", DOCS / "generate.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


GENERATOR = _generator()
GENERATED: dict[str, str] = GENERATOR.pages()
EXAMPLES: dict[str, dict[str, Any]] = GENERATOR.load_examples()
CODE = {name: example for name, example in EXAMPLES.items() if "wrong" in example}


@pytest.mark.parametrize("name", sorted(GENERATED))
def test_generated_page_equals_what_is_committed(name: str) -> None:
    """`make docs` changes nothing."""
    assert (DOCS / name).read_text(encoding="utf-8") == GENERATED[name]


def test_no_page_of_a_pattern_is_left_over() -> None:
    """A pattern that is gone takes its page along."""
    assert {f"patterns/{path.name}" for path in (DOCS / "patterns").iterdir()} == {
        name for name in GENERATED if name.startswith("patterns/")
    }


# -- examples ----------------------------------------------------------------------------------------------------------


def test_every_pattern_has_an_example() -> None:
    """And no example speaks of a pattern that is none."""
    assert set(EXAMPLES) == {pattern.name for pattern in load_catalogue()}


@pytest.mark.parametrize("name", sorted(EXAMPLES))
def test_each_regular_expression_is_told_in_words(name: str) -> None:
    """One sentence a match, in the catalogue's order."""
    assert len(EXAMPLES[name]["reads"]) == len(load_catalogue()[name].matches)


def test_an_example_without_code_shows_its_pattern() -> None:
    """Its signature and timings are what the catalogue asks for."""
    fleet = {pattern.name for pattern in load_catalogue().of_scope("fleet")}
    for name in EXAMPLES.keys() - CODE.keys() - fleet:
        found = load_catalogue().match(Evidence(EXAMPLES[name]["signature"], **EXAMPLES[name].get("evidence", {})))
        assert name in {pattern.name for pattern in found}


def test_a_pattern_of_many_connections_is_told_in_words() -> None:
    """What the store looks for, and what it can't know."""
    for pattern in load_catalogue().of_scope("fleet"):
        assert EXAMPLES[pattern.name]["shows"]
        assert EXAMPLES[pattern.name]["remarks"]


@dataclass
class Client:
    """A scripted server with a client that sends at once and leaves after a while."""

    messages: int
    leaves_after_ms: float
    close_code: int
    _left: asyncio.Event = field(default_factory=asyncio.Event)
    _connected: bool = False

    async def receive(self) -> dict[str, Any]:
        """Connect, the messages, and then the disconnect for ever."""
        await asyncio.sleep(0)
        if not self._connected:
            self._connected = True
            return {"type": "websocket.connect"}
        if self.messages and not self._left.is_set():
            self.messages -= 1
            return {"type": "websocket.receive", "text": "hello"}
        await self._left.wait()
        return {"type": "websocket.disconnect", "code": self.close_code}

    async def send(self, message: dict[str, Any]) -> None:
        """Refuse, as uvicorn does, what comes after the client left."""
        if self._left.is_set():
            raise OSError(f"the client is gone: {message['type']}")

    async def run(self, app: Callable[..., Awaitable[None]]) -> None:
        """Play one connection to its end; what the application raises is its own affair."""
        scope = {
            "type": "websocket",
            "path": "/chat",
            "query_string": b"",
            "headers": [],
            "extensions": {"websocket.http.response": {}},
        }
        asyncio.get_running_loop().call_later(self.leaves_after_ms / 1000, self._left.set)
        with suppress(RuntimeError, OSError, WebSocketDisconnect):
            await app(scope, self.receive, self.send)


class Room(set[WebSocket]):
    """A broadcast list."""

    async def broadcast(self, text: str) -> None:
        """Send to everybody in it."""
        for member in list(self):
            await member.send_text(text)


class Redis:
    """A Redis that is not up."""

    async def ping(self) -> None:
        """Fail as a client library does."""
        raise ConnectionRefusedError("nobody listens")


async def slow_work(*_: object) -> str:
    """Take longer than the example's client waits, its deadline and its handshake timeout."""
    await asyncio.sleep(0.06)
    return "done"


def names_of_the_examples() -> dict[str, Any]:
    """What the pieces of code take for granted."""
    return {
        "acceptfirst": acceptfirst,
        "asyncio": asyncio,
        "contextlib": sys.modules["contextlib"],
        "log": logging.getLogger("example"),
        "PlainTextResponse": PlainTextResponse,
        "WebSocket": WebSocket,
        "WebSocketDisconnect": WebSocketDisconnect,
        "Scope": dict[str, Any],
        "Receive": Callable[..., Any],
        "Send": Callable[..., Any],
        "DEADLINE_S": 0.01,
        "room": Room(),
        "redis": Redis(),
        "inbox": asyncio.Queue(),
        "authenticate": slow_work,
        "build_bot": slow_work,
        "make_challenge": slow_work,
        "next_quote": slow_work,
    }


def application_of(code: str) -> Callable[..., Awaitable[None]]:
    """The ASGI application that a piece of code is: its `app`, or its last function as a WebSocket endpoint."""
    namespace = names_of_the_examples()
    exec(compile(code, "example.py", "exec"), namespace)  # noqa: S102 - our own documentation, run to see that it is true
    if "app" in namespace:
        return namespace["app"]  # type: ignore[no-any-return]  # what the example defines
    endpoint = namespace[re.findall(r"^async def (\w+)", code, re.MULTILINE)[-1]]

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await endpoint(WebSocket(scope, receive, send))

    return app


def seen_of(code: str, example: dict[str, Any]) -> tuple[str, set[str]]:
    """The signature and the violations that a piece of code shows."""
    exporter = InMemorySpanExporter()
    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    watched = acceptfirst.AcceptFirstMiddleware(
        application_of(code),
        readiness=example.get("readiness", "auto"),
        policy=Policy(environment="testing", handshake_timeout_ms=example.get("handshake_timeout_ms", 1000)),
        tracer_provider=provider,
    )
    client = Client(example.get("messages", 0), example.get("leaves_after_ms", 20), example.get("close_code", 1006))
    asyncio.run(client.run(watched))
    provider.shutdown()
    spans = [dict(span.attributes or {}) for span in exporter.get_finished_spans()]
    violations = {str(a["acceptfirst.pattern.type"]) for a in spans if "acceptfirst.pattern.type" in a}
    return [str(a["acceptfirst.signature"]) for a in spans if "acceptfirst.close.initiator" in a][-1], violations


@pytest.mark.parametrize("name", sorted(CODE))
def test_wrong_code_shows_the_pattern_and_the_signature(name: str) -> None:
    """What the page calls wrong has this race and this order of events."""
    signature, violations = seen_of(CODE[name]["wrong"], CODE[name])
    assert (signature, name in violations) == (CODE[name]["signature"], True)


@pytest.mark.parametrize("name", sorted(CODE))
def test_right_code_does_not_show_the_pattern(name: str) -> None:
    """What the page calls right has this race no more."""
    _, violations = seen_of(CODE[name]["right"], CODE[name])
    assert name not in violations


# -- names -------------------------------------------------------------------------------------------------------------

OUTCOMES = {"ready", "open", *_OUTCOMES.values()}
WORDS = {
    "state": [str(state) for state in ApplicationConnectionState],
    "trigger": [str(trigger) for trigger in Trigger],
    "outcome": sorted(OUTCOMES),
    "verdict": list(get_args(Verdict)),
    "readiness mode": list(get_args(ReadinessMode)),
    "gate": list(get_args(Gate)),
    "gate timeout action": list(get_args(GateTimeoutAction)),
    "environment": list(ENVIRONMENTS),
    "severity": list(get_args(Severity)),
    "delay": list(get_args(DelayHelps)),
    "fixed by": list(get_args(FixedBy)),
    "error kind": list(get_args(ErrorKind)),
}


def section(page: Path, title: str) -> str:
    """The text below a heading of the second level."""
    found = re.search(rf"^## {re.escape(title)}\n(.*?)(?=^## |\Z)", page.read_text(), re.MULTILINE | re.DOTALL)
    assert found, f"expected a section {title!r} in {page.name}"
    return found[1]


@pytest.mark.parametrize("kind", sorted(WORDS))
def test_glossary_explains_every_name(kind: str) -> None:
    """Each value that a span, a table or a policy can hold, in the section of its kind, and none that is gone."""
    explained = re.findall(r"^- `([A-Za-z_]+)`", section(DOCS / "glossary.md", kind.capitalize()), re.MULTILINE)
    assert sorted(explained) == sorted(WORDS[kind])


def sources(package: str) -> str:
    """The text of all modules of a package."""
    return "\n".join(path.read_text() for path in sorted((ROOT / package).rglob("*.py")))


NAME = re.compile(
    r'"((?:acceptfirst(?:\.[a-z_]+)+|acceptfirst\.phase\.\{name\}\.duration_ms|websocket\.(?:handshake|transition|violation)))"'
)
INTERNAL = {"acceptfirst.connection", "acceptfirst.middleware"}


def test_telemetry_page_names_every_span_attribute_and_metric() -> None:
    """What the library can emit is documented."""
    emitted = set(NAME.findall(sources("instrumentation"))) - INTERNAL
    page = (DOCS / "telemetry.md").read_text()
    assert {name for name in emitted if f"`{name.replace('{name}', '<name>')}`" not in page} == set()


def test_telemetry_page_names_nothing_that_is_not_emitted() -> None:
    """And what is documented can be emitted."""
    emitted = {name.replace("{name}", "<name>") for name in NAME.findall(sources("instrumentation"))}
    emitted |= set(re.findall(r"acceptfirst\.phase\.\{name\}\.duration_ms", sources("instrumentation")))
    documented = set(re.findall(r"`(acceptfirst\.[a-z_.]+)`", (DOCS / "telemetry.md").read_text()))
    assert documented - emitted == set()


# -- commands, links ---------------------------------------------------------------------------------------------------


def commands(page: Path) -> list[list[str]]:
    """Every `acceptfirst …` command line in a page's shell blocks, as words."""
    blocks = re.findall(r"```(?:sh|console)\n(.*?)```", page.read_text(), re.DOTALL)
    lines = [line.removeprefix("$ ") for block in blocks for line in block.replace("\\\n", " ").splitlines()]
    return [line.split() for line in lines if line.startswith("acceptfirst ")]


def command_of(words: list[str]) -> tuple[Any, list[str]]:
    """The command that the first words name, and the words that are left."""
    group: Any = build()
    rest = words[1:]
    while hasattr(group, "get_command") and rest and not rest[0].startswith("-"):
        group, rest = group.get_command(None, rest[0]), rest[1:]
        assert group is not None, f"no such command: {' '.join(words)}"
    return group, rest


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_command_in_a_page_exists_with_its_flags(page: Path) -> None:
    """Verbs, subcommands and flags are those of the command line."""
    for words in commands(page):
        command, rest = command_of(words)
        if command.context_settings.get("ignore_unknown_options"):
            continue  # it passes them on
        known = {name for parameter in command.params for name in (*parameter.opts, *parameter.secondary_opts)}
        known.add("--help")
        assert {word.split("=")[0] for word in rest if word.startswith("-") and len(word) > 1} <= known


def test_every_verb_is_documented() -> None:
    """A verb that no page shows is one that nobody finds."""
    shown = {words[1] for page in PAGES for words in commands(page) if len(words) > 1}
    assert set(VERBS) <= shown


@pytest.mark.parametrize("page", [*PAGES, *(DOCS / name for name in sorted(GENERATED))], ids=lambda page: page.name)
def test_every_relative_link_leads_somewhere(page: Path) -> None:
    """A file that moves takes its links along."""
    targets = re.findall(r"\]\(([^)#\s]+)(?:#[^)]*)?\)", page.read_text())
    broken = [t for t in targets if "://" not in t and not (page.parent / t).exists()]
    assert broken == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_python_in_a_page_compiles(page: Path) -> None:
    """Nobody can copy what does not parse."""
    for block in re.findall(r"```python\n(.*?)```", page.read_text(), re.DOTALL):
        compile(textwrap.dedent(block), str(page), "exec", flags=0x2000)  # top-level await is allowed in a snippet
