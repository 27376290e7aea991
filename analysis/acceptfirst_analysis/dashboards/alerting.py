"""Grafana's provisioning of the alert rules, made from the rules that the embedded evaluator reads.

What Grafana does with the file (``pkg/services/provisioning/alerting/rules_types.go``): the queries' ``model`` is taken
as it is, annotations expand ``${…}`` only, titles and labels expand ``$…`` too; so none of them has a dollar but the
annotations' ``{{ $labels.… }}``.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from acceptfirst_analysis.alerts.rules import DIMENSIONS, Condition, Rule, all_rules
from acceptfirst_analysis.dashboards.board import FORMAT_TABLE, PLUGIN
from acceptfirst_analysis.dashboards.grafana_sql import rule_sql

DATASOURCE_UID: Final = "acceptfirst-clickhouse"
RANGE_S: Final = 600
_EXPRESSION: Final = {"type": "__expr__", "uid": "__expr__"}
_VALUE: Final = '{{ with $values.B }}{{ printf "%.4g" .Value }}{{ end }}'


def alerting_json(
    datasource_uid: str = DATASOURCE_UID, runbook_base: str = "docs/runbooks", rules: Sequence[Rule] = ()
) -> dict[str, Any]:
    """The provisioning file: one group, evaluated every minute.

    Args:
        datasource_uid: of the data source that is asked.
        runbook_base: where the runbooks are.
        rules: as an operator set them; those of this version where there are none. One that is off is paused, since
            Grafana keeps a rule that is only left out.
    """
    made = [
        _rule(rule, condition, datasource_uid, runbook_base)
        for rule in rules or all_rules()
        for condition in rule.conditions
    ]
    return {
        "apiVersion": 1,
        "groups": [{"orgId": 1, "name": "acceptfirst", "folder": "AcceptFirst", "interval": "1m", "rules": made}],
    }


def rule_uid(rule: Rule, condition: Condition) -> str:
    """At most 40 characters, the same for ever."""
    uid = f"acceptfirst-{rule.id.lower()}"
    return f"{uid}-{condition.window}" if condition.window else uid


def _rule(rule: Rule, condition: Condition, datasource_uid: str, runbook_base: str) -> dict[str, Any]:
    board, panel = rule.panel
    window = {"window": condition.window} if condition.window else {}
    return {
        "uid": rule_uid(rule, condition),
        "title": " ".join(filter(None, (rule.id, rule.name, condition.window))),
        "condition": "C",
        "data": [_query(rule, condition, datasource_uid), _reduced(), _threshold(condition)],
        "dashboardUid": board,
        "panelId": panel,
        "noDataState": "Alerting" if rule.no_data == "alerting" else "OK",
        "execErrState": "Error",
        "for": f"{condition.for_s}s",
        "keepFiringFor": f"{rule.keep_firing_s}s",
        "annotations": {
            "summary": _template(rule.summary, condition),
            "description": _template(rule.description, condition),
            "runbook_url": f"{runbook_base.rstrip('/')}/{rule.runbook}",
            "__dashboardUid__": board,
            "__panelId__": str(panel),
        },
        "labels": {"rule": rule.id, "severity": rule.severity, **window},
        "isPaused": not rule.is_enabled,
    }


def _query(rule: Rule, condition: Condition, datasource_uid: str) -> dict[str, Any]:
    return {
        "refId": "A",
        "relativeTimeRange": {"from": RANGE_S, "to": 0},
        "datasourceUid": datasource_uid,
        "model": {
            "refId": "A",
            "datasource": {"type": PLUGIN, "uid": datasource_uid},
            "editorType": "sql",
            "format": FORMAT_TABLE,
            "rawSql": rule_sql(rule.statement, condition.parameters, rule.n_min),
        },
    }


def _reduced() -> dict[str, Any]:
    model = {"refId": "B", "datasource": _EXPRESSION, "type": "reduce", "expression": "A", "reducer": "last"}
    return {"refId": "B", "datasourceUid": "__expr__", "model": model}


def _threshold(condition: Condition) -> dict[str, Any]:
    evaluator = {"type": "gt", "params": [condition.threshold]}
    model = {
        "refId": "C",
        "datasource": _EXPRESSION,
        "type": "threshold",
        "expression": "B",
        "conditions": [{"evaluator": evaluator}],
    }
    return {"refId": "C", "datasourceUid": "__expr__", "model": model}


def _template(text: str, condition: Condition) -> str:
    fields = {name: f"{{{{ $labels.{name} }}}}" for name in DIMENSIONS}
    return text.format(**fields, **condition.words, value=_VALUE)
