"""Writes the Grafana boards: `make dashboards`.

A panel only lays out; its SQL is a file in `queries`, which a test runs on a real store with known answers. The JSON is
deterministic (fixed ids and uid, sorted keys), so that a change of a board is a change that can be read.
"""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

FOLDER: Final = Path(__file__).resolve().parent
QUERIES: Final = FOLDER / "queries"
PLUGIN: Final = "grafana-clickhouse-datasource"
DATASOURCE: Final = {"type": PLUGIN, "uid": "${datasource}"}
FORMAT_TIME_SERIES: Final = 0
FORMAT_TABLE: Final = 1
COLUMNS: Final = 24

GREEN: Final = "green"
YELLOW: Final = "yellow"
RED: Final = "red"

Steps = tuple[tuple[float | None, str], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Panel:
    """One panel: where it stands, what it asks and how it says the answer.

    Attributes:
        number: its id, never given to another.
        title: what it shows.
        query: file in `queries`, without its ending.
        description: what it means; ends with what to do.
        unit: Grafana's name of the unit.
        place: column, row, width and height on Grafana's grid.
        kind: `stat`, `timeseries` or `table`.
        steps: thresholds, each a lower bound and a colour; the first has no bound.
        units: units of single columns that differ.
        decimals: digits behind the point.
    """

    number: int
    title: str
    query: str
    description: str
    unit: str
    place: tuple[int, int, int, int]
    kind: str = "stat"
    steps: Steps = ((None, GREEN),)
    units: dict[str, str] = field(default_factory=dict)
    decimals: int | None = None


OVERVIEW: Final = (
    Panel(
        number=1,
        title="Handshakes per minute",
        query="overview_handshakes_per_minute",
        description="Handshakes in the range, by weight, over its minutes. What to do: where it is 0 and clients are "
        "there, look at Data age first, then at the exporter of the application.",
        unit="short",
        place=(0, 0, 4, 5),
        decimals=1,
    ),
    Panel(
        number=2,
        title="Handshake success",
        query="overview_success",
        description="Handshakes that became ready before any message was handled, of all that are over. What to do: "
        "below 99.9 %, see in Outcomes which kind grew and since when, then in Worst routes where.",
        unit="percent",
        place=(4, 0, 4, 5),
        steps=((None, RED), (99.0, YELLOW), (99.9, GREEN)),
        decimals=2,
    ),
    Panel(
        number=3,
        title="Violations",
        query="overview_violations",
        description="Races that were seen, one by one, and in 10,000 handshakes. What to do: run acceptfirst classify "
        "and read the page of the pattern; most are cured in code, none by a longer sleep.",
        unit="short",
        place=(8, 0, 4, 5),
        steps=((None, GREEN), (1.0, YELLOW)),
        decimals=0,
    ),
    Panel(
        number=4,
        title="Time to accept, p95",
        query="overview_accept_p95",
        description="How long the slowest of 20 accepted handshakes waited for accept, since the server handed "
        "them over. What to do: above a second, take slow work "
        "(authentication, factories) out from before accept(); clients leave meanwhile.",
        unit="s",
        place=(12, 0, 4, 5),
        steps=((None, GREEN), (0.25, YELLOW), (1.0, RED)),
        decimals=3,
    ),
    Panel(
        number=5,
        title="Stuck handshakes, now",
        query="overview_stuck",
        description="Handshakes of the last hour that began more than $older_than_s s ago and that nothing has ended. "
        "What to do: above 0, look for a dependency that hangs; the last transition of such a connection says where it "
        "stands.",
        unit="short",
        place=(16, 0, 4, 5),
        steps=((None, GREEN), (1.0, RED)),
        decimals=0,
    ),
    Panel(
        number=6,
        title="Data age",
        query="overview_data_age",
        description="How long ago the latest span ended. What to do: above five minutes with clients about, believe "
        "nothing else here; look at the collector's /readyz and at the exporter's log.",
        unit="s",
        place=(20, 0, 4, 5),
        steps=((None, GREEN), (120.0, YELLOW), (300.0, RED)),
        decimals=0,
    ),
    Panel(
        number=7,
        title="Outcomes",
        query="overview_outcomes",
        description="How handshakes ended, by weight. What to do: where a kind begins to grow, compare the moment with "
        "deployments: failed is an exception or a missing accept, abandoned a client that left, timed_out a readiness "
        "that came too late, violated a message that was handled before it.",
        unit="short",
        place=(0, 5, 24, 9),
        kind="timeseries",
    ),
    Panel(
        number=9,
        title="Worst routes",
        query="overview_worst_routes",
        description="Environments and routes by violations in 10,000 handshakes. What to do: begin with the first row; "
        "acceptfirst patterns show names the cause and the cure of its top pattern, acceptfirst recommend says whether "
        "any setting helps there.",
        unit="short",
        place=(0, 14, 24, 10),
        kind="table",
        units={"accept_p95_s": "s"},
    ),
)

OUTCOME_COLOURS: Final = {
    "ready": GREEN,
    "violated": RED,
    "rejected": "blue",
    "abandoned": YELLOW,
    "failed": "dark-red",
    "timed_out": "orange",
    "open": "text",
}


def query(name: str) -> str:
    """A query's text as Grafana gets it: without the comment that opens it."""
    lines = (QUERIES / f"{name}.sql").read_text(encoding="utf-8").splitlines()
    return "\n".join(line for line in lines if not line.startswith("--"))


def boards() -> dict[str, str]:
    """The text of every board, by its file's name below `grafana`."""
    return {"acceptfirst-overview.json": json.dumps(overview(), indent=2, sort_keys=True, ensure_ascii=False) + "\n"}


def overview() -> dict[str, Any]:
    """The board of whoever is on call."""
    return {
        "annotations": {"list": []},
        "description": "Is it broken, since when, who is hit, what to do? Made by `make dashboards`.",
        "editable": True,
        "graphTooltip": 1,
        "id": None,
        "links": [],
        "panels": [_panel(panel) for panel in OVERVIEW],
        "refresh": "30s",
        "schemaVersion": 39,
        "tags": ["acceptfirst", "clickhouse", "otel"],
        "templating": {"list": _variables()},
        "time": {"from": "now-6h", "to": "now"},
        "timepicker": {"refresh_intervals": ["30s", "1m", "5m"]},
        "timezone": "browser",
        "title": "AcceptFirst / Overview",
        "uid": "acceptfirst-overview",
        "version": 1,
    }


def _variables() -> list[dict[str, Any]]:
    environments = query("overview_environments")
    return [
        {"name": "datasource", "label": "Data source", "type": "datasource", "query": PLUGIN, "refresh": 1},
        {
            "name": "env",
            "label": "Environment",
            "type": "query",
            "datasource": DATASOURCE,
            "definition": environments,
            "query": {"editorType": "sql", "rawSql": environments},
            "refresh": 2,  # with the range, since the query uses it
            "multi": True,
            "includeAll": True,
            "current": {"text": ["All"], "value": ["$__all"]},
        },
        {
            "name": "older_than_s",
            "label": "Stuck after (s)",
            "type": "custom",  # a list and no text box: its value goes into SQL as it is
            "query": "10,30,60,300",
            "current": {"text": "30", "value": "30"},
            "options": [{"selected": s == "30", "text": s, "value": s} for s in ("10", "30", "60", "300")],
        },
    ]


def _panel(panel: Panel) -> dict[str, Any]:
    x, y, width, height = panel.place
    is_series = panel.kind == "timeseries"
    return {
        "id": panel.number,
        "title": panel.title,
        "description": panel.description,
        "type": panel.kind,
        "datasource": DATASOURCE,
        "gridPos": {"x": x, "y": y, "w": width, "h": height},
        "targets": [
            {
                "refId": "A",
                "datasource": DATASOURCE,
                "editorType": "sql",
                "format": FORMAT_TIME_SERIES if is_series else FORMAT_TABLE,
                "rawSql": query(panel.query),
            }
        ],
        "fieldConfig": {"defaults": _defaults(panel), "overrides": _overrides(panel)},
        "options": _OPTIONS[panel.kind],
    }


_OPTIONS: Final[dict[str, dict[str, Any]]] = {
    "stat": {
        "reduceOptions": {"calcs": ["lastNotNull"], "fields": "", "values": False},
        "colorMode": "value",
        "graphMode": "none",
        "textMode": "auto",
        "orientation": "auto",
    },
    "timeseries": {
        "legend": {"showLegend": True, "displayMode": "list", "placement": "bottom", "calcs": ["sum"]},
        "tooltip": {"mode": "multi", "sort": "desc"},
    },
    "table": {"showHeader": True, "cellHeight": "sm"},
}


def _defaults(panel: Panel) -> dict[str, Any]:
    defaults: dict[str, Any] = {"unit": panel.unit, "noValue": "no data"}
    if panel.decimals is not None:
        defaults["decimals"] = panel.decimals
    if panel.kind == "stat":
        defaults["thresholds"] = {"mode": "absolute", "steps": [{"value": v, "color": c} for v, c in panel.steps]}
        defaults["color"] = {"mode": "thresholds"}
    if panel.kind == "timeseries":
        defaults["custom"] = {"drawStyle": "bars", "fillOpacity": 80, "stacking": {"group": "A", "mode": "normal"}}
        defaults["min"] = 0
    return defaults


def _overrides(panel: Panel) -> list[dict[str, Any]]:
    if panel.kind == "timeseries":
        return [
            _override(name, "color", {"mode": "fixed", "fixedColor": colour})
            for name, colour in OUTCOME_COLOURS.items()
        ]
    return [_override(name, "unit", unit) for name, unit in panel.units.items()]


def _override(column: str, key: str, value: Any) -> dict[str, Any]:
    return {"matcher": {"id": "byName", "options": column}, "properties": [{"id": key, "value": value}]}


def main() -> int:
    """Write the boards."""
    for name, text in boards().items():
        path = FOLDER / "grafana" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
        sys.stdout.write(f"dashboards/grafana/{name} written\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
