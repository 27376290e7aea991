"""The files that Grafana is given: boards, alert rules, provisioning; the same bytes each time."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from acceptfirst_analysis.alerts.rules import Rule
from acceptfirst_analysis.dashboards.alerting import alerting_json
from acceptfirst_analysis.dashboards.board import PLUGIN, board_json
from acceptfirst_analysis.dashboards.panels import BOARDS

_MADE: Final = "# Made by `acceptfirst dashboards export`. Change the rules and statements. JSON is YAML, too.\n"
_DATASOURCES: Final = f"""\
# The data source that the boards ask. Only a ClickHouse server can be asked: an embedded store has no port.
apiVersion: 1
datasources:
  - name: AcceptFirst
    uid: acceptfirst-clickhouse
    type: {PLUGIN}
    isDefault: true
    jsonData:
      host: $ACCEPTFIRST_CLICKHOUSE_HOST
      port: 9000
      protocol: native
      username: $ACCEPTFIRST_CLICKHOUSE_USER
      defaultDatabase: acceptfirst
      traces:
        defaultDatabase: acceptfirst
        defaultTable: otel_traces
        otelEnabled: true
        otelVersion: latest
    secureJsonData:
      password: $ACCEPTFIRST_CLICKHOUSE_PASSWORD
"""
_DASHBOARDS: Final = """\
# Where Grafana finds the boards: mount dashboards/grafana there, read-only.
apiVersion: 1
providers:
  - name: acceptfirst
    folder: AcceptFirst
    type: file
    allowUiUpdates: false
    options:
      path: /etc/grafana/acceptfirst
"""


def grafana_files(runbook_base: str = "docs/runbooks", rules: Sequence[Rule] = ()) -> dict[str, str]:
    """Path below the folder → text of each file.

    Args:
        runbook_base: where the runbooks are, for people who read an alert.
        rules: as an operator set them; those of this version where there are none.
    """
    boards = {f"grafana/{board.uid}.json": _json(board_json(board)) for board in BOARDS}
    return {
        **boards,
        "provisioning/alerting/acceptfirst.yaml": _MADE + _json(alerting_json(runbook_base=runbook_base, rules=rules)),
        "provisioning/dashboards/acceptfirst.yaml": _DASHBOARDS,
        "provisioning/datasources/acceptfirst.yaml": _DATASOURCES,
    }


def write_files(folder: Path, runbook_base: str = "docs/runbooks", rules: Sequence[Rule] = ()) -> list[str]:
    """Write the files, and say which.

    Raises:
        OSError: one can't be written.
    """
    files = grafana_files(runbook_base, rules)
    for name, text in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    return sorted(files)


def differing_files(folder: Path, runbook_base: str = "docs/runbooks", rules: Sequence[Rule] = ()) -> list[str]:
    """The files that are missing in a folder, or not what this version would write."""
    files = grafana_files(runbook_base, rules)
    return sorted(name for name, text in files.items() if _text(folder / name) != text)


def _text(path: Path) -> str | None:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        return None


def _json(value: Any) -> str:
    return json.dumps(value, indent=2, sort_keys=True, ensure_ascii=False) + "\n"
