"""A board as the JSON that Grafana imports: only layout, no knowledge of what is shown."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from acceptfirst_analysis.dashboards.grafana_sql import board_sql
from acceptfirst_analysis.dashboards.panels import Board, Kind, Panel

PLUGIN: Final = "grafana-clickhouse-datasource"
DATASOURCE: Final = {"type": PLUGIN, "uid": "${datasource}"}
TAGS: Final = ("acceptfirst", "clickhouse", "otel")
FORMAT_TIME_SERIES: Final = 0
FORMAT_TABLE: Final = 1
FORMAT_TRACE: Final = 3
ALL: Final = "''"
"""What All stands for in a statement: a text that is empty, put in as it is."""

_FORMATS: Final[dict[Kind, int]] = {
    "timeseries": FORMAT_TIME_SERIES,
    "heatmap": FORMAT_TIME_SERIES,
    "traces": FORMAT_TRACE,
}
_QUERIED: Final = {
    "env": ("Environment", "panel_environments"),
    "service": ("Service", "panel_services"),
    "route": ("Route", "panel_routes"),
    "pattern": ("Race", "panel_patterns"),
}
_OUTCOME_COLOURS: Final = {
    "ready": "green",
    "violated": "red",
    "rejected": "blue",
    "abandoned": "yellow",
    "failed": "dark-red",
    "timed_out": "orange",
    "open": "text",
}
_STUCK_AFTER_S: Final = ("10", "30", "60", "300")


def board_json(board: Board) -> dict[str, Any]:
    """The board, with fixed ids, so that a change of it is a change that can be read."""
    return {
        "annotations": {"list": [_annotation(*each) for each in _ANNOTATIONS]},
        "description": f"{board.description} Made by acceptfirst dashboards export.",
        "editable": True,
        "graphTooltip": 1,
        "id": None,
        "links": [_board_links()],
        "panels": [panel_json(panel) for panel in board.panels],
        "refresh": board.refresh,
        "schemaVersion": 39,
        "tags": list(TAGS),
        "templating": {"list": [_datasource_variable(), *(_variable(name) for name in board.variables)]},
        "time": {"from": board.since, "to": "now"},
        "timepicker": {"refresh_intervals": ["30s", "1m", "5m"]},
        "timezone": "browser",
        "title": f"AcceptFirst / {board.title}",
        "uid": board.uid,
        "version": 1,
    }


def panel_json(panel: Panel) -> dict[str, Any]:
    """One panel."""
    x, y, width, height = panel.place
    return {
        "id": panel.number,
        "title": panel.title,
        "description": panel.description,
        "type": panel.kind,
        "datasource": DATASOURCE,
        "gridPos": {"x": x, "y": y, "w": width, "h": height},
        "targets": [_target(panel)],
        "fieldConfig": {"defaults": _defaults(panel), "overrides": _overrides(panel)},
        "options": _options(panel),
        "transformations": _transformations(panel),
    }


def _target(panel: Panel) -> dict[str, Any]:
    form = FORMAT_TIME_SERIES if panel.sparkline else _FORMATS.get(panel.kind, FORMAT_TABLE)
    return {
        "refId": "A",
        "datasource": DATASOURCE,
        "editorType": "sql",
        "format": form,
        "rawSql": board_sql(panel.query, panel.constants),
    }


# -- around the panels -------------------------------------------------------------------------------------------------

_ANNOTATIONS: Final = (
    ("Deployments", "panel_deployments", "blue"),
    ("Policy changes", "panel_policy_changes", "purple"),
)


def _annotation(name: str, query: str, colour: str) -> dict[str, Any]:
    target = {"editorType": "sql", "format": FORMAT_TABLE, "rawSql": board_sql(query), "refId": "Anno"}
    return {"name": name, "datasource": DATASOURCE, "enable": True, "iconColor": colour, "target": target}


def _board_links() -> dict[str, Any]:
    return {
        "title": "AcceptFirst",
        "type": "dashboards",
        "tags": ["acceptfirst"],
        "asDropdown": False,
        "icon": "external link",
        "includeVars": True,
        "keepTime": True,
        "targetBlank": False,
        "tooltip": "",
        "url": "",
    }


def _datasource_variable() -> dict[str, Any]:
    return {"name": "datasource", "label": "Data source", "type": "datasource", "query": PLUGIN, "refresh": 1}


def _variable(name: str) -> dict[str, Any]:
    if name == "trace_id":
        return {"name": name, "label": "Trace", "type": "textbox", "query": "", "current": {"text": "", "value": ""}}
    if name == "older_than_s":
        return _stuck_after()
    label, query = _QUERIED[name]
    sql = board_sql(query)
    return {
        "name": name,
        "label": label,
        "type": "query",
        "datasource": DATASOURCE,
        "definition": sql,
        "query": {"editorType": "sql", "rawSql": sql},
        "refresh": 2,  # with the range, since the query uses it
        "multi": True,
        "includeAll": True,
        "allValue": ALL,
        "current": {"text": ["All"], "value": ["$__all"]},
    }


def _stuck_after() -> dict[str, Any]:
    options = [{"selected": s == "30", "text": s, "value": s} for s in _STUCK_AFTER_S]
    return {
        "name": "older_than_s",
        "label": "Stuck after (s)",
        "type": "custom",  # a list and no text box: its value goes into SQL as it is
        "query": ",".join(_STUCK_AFTER_S),
        "current": {"text": "30", "value": "30"},
        "options": options,
    }


# -- inside a panel ----------------------------------------------------------------------------------------------------

_TOOLTIP: Final = {"mode": "multi", "sort": "desc"}
_LEGEND: Final = {"showLegend": True, "displayMode": "list", "placement": "bottom", "calcs": []}


def _options(panel: Panel) -> dict[str, Any]:
    if panel.kind == "stat":
        return _stat_options(panel)
    options: dict[Kind, dict[str, Any]] = {
        "timeseries": {"legend": {**_LEGEND, "calcs": ["sum"] if panel.bars else ["max"]}, "tooltip": _TOOLTIP},
        "table": {"showHeader": True, "cellHeight": "sm"},
        "heatmap": {
            "calculate": False,  # the classes come from the statement
            "cellGap": 1,
            "color": {"mode": "scheme", "scheme": "Oranges", "steps": 64, "exponent": 0.5, "fill": "dark-orange"},
            "rowsFrame": {"layout": "le"},
            "yAxis": {"axisPlacement": "left", "unit": "ms"},
            "tooltip": {"mode": "single", "yHistogram": True},
            "legend": {"show": True},
        },
        "bargauge": {
            "reduceOptions": {"calcs": [], "fields": "/^p(50|95)_ms$/", "values": True},
            "orientation": "horizontal",
            "displayMode": "basic",
            "valueMode": "text",
            "showUnfilled": False,
        },
        "barchart": _barchart_options(panel),
        "status-history": {"rowHeight": 0.9, "showValue": "auto", "legend": _LEGEND, "tooltip": {"mode": "single"}},
        "traces": {},
    }
    return options[panel.kind]


def _stat_options(panel: Panel) -> dict[str, Any]:
    calcs = ["mean"] if panel.sparkline else ["lastNotNull"]
    return {
        "reduceOptions": {"calcs": calcs, "fields": panel.fields, "values": False},
        "colorMode": "value",
        "graphMode": "area" if panel.sparkline else "none",
        "textMode": "auto",
        "orientation": "auto",
    }


def _barchart_options(panel: Panel) -> dict[str, Any]:
    return {
        "orientation": "vertical" if "covered_percent" in panel.units else "horizontal",
        "showValue": "auto",
        "stacking": "none",
        "legend": _LEGEND,
        "tooltip": {"mode": "multi", "sort": "none"},
        "xTickLabelSpacing": 0,
    }


def _defaults(panel: Panel) -> dict[str, Any]:
    defaults: dict[str, Any] = {"unit": panel.unit, "noValue": "no data"}
    if panel.decimals is not None:
        defaults["decimals"] = panel.decimals
    if panel.kind == "stat":
        defaults["thresholds"] = {"mode": "absolute", "steps": [_step(*step) for step in panel.steps]}
        defaults["color"] = {"mode": "thresholds"}
    if panel.kind == "timeseries":
        defaults["custom"] = _drawn(panel)
        defaults["min"] = 0
    if panel.lines:
        defaults["thresholds"] = {"mode": "absolute", "steps": [_step(None, "transparent"), *map(_line, panel.lines)]}
    if panel.kind == "status-history":
        defaults["custom"] = {"fillOpacity": 70, "lineWidth": 1}
        defaults["color"] = {"mode": "palette-classic-by-name"}
    return defaults


def _drawn(panel: Panel) -> dict[str, Any]:
    if panel.bars:
        return {"drawStyle": "bars", "fillOpacity": 80, "stacking": {"group": "A", "mode": "normal"}}
    drawn: dict[str, Any] = {"drawStyle": "line", "lineWidth": 2, "fillOpacity": 0, "spanNulls": False}
    if panel.stairs:
        drawn |= {"lineInterpolation": "stepAfter", "spanNulls": True}
    if panel.lines:
        drawn |= {"thresholdsStyle": {"mode": "dashed"}}
    return drawn


def _step(value: float | None, colour: str) -> dict[str, Any]:
    return {"value": value, "color": colour}


def _line(step: tuple[float | None, str]) -> dict[str, Any]:
    return _step(*step)


def _overrides(panel: Panel) -> list[dict[str, Any]]:
    overrides = [_override(name, "unit", unit) for name, unit in panel.units.items()]
    if panel.bars:
        overrides += [
            _override(name, "color", {"mode": "fixed", "fixedColor": colour})
            for name, colour in _OUTCOME_COLOURS.items()
        ]
    if panel.link is not None:
        uid, title, query = panel.link
        url = f"/d/{uid}?${{datasource:queryparam}}&{query}&${{__url_time_range}}"
        column = "trace_id" if "trace_id" in query else "route"
        overrides.append(_override(column, "links", [{"title": title, "url": url}]))
    return overrides


def _override(column: str, key: str, value: Any) -> dict[str, Any]:
    return {"matcher": {"id": "byName", "options": column}, "properties": [{"id": key, "value": value}]}


def _transformations(panel: Panel) -> Sequence[dict[str, Any]]:
    if panel.kind != "status-history":
        return []
    # One row a route: texts can't be pivoted by the data source, which takes them for labels.
    return [{"id": "partitionByValues", "options": {"fields": ["route"], "keepFields": False}}]
