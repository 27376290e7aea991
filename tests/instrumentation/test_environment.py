"""Where we are: the argument, the variable, the resource, development."""

from __future__ import annotations

import pytest

from acceptfirst.environment import UnknownEnvironmentError, resolve_environment


@pytest.fixture(autouse=True)
def no_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    """The machine's own variable must not decide a test."""
    monkeypatch.delenv("ACCEPTFIRST_ENVIRONMENT", raising=False)


def test_argument_wins_over_everything(monkeypatch: pytest.MonkeyPatch) -> None:
    """What the caller says holds."""
    monkeypatch.setenv("ACCEPTFIRST_ENVIRONMENT", "staging")
    assert resolve_environment("prod", {"deployment.environment.name": "test"}) == "production"


def test_variable_wins_over_the_resource(monkeypatch: pytest.MonkeyPatch) -> None:
    """The operator's word comes before the resource's."""
    monkeypatch.setenv("ACCEPTFIRST_ENVIRONMENT", "staging")
    assert resolve_environment(None, {"deployment.environment.name": "test"}) == "staging"


@pytest.mark.parametrize("key", ["deployment.environment.name", "deployment.environment"])
def test_resource_is_read_under_both_its_names(key: str) -> None:
    """The stable attribute and the old one."""
    assert resolve_environment(None, {key: "test"}) == "testing"


def test_resource_with_a_name_of_its_own_is_passed_over() -> None:
    """Others may call their environments as they like."""
    assert resolve_environment(None, {"deployment.environment.name": "blue-7"}) == "development"


def test_unknown_argument_is_refused_with_the_choices() -> None:
    """The message lists what would have been right."""
    with pytest.raises(UnknownEnvironmentError, match="testing, development, staging, production"):
        resolve_environment("mars")
