"""Writes what the servers showed as a page: where they differ, then every scenario, rows that are alike in one."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import Final

from server_matrix.expectations import DEVIATIONS, UNSTEADY, VARIES, Deviation, Unsteady
from server_matrix.scenarios import SCENARIOS, scenarios_of
from server_matrix.servers import CELLS, CURRENT, FRAMEWORKS, ON_UVLOOP, SERVERS
from server_matrix.trial import Sighting

_INTRODUCTION: Final = """\
<!-- Made by `make servers`, from what real server processes showed. Change tests/matrix, not this. -->

# What each server shows

The same applications with the same faults, on a real process of each server, with real clients: once as they are and
once observed. A test runs all of it and fails when this page says something else. What the client sees, what the
application's attempts give and how the application leaves were the same with and without AcceptFirst, everywhere but
where they differ from run to run.

After a disconnect hypercorn, daphne and granian raise nothing, and a text that is raised has many causes; the order of
the events (the [signature](signature.md)) tells them apart on all of them.

- *application sees* is what its attempts gave, in order; an exception is its class and its close code or its text.
- `DisconnectedError` is the bare application's own word for a `websocket.disconnect` that was delivered.
- *close 1005* is a close frame without a code; *no close frame* is a connection that just ended.
"""


def page(sightings: Iterable[Sighting]) -> str:
    """The whole page.

    Args:
        sightings: steady ones, of all cells.
    """
    shown = [sighting for sighting in sightings if sighting.cell not in ON_UVLOOP]
    sections = [_INTRODUCTION, _cells(), _frameworks(shown), _differences(), _unsteady(), "## Scenarios\n"]
    sections += [_scenario(name, [s for s in shown if s.scenario == name]) for name in SCENARIOS]
    return "\n".join(sections)


def _cells() -> str:
    rows = [
        (server.title, ", ".join(FRAMEWORKS[cell.framework] for cell in CELLS if _is_of(cell, name, "asyncio")), loops)
        for name, server in SERVERS.items()
        for loops in [", ".join(FRAMEWORKS[cell.framework] for cell in CELLS if _is_of(cell, name, "uvloop")) or "–"]
    ]
    head = ("server", "with, on asyncio", "with, on uvloop (the same is seen)")
    return "## Servers, frameworks, loops\n\n" + _table(head, rows)


def _is_of(cell: tuple[str, str, str], server: str, loop: str) -> bool:
    return cell[0] == server and cell[2] == loop


def _frameworks(sightings: Sequence[Sighting]) -> str:
    rows = []
    for name, title in FRAMEWORKS.items():
        routes = {s.route.replace("/observed", "") for s in sightings if _tells_route(s, name)}
        rows.append((title, ", ".join(f"`{route}`" for route in sorted(routes - {""})) or "–", str(_said(name))))
    head = ("framework", "`http.route` of `/{scenario}`", "scenarios that can be said in it")
    return "## What a framework tells\n\n" + _table(head, rows)


def _tells_route(sighting: Sighting, framework: str) -> bool:
    return sighting.cell.framework == framework and sighting.scenario == "echo"


def _said(framework: str) -> int:
    return len(scenarios_of(framework))


def _differences() -> str:
    rows = [
        (f"`{d.scenario}`", _names(d), _patterns(d.patterns), f"{_patterns(SCENARIOS[d.scenario].patterns)}", d.reason)
        for d in DEVIATIONS
    ]
    head = ("scenario", "where", "found", "instead of", "why")
    return "## Where a fault shows another pattern\n\n" + _table(head, rows)


def _unsteady() -> str:
    rows = [(f"`{u.scenario}`", _names(u), " and ".join(sorted(u.ends)), u.reason) for u in UNSTEADY]
    return "## What differs from run to run\n\n" + _table(("scenario", "where", "whose view", "why"), rows)


def _names(where: Deviation | Unsteady) -> str:
    said = {name for name in where.frameworks if where.scenario in scenarios_of(name)}
    frameworks = ", ".join(title for name, title in FRAMEWORKS.items() if name in said)
    current = set(CURRENT) & where.servers
    servers = (
        "all servers"
        if current == set(CURRENT)
        else ", ".join(SERVERS[name].title for name in CURRENT if name in current)
    )
    return f"{frameworks} on {servers}"


def _patterns(names: Iterable[str]) -> str:
    return ", ".join(f"[{name}](patterns/{name}.md)" for name in sorted(names)) or "–"


def _scenario(name: str, sightings: Sequence[Sighting]) -> str:
    alike: dict[tuple[str, ...], dict[str, list[str]]] = defaultdict(lambda: defaultdict(list))
    for sighting in sightings:
        alike[_content(sighting)][sighting.cell.framework].append(sighting.cell.server)
    rows = []
    for content, frameworks in alike.items():
        for servers, together in _same_servers(frameworks).items():
            titles = ", ".join(FRAMEWORKS[framework] for framework in together)
            rows.append((titles, ", ".join(SERVERS[server].title for server in servers), *content))
    head = ("framework", "server", "client sees", "application sees", "signature", "pattern")
    return f"### {SCENARIOS[name].title}\n\n`{name}`\n\n{_table(head, rows)}"


def _same_servers(frameworks: dict[str, list[str]]) -> dict[tuple[str, ...], list[str]]:
    together: dict[tuple[str, ...], list[str]] = defaultdict(list)
    for framework, servers in frameworks.items():
        together[tuple(server for server in servers if server in CURRENT)].append(framework)
    deprecated = tuple(server for servers in frameworks.values() for server in servers if server not in CURRENT)
    return {(*servers, *deprecated): alike for servers, alike in together.items()}


def _content(sighting: Sighting) -> tuple[str, ...]:
    seen = sighting.observed
    attempts = _counted(seen.application)
    left = [] if seen.left in ("returns", *attempts) else [_LEAVES.get(seen.left, f"{seen.left} leaves it")]
    if attempts and attempts[-1].endswith(f": {seen.left}"):
        left = ["which leaves it"]
    application = "; ".join([*attempts, *left]) or "–"
    signature = f"`{sighting.signature}`" if sighting.signature else "–"
    return (_cell(seen.client), _cell(application), signature, _patterns(sighting.patterns))


_LEAVES: Final = {"never left": "never leaves", VARIES: VARIES}


def _counted(attempts: Sequence[str]) -> list[str]:
    """Attempts that gave the same, one after the other, told once."""
    told: list[tuple[str, int]] = []
    for attempt in attempts:
        times = told.pop()[1] + 1 if told and told[-1][0] == attempt else 1
        told.append((attempt, times))
    return [attempt if times == 1 else f"{times} × {attempt}" for attempt, times in told]


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)
