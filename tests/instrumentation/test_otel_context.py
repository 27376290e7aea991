"""The short way to the current OpenTelemetry context ends where the API's does."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
from opentelemetry import context

from acceptfirst import otel_context


def test_current_context_is_the_apis_when_one_is_attached() -> None:
    """What is attached is seen, and what is detached is not."""
    token = context.attach(context.set_value("tenant", "7"))
    within = otel_context.current_context()
    context.detach(token)

    assert within["tenant"] == "7"
    assert otel_context.current_context() is context.get_current()


def test_apis_own_function_is_asked_when_a_user_has_another_kind_of_context(monkeypatch: pytest.MonkeyPatch) -> None:
    """Only the API's own kind keeps a context variable that we know."""
    monkeypatch.setattr(context, "_RUNTIME_CONTEXT", SimpleNamespace(get_current=context.Context))

    assert otel_context._reader() is context.get_current
