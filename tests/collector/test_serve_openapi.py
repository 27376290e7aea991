"""The API against its own description: schemathesis tries what it allows and what it forbids, on a real serve."""

from __future__ import annotations

import contextlib
from typing import Any

import httpx
import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis.errors import Unsatisfiable
from schemathesis import GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)

#: The real server with the jobs' routes; nothing runs by itself.
WITH_JOBS = """
import pathlib, sys
import chdb
from acceptfirst_cli.jobs.routes import Extension
from acceptfirst_collector.server import run
from acceptfirst_collector.settings import CollectorSettings
run(CollectorSettings(data_dir=pathlib.Path(sys.argv[4]), port=0, grpc_port=0), extend=Extension(None))
"""
CHECKS = [not_a_server_error, status_code_conformance, content_type_conformance, response_schema_conformance]


@pytest.fixture(scope="module")
def described(serve_starter: Any) -> Any:
    """A running serve."""
    return serve_starter(code=WITH_JOBS)


@pytest.fixture(scope="module")
def api_schema(described: Any) -> Any:
    """Its description, without the jobs that start a worker: each takes a second, and reads nothing but a question."""
    schema = schemathesis.openapi.from_url(f"{described.url}/api/v1/openapi.json")
    return schema.exclude(path_regex=r"^/api/v1/(jobs/(recommend|report|verify)|reports/)")


@pytest.mark.parametrize("mode", GenerationMode)
def test_serve_answers_as_it_describes_itself(api_schema: Any, mode: GenerationMode) -> None:
    """No 5xx, a described status, the described type and shape, whatever is asked of a route, allowed or not."""
    asked: set[str] = set()
    for found in api_schema.get_all_operations():
        operation = found.ok()

        @given(case=operation.as_strategy(generation_mode=mode))
        @settings(
            max_examples=6,
            derandomize=True,
            deadline=None,
            database=None,
            phases=[Phase.explicit, Phase.generate],
            suppress_health_check=list(HealthCheck),
        )
        def tried(case: Any) -> None:
            asked.add(f"{case.method} {case.path}")
            case.call_and_validate(checks=CHECKS)

        with contextlib.suppress(Unsatisfiable):  # what takes nothing, or any text, can't be asked wrongly
            tried()
    assert asked >= {
        "GET /api/v1/handshakes",
        "GET /api/v1/alerts",
        "POST /api/v1/jobs/classify",
        "POST /api/v1/policy/{environment}/propose",
        "POST /api/v1/policy/{environment}/promote",
    }


def test_serve_describes_every_route_of_the_contract(described: Any) -> None:
    """Those of the design, and nothing that answers with the framework's own errors."""
    document = httpx.get(f"{described.url}/api/v1/openapi.json").json()
    wanted = {
        "/api/v1/handshakes",
        "/api/v1/handshakes/{connection_id}",
        "/api/v1/patterns",
        "/api/v1/recommendations",
        "/api/v1/policy/{environment}",
        "/api/v1/policy/{environment}/propose",
        "/api/v1/policy/{environment}/promote",
        "/api/v1/policy/{environment}/rollback",
        "/api/v1/jobs/classify",
        "/api/v1/jobs/recommend",
        "/api/v1/jobs/report",
        "/api/v1/status",
        "/healthz",
        "/readyz",
        "/metrics",
    }
    assert wanted <= set(document["paths"])
    answers = [operation["responses"] for each in document["paths"].values() for operation in each.values()]
    assert all("default" in responses and "422" not in responses for responses in answers)


@pytest.mark.parametrize(
    ("path", "keys"),
    [
        ("policy/{environment}/propose", {"policy", "by", "reason", "evidence"}),
        ("policy/{environment}/promote", {"share", "version", "by", "reason", "evidence"}),
        ("policy/{environment}/rollback", {"by", "reason", "evidence"}),
        ("jobs/classify", {"environment", "since", "until", "week", "format", "slo", "confidence", "lambda_ms"}),
        ("jobs/recommend", {"environment", "since", "until", "week", "format", "slo", "confidence", "lambda_ms"}),
        ("db/prune", {"connection", "user", "older_than", "dry_run"}),
    ],
)
def test_serve_describes_what_a_change_and_a_job_take(described: Any, path: str, keys: set[str]) -> None:
    """Each key, and that there are no others."""
    document = httpx.get(f"{described.url}/api/v1/openapi.json").json()
    schema = document["paths"][f"/api/v1/{path}"]["post"]["requestBody"]["content"]["application/json"]["schema"]
    if "$ref" in schema:
        schema = document["components"]["schemas"][schema["$ref"].rsplit("/", 1)[1]]
    body = schema.get("anyOf", [schema])[0]
    assert (set(body["properties"]), body["additionalProperties"]) == (keys, False)
