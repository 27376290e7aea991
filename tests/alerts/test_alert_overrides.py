"""What an operator sets otherwise about the rules: it holds for the evaluator, Grafana and the sentences alike."""

from __future__ import annotations

import datetime as dt
import re
import tomllib
from pathlib import Path
from typing import Any

import pytest

from acceptfirst_analysis.alerts.evaluate import evaluate
from acceptfirst_analysis.alerts.overrides import OverrideError, overridden_rules, settable
from acceptfirst_analysis.alerts.rules import Rule, all_rules
from acceptfirst_analysis.alerts.settings import AlertSettings, AlertSettingsError, alert_settings
from acceptfirst_analysis.dashboards.alerting import alerting_json
from acceptfirst_cli.jobs.alerting import AlertFile
from acceptfirst_store.database import Database

ROOT = Path(__file__).resolve().parents[2]
each_rule = pytest.mark.parametrize("rule", all_rules(), ids=lambda rule: rule.id)


def rules(text: str) -> dict[str, Rule]:
    """The rules with what a file's ``[alerts]`` says."""
    return {rule.id: rule for rule in overridden_rules(tomllib.loads(text).get("alerts", {}))}


def problems(text: str) -> tuple[str, ...]:
    """What is wrong with it."""
    with pytest.raises(OverrideError) as refused:
        rules(text)
    return refused.value.problems


def test_rules_are_those_of_the_version_when_nothing_is_set() -> None:
    """An empty table changes nothing."""
    assert overridden_rules({}) == all_rules()


def test_threshold_decides_what_holds(planter: Any, database: Database, now: dt.datetime) -> None:
    """Half a second is no second."""
    planter.plant(60, age_s=60, accept_ms=700)
    planter.settle()
    usual, stricter = all_rules()[3], rules("[alerts.AF-04]\nthreshold = 0.5")["AF-04"]
    assert not evaluate(database, [usual], now).holding
    [sample] = evaluate(database, [stricter], now).holding
    assert sample.condition.threshold == 0.5


def test_parameter_reaches_the_statement_and_the_sentence(planter: Any, database: Database, now: dt.datetime) -> None:
    """A longer window sees what the usual one no longer does, and says how long it is."""
    planter.plant(60, age_s=720, accept_ms=2000)
    planter.settle()
    wider = rules("[alerts.AF-04]\nwindow_s = 900")["AF-04"]
    assert not evaluate(database, [all_rules()[3]], now).holding
    [sample] = evaluate(database, [wider], now).holding
    assert "over 15 minutes" in sample.sentence(wider.description)


def test_objective_is_set_once_for_both_rules_that_have_it() -> None:
    """A rule's own one still wins."""
    found = rules("[alerts]\nslo = 0.005\n[alerts.AF-02]\nslo = 0.03")
    assert {c.parameters["slo"] for c in found["AF-01"].conditions} == {0.005}
    assert {c.parameters["slo"] for c in found["AF-02"].conditions} == {0.03}
    assert found["AF-01"].conditions[0].words["slo"] == "1 in 200"
    assert found["AF-02"].conditions[0].words["slo"] == "3 %"


def test_condition_of_two_is_set_by_its_window() -> None:
    """The other one stays."""
    fast = rules("[alerts.AF-01.6h]\nthreshold = 10\nfor_s = 60")["AF-01"]
    assert [(c.window, c.threshold, c.for_s) for c in fast.conditions] == [("1h", 14.4, 120), ("6h", 10.0, 60)]


def test_rule_that_is_off_is_not_asked_and_paused_in_grafana() -> None:
    """Grafana would keep a rule that is only left out of the file."""
    base = tuple(rules("[alerts.AF-08]\nenabled = false").values())
    assert "AF-08" not in {rule.id for rule in AlertSettings(base=base).rules}
    paused = {r["labels"]["rule"]: r["isPaused"] for r in alerting_json(rules=base)["groups"][0]["rules"]}
    assert {rule for rule, is_paused in paused.items() if is_paused} == {"AF-08"}


def test_grafana_is_given_the_same_values() -> None:
    """Threshold, duration, severity, guard and parameters of a rule, in Grafana's places."""
    text = "[alerts.AF-04]\nthreshold = 0.5\nfor_s = 300\nseverity = 'critical'\nn_min = 20\nwindow_s = 900"
    made = alerting_json(rules=tuple(rules(text).values()))["groups"][0]["rules"]
    [rule] = [rule for rule in made if rule["labels"]["rule"] == "AF-04"]
    assert rule["data"][2]["model"]["conditions"][0]["evaluator"]["params"] == [0.5]
    assert (rule["for"], rule["labels"]["severity"]) == ("300s", "critical")
    sql = rule["data"][0]["model"]["rawSql"]
    assert ("n >= 20" in sql, "toIntervalSecond(900)" in sql) == (True, True)
    assert "over 15 minutes" in rule["annotations"]["description"]


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("alerts = 3", "alerts: expected a table such as [alerts.AF-04]; got 3"),
        ("[alerts]\nslo = 2", "alerts.slo: expected a number above 0 to 0.5; got 2"),
        ("[alerts.AF-4]", "alerts.AF-4: expected a setting; do you mean AF-04?"),
        ("[alerts]\nAF-04 = 1", "alerts.AF-04: expected a table; got 1"),
        ("[alerts.AF-04]\ntreshold = 1", "alerts.AF-04.treshold: expected a setting; do you mean threshold?"),
        ("[alerts.AF-04]\nthreshold = nan", "alerts.AF-04.threshold: expected a number from 0; got nan"),
        ("[alerts.AF-04]\nthreshold = true", "alerts.AF-04.threshold: expected a number from 0; got True"),
        ("[alerts.AF-04]\nwindow_s = 60", "expected a whole number of seconds from 300 to 86,400; got 60"),
        ("[alerts.AF-04]\nfor_s = '5m'", "expected a whole number of seconds from 0 to 604,800; got '5m'"),
        ("[alerts.AF-04]\nseverity = 'page'", "expected one of critical, warning, info; got 'page'"),
        ("[alerts.AF-04]\nenabled = 0", "alerts.AF-04.enabled: expected true or false; got 0"),
        ("[alerts.AF-04]\nseverity = []", "expected one of critical, warning, info; got []"),
        ("[alerts.AF-03]\nof_environment = ''", "expected the name of an environment; got ''"),
        ("[alerts.AF-01]\nthreshold = 2", "alerts.AF-01.threshold: expected it under [alerts.AF-01.1h] or"),
        ("[alerts.AF-01.2h]\nthreshold = 2", "alerts.AF-01.2h: expected a setting"),
        ("[alerts.AF-01.1h]\nlong_s = 60", "alerts.AF-01.1h.long_s: expected a setting"),
        ("[alerts.AF-01]\n1h = 3", "alerts.AF-01.1h: expected a table; got 3"),
    ],
)
def test_mistake_is_named_with_what_was_expected(text: str, problem: str) -> None:
    """The setting, what fits, and what came."""
    [found] = problems(text)
    assert problem in found


def test_every_mistake_is_told_at_once() -> None:
    """Nobody wants to mend a file five times."""
    assert len(problems("[alerts]\nslo = 2\n[alerts.AF-04]\nfor_s = -1\nthreshold = -1\n[alerts.AF-9]")) == 4


def test_rules_are_no_setting_of_the_alerts_file() -> None:
    """Who is told stands there, and nothing else."""
    with pytest.raises(AlertSettingsError, match="got base"):
        alert_settings({"base": []})


@each_rule
def test_runbook_names_the_settings_of_its_rule(rule: Rule) -> None:
    """Whoever is woken for nothing finds what to turn."""
    text = (ROOT / "docs" / "runbooks" / rule.runbook).read_text()
    assert f"`[alerts.{rule.id}]`" in text
    assert set(re.findall(r"`(\w+)`", text)) & set(settable(rule))


@each_rule
def test_documentation_names_every_setting(rule: Rule) -> None:
    """A table of them, by rule."""
    text = (ROOT / "docs" / "alerts.md").read_text()
    assert all(f"`{name}`" in text for name in settable(rule))


def test_running_process_follows_the_configuration(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """A change holds with the next look; a mistake is logged, and what held before still does."""
    configuration = tmp_path / "acceptfirst.toml"
    configuration.write_text("[alerts.AF-04]\nthreshold = 0.5\n")
    file = AlertFile(tmp_path / "alerts.toml", configuration)
    assert file.settings.rules[3].conditions[0].threshold == 0.5
    configuration.write_text("[alerts.AF-04]\nthreshold = 0.25\n")
    assert file.settings.rules[3].conditions[0].threshold == 0.25
    configuration.write_text("[alerts.AF-04]\nthreshold = 'soon'\n")
    assert file.settings.rules[3].conditions[0].threshold == 0.25
    assert "alerts.AF-04.threshold: expected a number from 0; got 'soon'" in caplog.text
