"""``acceptfirst config``: which of four places a setting came from, and what is wrong with a file."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

FILE = Path("acceptfirst.toml")


def settings(ended: Any) -> dict[str, tuple[Any, str, str]]:
    """Value, origin and place of each setting."""
    document = json.loads(ended.out)
    assert document["schema_version"] == 1
    return {name: (each["value"], each["origin"], each["place"]) for name, each in document["settings"].items()}


def test_config_shows_where_each_setting_came_from(
    acceptfirst: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Flag over environment over file over default, each with its place."""
    FILE.write_text('host = "127.0.0.2"\nport = 1\ngrpc_port = 2\n')
    monkeypatch.setenv("ACCEPTFIRST_PORT", "11")
    monkeypatch.setenv("ACCEPTFIRST_GRPC_PORT", "12")
    found = settings(acceptfirst("config", "show", "--grpc-port", "112", "--json"))
    assert found["grpc_port"] == (112, "flag", "--grpc-port")
    assert found["port"] == (11, "environment", "ACCEPTFIRST_PORT")
    assert found["host"] == ("127.0.0.2", "file", "acceptfirst.toml")
    assert found["data_dir"] == (".acceptfirst", "default", "")


def test_config_reads_the_file_that_it_is_told_to(acceptfirst: Callable[..., Any]) -> None:
    """By the flag of the command itself."""
    Path("other.toml").write_text("port = 7\n")
    assert settings(acceptfirst("--config", "other.toml", "config", "show", "--json"))["port"][:2] == (7, "file")


def test_config_masks_what_is_secret(acceptfirst: Callable[..., Any], monkeypatch: pytest.MonkeyPatch) -> None:
    """A token, and the password in an address."""
    monkeypatch.setenv("ACCEPTFIRST_TOKEN", "s3cret-token")
    monkeypatch.setenv("ACCEPTFIRST_STORE", "clickhouse://me:s3cret@host:8123")
    for arguments in (("config", "show"), ("config", "show", "--json")):
        ended = acceptfirst(*arguments)
        assert ended.code == 0
        assert "s3cret" not in ended.out + ended.err
    assert "clickhouse://me:********@host:8123" in ended.out


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ('hosst = "x"', "hosst: expected a setting; do you mean host?"),
        ("zzz = 1", "zzz: expected a setting; there are host, port"),
        ("port = 70000", "port: "),
        ('grpc_port = "x"', "grpc_port: "),
    ],
)
def test_config_says_what_is_wrong_with_a_file(acceptfirst: Callable[..., Any], text: str, problem: str) -> None:
    """Exit code 2 and each problem by the setting's name."""
    FILE.write_text(text)
    ended = acceptfirst("config", "validate", "--json")
    document = json.loads(ended.out)
    assert (ended.code, document["valid"]) == (2, False)
    assert document["problems"][0].startswith(problem)


def test_config_shows_no_password_of_a_wrong_value(acceptfirst: Callable[..., Any]) -> None:
    """A problem repeats what came, but not a secret in it."""
    FILE.write_text('port = "clickhouse://a:s3cret@h"')
    assert "s3cret" not in acceptfirst("config", "validate").out


@pytest.mark.parametrize(("text", "words"), [("port = ", "expected TOML"), (None, "expected a configuration file")])
def test_config_says_that_there_is_nothing_to_check(
    acceptfirst: Callable[..., Any], text: str | None, words: str
) -> None:
    """A usage error in one line."""
    if text is not None:
        FILE.write_text(text)
    ended = acceptfirst("config", "validate")
    assert (ended.code, ended.err.count("\n")) == (2, 1)
    assert words in ended.err


def test_config_finds_a_good_file_good(acceptfirst: Callable[..., Any]) -> None:
    """Exit code 0."""
    FILE.write_text('host = "127.0.0.1"\nport = 4318\n')
    ended = acceptfirst("config", "validate", "--json")
    assert (ended.code, json.loads(ended.out)["valid"]) == (0, True)


def test_config_checks_and_shows_the_alert_rules(acceptfirst: Callable[..., Any]) -> None:
    """The one table of the file, with each setting's whole name."""
    FILE.write_text("[alerts.AF-04]\nthreshold = 0.5\n[alerts.AF-01.6h]\nthreshold = 10\n")
    assert acceptfirst("config", "validate").code == 0
    found = settings(acceptfirst("config", "show", "--json"))
    assert found["alerts.AF-04.threshold"] == (0.5, "file", "acceptfirst.toml")
    assert found["alerts.AF-01.6h.threshold"][0] == 10
    FILE.write_text("[alerts.AF-04]\nthreshold = -1\n")
    ended = acceptfirst("config", "validate")
    assert (ended.code, "alerts.AF-04.threshold: expected a number from 0; got -1" in ended.out) == (2, True)


def test_rules_and_grafanas_files_follow_the_configuration(acceptfirst: Callable[..., Any], tmp_path: Path) -> None:
    """What is listed is what is exported; checking against other settings finds that the file differs."""
    FILE.write_text("[alerts.AF-04]\nthreshold = 0.5\n[alerts.AF-08]\nenabled = false\n")
    listed = json.loads(acceptfirst("alerts", "list", "--rules", "--json").out)["rules"]
    known = {rule["id"]: rule for rule in listed}
    assert (known["AF-04"]["conditions"][0]["threshold"], known["AF-08"]["is_enabled"]) == (0.5, False)
    folder = str(tmp_path / "boards")
    assert acceptfirst("dashboards", "export", "--output", folder).code == 0
    assert acceptfirst("dashboards", "check", folder).code == 0
    FILE.write_text("")
    ended = acceptfirst("dashboards", "check", folder, "--json")
    assert (ended.code, json.loads(ended.out)["differing_files"]) == (3, ["provisioning/alerting/acceptfirst.yaml"])


@pytest.mark.parametrize("verb", ["serve", "doctor", "status"])
def test_every_verb_refuses_a_file_with_a_mistake(acceptfirst: Callable[..., Any], verb: str) -> None:
    """A setting that is silently ignored is worse than none."""
    FILE.write_text('data-dir = "/tmp/x"')
    ended = acceptfirst(verb)
    assert ended.code == 2
    assert "acceptfirst.toml: data-dir: expected a setting; do you mean data_dir?" in ended.err
