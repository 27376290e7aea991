"""`/metrics`: what it says, in a form that Prometheus' own tools and a real Prometheus take."""

from __future__ import annotations

import os
import pathlib
import shutil
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from typing import Any

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families

REQUIRED = "ACCEPTFIRST_TEST_REQUIRE"
PATIENCE_S = 60.0
BACKLOG = "acceptfirst_collector_backlog_requests"
AGE = "acceptfirst_collector_data_age_seconds"
CONFIGURATION = """
global: {{scrape_interval: 1s, scrape_timeout: 1s}}
scrape_configs:
  - job_name: acceptfirst
    authorization: {{credentials_file: {token}}}
    static_configs: [{{targets: ["{target}"]}}]
"""


def _program(name: str) -> str:
    found = shutil.which(name)
    if found is None:
        reason = f"{name} is not installed: apt-get install prometheus"
        if os.environ.get(REQUIRED) == "1":
            pytest.fail(reason)
        pytest.skip(reason)
    return found


def _samples(serve: Any) -> dict[str, float]:
    text = httpx.get(f"{serve.url}/metrics", timeout=60).text
    return {
        sample.name + "".join(f"{{{key}={value}}}" for key, value in sorted(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def _settled(serve: Any) -> dict[str, float]:
    """What is measured once everything is stored and the store was asked since; as it is, when patience is over."""
    deadline = time.monotonic() + PATIENCE_S
    while time.monotonic() < deadline:
        samples = _samples(serve)
        if samples[BACKLOG] == 0 and AGE in samples:
            break
        time.sleep(0.1)
    return samples


def test_metrics_count_what_was_accepted_once_and_what_came_again(
    serve: Any, make_request: Callable[..., bytes]
) -> None:
    """Requests, spans and repeats."""
    before = _samples(serve)
    body = make_request("a", "b", "c")
    assert [serve.post(body).status_code for _ in range(2)] == [200, 200]
    after = _samples(serve)
    risen = {name: after[name] - before[name] for name in before if after[name] != before[name]}
    assert risen["acceptfirst_collector_requests_accepted_total{transport=http}"] == 2
    assert risen["acceptfirst_collector_requests_repeated_total"] == 1
    assert risen["acceptfirst_collector_spans_accepted_total"] == 3


@pytest.mark.parametrize(
    ("method", "path", "content_type", "reason"),
    [
        ("POST", "/v1/traces", "application/x-protobuf", "malformed"),
        ("POST", "/v1/traces", "text/plain", "unsupported"),
        ("GET", "/v1/traces", "application/x-protobuf", "method"),
        ("POST", "/v1/nothing", "application/x-protobuf", "not_found"),
    ],
)
def test_metrics_count_a_refusal_by_its_reason(
    serve: Any, method: str, path: str, content_type: str, reason: str
) -> None:
    """Whoever refuses it: the receiver or the framework."""
    name = f"acceptfirst_collector_requests_rejected_total{{reason={reason}}}{{transport=http}}"
    before = _samples(serve)[name]
    httpx.request(method, serve.url + path, content=b"zzz", headers={"Content-Type": content_type})
    assert _samples(serve)[name] == before + 1


def test_metrics_measure_the_log_and_the_store(serve: Any, make_request: Callable[..., bytes]) -> None:
    """A sync and an insert were measured, nothing waits, and the newest data is as old as it says."""
    assert serve.post(make_request("a", start_ns=time.time_ns() - 3_600_000_000_000)).status_code == 200
    samples = _settled(serve)
    assert samples["acceptfirst_collector_backlog_bytes"] == 0
    assert samples["acceptfirst_collector_log_sync_seconds_count"] >= 1
    assert samples["acceptfirst_collector_store_insert_seconds_count"] >= 1
    assert samples["acceptfirst_collector_store_bytes"] > 0
    assert 0 <= samples[AGE] < 3700


def test_metrics_pass_the_lint_of_prometheus(serve: Any) -> None:
    """Names, units and help as its own tool wants them."""
    exposition = httpx.get(f"{serve.url}/metrics").content
    done = subprocess.run(
        [_program("promtool"), "check", "metrics"], input=exposition, capture_output=True, check=False
    )
    assert (done.returncode, done.stderr.decode()) == (0, "")


@pytest.fixture
def start_prometheus(tmp_path: pathlib.Path) -> Iterator[Callable[[str, pathlib.Path], str]]:
    """Start a real Prometheus that scrapes a target; gives its URL."""
    started: list[subprocess.Popen[bytes]] = []

    def start(target: str, token: pathlib.Path) -> str:
        configuration = tmp_path / "prometheus.yml"
        configuration.write_text(CONFIGURATION.format(target=target, token=token))
        with socket.create_server(("127.0.0.1", 0)) as listener:
            address = f"127.0.0.1:{listener.getsockname()[1]}"
        command = [_program("prometheus"), f"--config.file={configuration}", f"--web.listen-address={address}"]
        command.append(f"--storage.tsdb.path={tmp_path / 'tsdb'}")
        started.append(subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, cwd=tmp_path))
        return f"http://{address}"

    yield start
    for process in started:
        process.kill()
        process.wait()


def test_prometheus_scrapes_a_collector_with_its_token(
    start_serve: Any, start_prometheus: Any, make_request: Callable[..., bytes], tmp_path: pathlib.Path
) -> None:
    """A real Prometheus from Debian finds the target up and a count in its own store."""
    token = tmp_path / "token"
    token.write_text("a-token-for-the-scrape")
    serve = start_serve("--token-file", str(token))
    assert serve.post(make_request("a", "b"), Authorization="Bearer a-token-for-the-scrape").status_code == 200
    prometheus = start_prometheus(serve.url.removeprefix("http://"), token)
    query = {"query": "acceptfirst_collector_spans_accepted_total"}
    deadline = time.monotonic() + PATIENCE_S
    found: list[Any] = []
    while not found and time.monotonic() < deadline:
        time.sleep(0.2)
        try:
            found = httpx.get(f"{prometheus}/api/v1/query", params=query).json()["data"]["result"]
        except (httpx.HTTPError, KeyError, ValueError):
            continue
    assert [(result["metric"]["job"], result["value"][1]) for result in found] == [("acceptfirst", "2")]
