"""The twenty panels: what each asks, how it says the answer, and what to do about it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final, Literal

from acceptfirst_analysis.dashboards.grafana_sql import Constant

Kind = Literal["stat", "timeseries", "table", "heatmap", "bargauge", "barchart", "status-history", "traces"]
Steps = tuple[tuple[float | None, str], ...]

GREEN: Final = "green"
YELLOW: Final = "yellow"
RED: Final = "red"


_SAME_PLACE: Final = "&".join(
    f"var-{name}=${{__data.fields.{column}:percentencode}}"
    for name, column in (("env", "environment"), ("service", "service"), ("route", "route"))
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Panel:
    """One panel: where it stands, what it asks and how it says the answer.

    Attributes:
        number: its id, never given to another: alerts and links refer to it.
        title: what it shows.
        query: name of the statement.
        description: what it means; ends with what to do.
        unit: Grafana's name of the unit.
        place: column, row, width and height on Grafana's grid.
        kind: of the panel.
        steps: thresholds, each a lower bound and a colour; the first has no bound.
        units: units of single columns that differ.
        decimals: digits behind the point.
        constants: of the statement.
        bars: for a time series, stacked bars instead of lines.
        stairs: for a time series, steps instead of lines.
        lines: heights of threshold lines in a time series, with their colours.
        link: query string of a link behind each row, to the board whose uid comes first.
        fields: of a stat: which columns it shows, as Grafana's pattern.
        sparkline: of a stat: the series behind the number, which is then its mean.
    """

    number: int
    title: str
    query: str
    description: str
    unit: str
    place: tuple[int, int, int, int]
    kind: Kind = "stat"
    steps: Steps = ((None, GREEN),)
    units: Mapping[str, str] = field(default_factory=dict)
    decimals: int | None = None
    constants: Mapping[str, Constant] = field(default_factory=dict)
    bars: bool = False
    stairs: bool = False
    lines: Steps = ()
    link: tuple[str, str, str] | None = None
    fields: str = ""
    sparkline: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Board:
    """One board.

    Attributes:
        uid: never given to another.
        title: behind "AcceptFirst / ".
        description: whose question it answers.
        since: where its range begins.
        refresh: how often it asks again; empty for never.
        panels: in reading order.
        variables: those that it has besides the data source.
    """

    uid: str
    title: str
    description: str
    since: str
    refresh: str
    panels: tuple[Panel, ...]
    variables: tuple[str, ...]


OVERVIEW: Final = Board(
    uid="acceptfirst-overview",
    title="Overview",
    description="Is it broken, since when, who is hit, what to do? For whoever is on call.",
    since="now-6h",
    refresh="30s",
    variables=("env", "service", "route", "older_than_s"),
    panels=(
        Panel(
            number=1,
            title="Handshakes per minute",
            query="panel_handshake_rate",
            description="The mean over the range, by weight, and its course. What to do: where it is 0 and "
            "clients are there, look at Data age first, then at the exporter of the application.",
            unit="short",
            place=(0, 0, 4, 5),
            decimals=1,
            sparkline=True,
        ),
        Panel(
            number=2,
            title="Handshakes within the objective",
            query="panel_success",
            description="Of the handshakes that are over, all but those that failed, timed out, or handled a "
            "message before they were ready. Refused and abandoned ones count as fine. What to do: "
            "below 99.9 %, see in Outcomes which kind grew and since when, then in Worst routes "
            "where.",
            unit="percent",
            place=(4, 0, 4, 5),
            steps=((None, RED), (99.0, YELLOW), (99.9, GREEN)),
            decimals=2,
            fields="/.*/",
        ),
        Panel(
            number=3,
            title="Violations",
            query="panel_violations",
            description="Races that connections reported, one by one, and in 10,000 handshakes. What to do: run "
            "acceptfirst classify and read the page of the pattern; most are cured in code, none by a"
            " longer sleep.",
            unit="short",
            place=(8, 0, 4, 5),
            steps=((None, GREEN), (1.0, YELLOW)),
            decimals=0,
        ),
        Panel(
            number=4,
            title="Time to accept, p95",
            query="panel_accept_p95",
            description="How long the slowest of 20 accepted handshakes waited for accept, since the server "
            "handed them over. What to do: above a second, take slow work (authentication, factories)"
            " out from before accept(); clients leave meanwhile.",
            unit="s",
            place=(12, 0, 4, 5),
            steps=((None, GREEN), (0.25, YELLOW), (1.0, RED)),
            decimals=3,
        ),
        Panel(
            number=5,
            title="Stuck handshakes, now",
            query="panel_stuck",
            description="Handshakes of the last hour that began more than $older_than_s s ago and that nothing "
            "has ended. What to do: above 0, look for a dependency that hangs; the last transition of"
            " such a connection says where it stands.",
            unit="short",
            place=(16, 0, 4, 5),
            steps=((None, GREEN), (1.0, RED)),
            decimals=0,
        ),
        Panel(
            number=6,
            title="Data age",
            query="panel_data_age",
            description="How long ago the latest span ended. What to do: above five minutes with clients about, "
            "believe nothing else here; look at the collector's /readyz and at the exporter's log.",
            unit="s",
            place=(20, 0, 4, 5),
            steps=((None, GREEN), (120.0, YELLOW), (300.0, RED)),
            decimals=0,
        ),
        Panel(
            number=7,
            title="Outcomes",
            query="panel_outcomes",
            description="How handshakes ended, by weight, by the minute in which they began. What to do: where a "
            "kind begins to grow, compare the moment with the marks of deployments and policies: "
            "failed is an exception or a missing accept, abandoned a client that left, timed_out a "
            "readiness that came too late, violated a message that was handled before it.",
            unit="short",
            place=(0, 5, 12, 9),
            kind="timeseries",
            bars=True,
        ),
        Panel(
            number=8,
            title="Burn of the error budget",
            query="panel_burn_rates",
            description="How many times faster than the objective of 1 in 1,000 handshakes fail, over 5 minutes, "
            "an hour and six. What to do: 14.4 for an hour is a page (AF-01), 6 for six hours too; "
            "see Outcomes for the kind and Worst routes for the place.",
            unit="suffix:×",
            place=(12, 5, 12, 9),
            kind="timeseries",
            constants={"slo": 0.001},
            lines=((1.0, YELLOW), (6.0, "orange"), (14.4, RED)),
        ),
        Panel(
            number=9,
            title="Worst routes",
            query="panel_worst_routes",
            description="Environments and routes by violations in 10,000 handshakes. What to do: begin with the "
            "first row, it leads to its detail; acceptfirst patterns show names the cause and the "
            "cure of its top pattern, acceptfirst recommend says whether any setting helps there.",
            unit="short",
            place=(0, 14, 24, 10),
            kind="table",
            units={"accept_p95_s": "s"},
            link=(
                "acceptfirst-handshake",
                "Handshakes of this route",
                _SAME_PLACE,
            ),
        ),
    ),
)

HANDSHAKE: Final = Board(
    uid="acceptfirst-handshake",
    title="Handshake detail",
    description="What exactly happened, and in which order? For the developer of a backend.",
    since="now-3h",
    refresh="1m",
    variables=("env", "service", "route", "pattern", "trace_id"),
    panels=(
        Panel(
            number=10,
            title="Time to accept",
            query="panel_accept_heatmap",
            description="How the time from the server handing the connection over until accept returned is "
            "distributed; classes grow by about two, each is right to one in a hundred. What to do: "
            "two bands are two kinds of handshake (cold and warm, two dependencies); look for what "
            "tells them apart.",
            unit="ms",
            place=(0, 0, 12, 9),
            kind="heatmap",
        ),
        Panel(
            number=11,
            title="Where the time goes",
            query="panel_state_times",
            description="Median and 95th percentile of each part of the handshake, and of each phase that the "
            "application names, in the latest 10,000 connections of the range. What to do: shorten "
            "the longest bar first; before accept, move it behind accept.",
            unit="ms",
            place=(12, 0, 12, 9),
            kind="bargauge",
            units={"connections": "short"},
            decimals=1,
        ),
        Panel(
            number=12,
            title="First message against ready",
            query="panel_message_gap",
            description="When the first message came, from the moment at which the application was ready; a "
            "negative gap is a message before it. The line says how many connections would be in "
            "order if messages waited that long. What to do: let the application say when it is ready"
            " and hold messages until then; a fixed delay must reach to where the line comes up to 99"
            " %, and costs everybody that much.",
            unit="short",
            place=(0, 9, 12, 9),
            kind="barchart",
            units={"covered_percent": "percent"},
        ),
        Panel(
            number=13,
            title="Time to accept, by route",
            query="panel_accept_by_route",
            description="Median, 95th and 99th percentile of the five routes with most handshakes. What to do: "
            "all routes up at once is the process (a blocked event loop, a full CPU); one route is "
            "its own dependency.",
            unit="s",
            place=(12, 9, 12, 9),
            kind="timeseries",
            decimals=3,
        ),
        Panel(
            number=14,
            title="Violations, the latest",
            query="panel_violation_list",
            description="What was out of order, with its evidence. What to do: choose a row's trace to see the "
            "whole connection below; read the pattern's page for the cause and the code.",
            unit="string",
            place=(0, 18, 24, 9),
            kind="table",
            units={"time": "dateTimeAsIso"},
            link=("acceptfirst-handshake", "Show its trace", "var-trace_id=${__data.fields.trace_id:percentencode}"),
        ),
        Panel(
            number=15,
            title="Trace",
            query="panel_trace",
            description="The spans of the trace that was chosen above. What to do: pick a row above; read the "
            "transitions from the top, the gap before the violation is where the race is.",
            unit="ms",
            place=(0, 27, 24, 12),
            kind="traces",
        ),
    ),
)

TUNING: Final = Board(
    uid="acceptfirst-tuning",
    title="Patterns & tuning",
    description="Is it getting better, what do we change, did it work? For whoever leads the team.",
    since="now-28d",
    refresh="",
    variables=("env", "service", "route", "pattern"),
    panels=(
        Panel(
            number=16,
            title="Races by environment",
            query="panel_pattern_counts",
            description="What the classifier found, in 10,000 handshakes. What to do: one that is in production "
            "and not in staging needs load or real clients to show; one that is everywhere is in the "
            "code: mend it first.",
            unit="short",
            place=(0, 0, 12, 10),
            kind="barchart",
            decimals=1,
        ),
        Panel(
            number=17,
            title="The race of each route, day by day",
            query="panel_dominant_patterns",
            description="The most frequent race of each day, UTC. What to do: a change of colour is a change of "
            "cause; compare the day with the marks of deployments and policies.",
            unit="string",
            place=(12, 0, 12, 10),
            kind="status-history",
        ),
        Panel(
            number=18,
            title="Recommendations",
            query="panel_recommendations",
            description="The latest of each place: what is in force, what is recommended, and on how many "
            "handshakes. What to do: acceptfirst policy propose, then promote for a share; where the "
            "verdict is code_fix, no setting helps, and where it is not_enough_evidence, wait.",
            unit="short",
            place=(0, 10, 24, 9),
            kind="table",
            units={
                "in_force_ms": "ms",
                "recommended_ms": "ms",
                "estimate_ms": "ms",
                "timeout_ms": "ms",
                "rate_upper": "percentunit",
                "updated_at": "dateTimeAsIso",
            },
        ),
        Panel(
            number=19,
            title="Races over time",
            query="panel_violation_rate",
            description="Races in 10,000 handshakes, and the mean of the week before each point. What to do: look"
            " at the marks of policies; if the mean does not come down behind one, acceptfirst verify"
            " says whether it worked, and acceptfirst policy rollback takes it back.",
            unit="short",
            place=(0, 19, 12, 9),
            kind="timeseries",
            decimals=2,
        ),
        Panel(
            number=20,
            title="Delay in force, recommended, needed",
            query="panel_delay_drift",
            description="What connections waited and should wait, as each recommendation saw it, and what the "
            "slowest of 100 needed from accept to ready, on the five busiest routes. "
            "What to do: lines that part for more than a "
            "day raise AF-08; carry the recommendation out, or reject it.",
            unit="ms",
            place=(12, 19, 12, 9),
            kind="timeseries",
            stairs=True,
        ),
    ),
)

BOARDS: Final = (OVERVIEW, HANDSHAKE, TUNING)
