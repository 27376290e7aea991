"""The boards: what is committed is what is made, and each says what it shows and what to do."""

from __future__ import annotations

import json
import re
import warnings
from pathlib import Path
from typing import Any

import pytest
import yaml

from acceptfirst_analysis.dashboards.board import PLUGIN, board_json
from acceptfirst_analysis.dashboards.files import differing_files, grafana_files, write_files
from acceptfirst_analysis.dashboards.panels import BOARDS, Board
from acceptfirst_store.statements import statement, statement_names

FOLDER = Path(__file__).resolve().parents[2] / "dashboards"
JSON = {board.uid: board_json(board) for board in BOARDS}
PANELS = [panel for board in JSON.values() for panel in board["panels"]]

each_board = pytest.mark.parametrize("board", BOARDS, ids=[board.uid for board in BOARDS])
each_panel = pytest.mark.parametrize("panel", PANELS, ids=[str(panel["id"]) for panel in PANELS])


def test_committed_files_equal_what_is_made() -> None:
    """`make dashboards` changes nothing, and no file is left over."""
    made = grafana_files()
    committed = {str(path.relative_to(FOLDER)) for path in FOLDER.rglob("*") if path.suffix in {".json", ".yaml"}}
    assert differing_files(FOLDER) == []
    assert committed == set(made)


def test_file_that_was_changed_is_found(tmp_path: Path) -> None:
    """Also one that is missing."""
    first, second, *_ = write_files(tmp_path)
    (tmp_path / first).write_text("{}")
    (tmp_path / second).unlink()
    assert differing_files(tmp_path) == [first, second]


def test_there_are_twenty_panels_with_ids_of_their_own() -> None:
    """Alerts and links refer to a panel by its id; it is the same on every machine."""
    assert [panel["id"] for panel in PANELS] == list(range(1, 21))


@each_panel
def test_panel_has_a_unit_and_says_what_to_do(panel: dict[str, Any]) -> None:
    """A number without a unit, or without a next step, helps nobody at night."""
    assert panel["fieldConfig"]["defaults"]["unit"]
    assert re.search(r"What to do: .+\.$", panel["description"])


@each_panel
def test_panel_says_what_no_data_looks_like(panel: dict[str, Any]) -> None:
    """And asks the data source that is chosen."""
    assert panel["fieldConfig"]["defaults"]["noValue"]
    assert panel["datasource"] == {"type": PLUGIN, "uid": "${datasource}"}


@each_board
def test_panels_do_not_overlap(board: Board) -> None:
    """On Grafana's grid of 24 columns."""
    cells = [
        (x, y)
        for grid in (panel["gridPos"] for panel in JSON[board.uid]["panels"])
        for x in range(grid["x"], grid["x"] + grid["w"])
        for y in range(grid["y"], grid["y"] + grid["h"])
    ]
    assert len(set(cells)) == len(cells)
    assert all(x < 24 for x, _ in cells)


@each_board
def test_board_leads_to_the_others_with_its_variables(board: Board) -> None:
    """One tag, one row of links."""
    made = JSON[board.uid]
    assert made["links"][0] | {"tags": [], "title": ""} == made["links"][0] | {"tags": [], "title": ""}
    assert (made["links"][0]["tags"], made["links"][0]["includeVars"], made["links"][0]["keepTime"]) == (
        ["acceptfirst"],
        True,
        True,
    )
    assert "acceptfirst" in made["tags"]


@each_board
def test_board_marks_deployments_and_policy_changes(board: Board) -> None:
    """What changed is half of what went wrong."""
    names = [annotation["name"] for annotation in JSON[board.uid]["annotations"]["list"]]
    assert names == ["Deployments", "Policy changes"]


@each_board
def test_board_has_every_variable_that_its_queries_use(board: Board, targets: Any) -> None:
    """A variable that is missing stays in the SQL as it is."""
    made = JSON[board.uid]
    used = {name for target in targets(made) for name in re.findall(r"\$\{(\w+)[}:]", target["rawSql"])}
    assert used <= {variable["name"] for variable in made["templating"]["list"]}


@each_board
def test_link_behind_a_row_leads_to_a_board_and_its_variables(board: Board) -> None:
    """And every column that it takes is one that the statement has."""
    for panel in board.panels:
        if panel.link is not None:
            uid, _, query = panel.link
            [target] = [each for each in BOARDS if each.uid == uid]
            assert set(re.findall(r"var-(\w+)=", query)) <= set(target.variables)
            columns = statement(panel.query).split("-- Columns:")[1].split("\nWITH")[0].split("\nSELECT")[0]
            assert all(name in columns for name in re.findall(r"__data\.fields\.(\w+)", query))


def test_every_panel_statement_is_used_by_a_board(targets: Any) -> None:
    """One that nobody asks would rot."""
    asked = json.dumps([target["rawSql"] for made in JSON.values() for target in targets(made)])
    unused = []
    for name in statement_names():
        lines = [line for line in statement(name).splitlines() if not line.startswith("--")]
        last = next(line for line in reversed(lines) if not line.startswith("LIMIT") and "{" not in line)
        if name.startswith("panel_") and json.dumps(last)[1:-1] not in asked:
            unused.append(name)
    assert unused == []


def test_boards_leave_no_parameter_unfilled(targets: Any) -> None:
    """Every one has a macro, a variable or a constant."""
    for made in JSON.values():
        assert not any(re.search(r"(?<!\$)\{\w+:", target["rawSql"]) for target in targets(made))


def test_trace_panel_has_the_columns_that_the_plugin_emits() -> None:
    """The names of src/data/sqlGenerator.ts; another one is silently not shown."""
    names = (
        "traceID spanID parentSpanID serviceName operationName startTime duration tags serviceTags statusCode logs "
        "kind statusMessage instrumentationLibraryName instrumentationLibraryVersion traceState"
    )
    assert all(re.search(rf" AS {name}\b", statement("panel_trace")) for name in names.split())


@each_board
def test_board_is_one_that_grafanas_own_types_can_hold(board: Board) -> None:
    """Read and written again by the classes that Grafana generates from its schema, nothing of it is lost."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # it prefers the next version of the schema
        from grafana_foundation_sdk.cog.encoder import JSONEncoder  # noqa: PLC0415 - warns when it is imported
        from grafana_foundation_sdk.models.dashboard import Dashboard  # noqa: PLC0415 - the same

        made = json.loads(json.dumps(JSON[board.uid]))
        again = json.loads(json.dumps(Dashboard.from_json(made), cls=JSONEncoder))
    for key in ("title", "uid", "tags", "refresh", "time", "graphTooltip", "schemaVersion"):
        assert again[key] == made[key]
    kept = [(panel["id"], panel["type"], panel["title"], panel["gridPos"]) for panel in again["panels"]]
    assert kept == [(panel["id"], panel["type"], panel["title"], panel["gridPos"]) for panel in made["panels"]]
    assert [variable["name"] for variable in again["templating"]["list"]] == [
        variable["name"] for variable in made["templating"]["list"]
    ]


# -- provisioning ------------------------------------------------------------------------------------------------------


def provisioned(kind: str) -> Any:
    """A provisioning file, read as Grafana reads it."""
    return yaml.safe_load((FOLDER / f"provisioning/{kind}/acceptfirst.yaml").read_text())


def test_provisioned_data_source_is_of_the_kind_that_the_boards_ask() -> None:
    """One plugin, in both files, and the uid that the rules name."""
    [source] = provisioned("datasources")["datasources"]
    assert (source["type"], source["uid"]) == (PLUGIN, "acceptfirst-clickhouse")


def test_provisioned_data_source_keeps_its_password_out_of_the_file() -> None:
    """It comes from the environment."""
    [source] = provisioned("datasources")["datasources"]
    assert source["secureJsonData"]["password"].startswith("$")


def test_provisioned_boards_lie_in_their_folder() -> None:
    """And can't be changed by hand, or the next start would lose it."""
    [provider] = provisioned("dashboards")["providers"]
    assert (provider["folder"], provider["allowUiUpdates"]) == ("AcceptFirst", False)
