"""The operator's file: what it may say, and that each mistake is named."""

from __future__ import annotations

import datetime as dt
from pathlib import Path

import pytest

from acceptfirst_analysis.alerts.settings import AlertSettings, AlertSettingsError, load_alert_settings

WHOLE = """
allowed_hosts = ["alertmanager"]
disabled = ["AF-08"]

[[receivers]]
name = "pager"
kind = "alertmanager"
url = "http://alertmanager:9093"

[[receivers]]
name = "mail"
kind = "email"
host = "smtp.example.com"
sender = "acceptfirst@example.com"
to = ["team@example.com"]
severities = ["critical"]

[[silences]]
rule = "AF-04"
until = 2026-12-01T00:00:00
reason = "load test"
"""


def loaded(tmp_path: Path, text: str) -> AlertSettings:
    """What a file of this text says."""
    path = tmp_path / "alerts.toml"
    path.write_text(text)
    return load_alert_settings(path)


def test_file_says_who_is_told_and_what_is_silent(tmp_path: Path) -> None:
    """Times without a zone are UTC."""
    settings = loaded(tmp_path, WHOLE)
    assert [(receiver.name, receiver.kind) for receiver in settings.receivers] == [
        ("pager", "alertmanager"),
        ("mail", "email"),
    ]
    assert settings.silences[0].until == dt.datetime(2026, 12, 1, tzinfo=dt.UTC)
    assert "AF-08" not in {rule.id for rule in settings.rules}


def test_url_is_not_shown_with_the_settings(tmp_path: Path) -> None:
    """A webhook's address is its password."""
    assert "9093" not in repr(loaded(tmp_path, WHOLE))


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("receivers = 1", "receivers"),
        ("[[receivers]]\nname = 'a'", "kind"),
        ("[[receivers]]\nname = 'a'\nkind = 'pigeon'\nurl = 'http://a'", "pigeon"),
        ("[[receivers]]\nname = 'a'\nkind = 'slack'", "url or url_file"),
        ("[[receivers]]\nname = 'a'\nkind = 'slack'\nurl = 'file:///etc/passwd'", "http"),
        ("[[receivers]]\nname = 'a'\nkind = 'slack'\nurl = 'http://[::'", "http"),
        ("[[receivers]]\nname = 'a'\nkind = 'email'\nhost = 'h'", "sender, to"),
        ("[[receivers]]\nname = 'a'\nkind = 'slack'\nurl = 'http://a'\nseverities = ['high']", "high"),
        ("[[receivers]]\nname = 'a'\nkind = 'slack'\nurl = 'http://a'\ntyop = 1", "tyop"),
        ("[[receivers]]\nname = 1\nkind = 'slack'\nurl = 'http://a'", "name"),
        (2 * "[[receivers]]\nname = 'a'\nkind = 'slack'\nurl = 'http://a'\n", "name of its own"),
        ("[[silences]]\nuntil = 2026-12-01T00:00:00Z\nreason = 'all'", "at least one of"),
        ("[[silences]]\nrule = 'AF-01'\nuntil = 'tomorrow'\nreason = 'x'", "until"),
        ("disabled = ['AF-99']", "AF-99"),
        ("group_by = ['colour']", "colour"),
        ("timeout_s = 0", "timeout_s"),
        ("timeout_s = true", "timeout_s"),
        ("allowed_hosts = 'one'", "allowed_hosts"),
        ("a = [", "TOML"),
    ],
)
def test_mistake_in_the_file_is_named(tmp_path: Path, text: str, named: str) -> None:
    """With the file's name, so that somebody can mend it."""
    with pytest.raises(AlertSettingsError, match=named) as caught:
        loaded(tmp_path, text)
    assert "alerts.toml" in str(caught.value)


def test_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    """No traceback."""
    with pytest.raises(AlertSettingsError, match="can't be read"):
        load_alert_settings(tmp_path / "none.toml")
