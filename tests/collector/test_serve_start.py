"""How serve begins: what it refuses, with which exit code, and that a token guards everything but the probes."""

from __future__ import annotations

import pathlib
import socket
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import httpx
import pytest
from google.rpc.status_pb2 import Status


def _serve(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "acceptfirst_cli", "serve", *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)


def test_serve_names_the_holder_when_another_process_has_the_store(start_serve: Any) -> None:
    """One line with the holder's id, exit code 5, no traceback."""
    serve = start_serve()
    done = _serve("--port", "0", "--data-dir", str(serve.data_dir))
    assert done.returncode == 5
    assert f"is held by process {serve.process.pid}" in done.stderr
    assert done.stderr.count("\n") == 1


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.1", "example.org"])  # noqa: S104 - it must be refused
def test_serve_refuses_to_listen_beyond_this_host_without_a_token(tmp_path: pathlib.Path, host: str) -> None:
    """Usage error, before anything is opened."""
    done = _serve("--host", host, "--data-dir", str(tmp_path / "data"))
    assert done.returncode == 2
    assert "--token-file, or --insecure" in done.stderr
    assert not (tmp_path / "data").exists()


@pytest.mark.parametrize(("store", "code"), [("nonsense", 2), ("chdb://relative", 2), ("clickhouse://127.0.0.1:1", 5)])
def test_serve_says_in_one_line_that_a_store_can_not_be_used(tmp_path: pathlib.Path, store: str, code: int) -> None:
    """Exit code 2 where the address is none, 5 where nothing answers there; no traceback."""
    done = _serve("--port", "0", "--data-dir", str(tmp_path / "data"), "--store", store)
    assert (done.returncode, done.stderr.count("\n")) == (code, 1)
    assert "Traceback" not in done.stderr


def test_serve_says_in_one_line_that_the_port_is_taken(tmp_path: pathlib.Path) -> None:
    """Found out before the store is opened."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        done = _serve("--port", str(taken.getsockname()[1]), "--data-dir", str(tmp_path / "data"))
    assert done.returncode == 5
    assert "can't be bound" in done.stderr


def test_serve_says_in_one_line_that_the_port_of_grpc_is_taken(tmp_path: pathlib.Path) -> None:
    """One that was asked for is not done without."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        done = _serve("--port", "0", "--grpc-port", port, "--data-dir", str(tmp_path / "data"))
    assert (done.returncode, done.stderr.count("\n")) == (5, 1)
    assert "choose another --grpc-port" in done.stderr


@pytest.mark.parametrize("text", ["", "two words", "\u00e9"])
def test_serve_refuses_a_token_file_that_holds_no_token(tmp_path: pathlib.Path, text: str) -> None:
    """An empty token would let everybody in."""
    path = tmp_path / "token"
    path.write_text(text)
    done = _serve("--token-file", str(path), "--data-dir", str(tmp_path / "data"))
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)


def test_serve_asks_for_its_token_but_not_on_the_probes(
    start_serve: Any, make_request: Callable[..., bytes], tmp_path: pathlib.Path
) -> None:
    """401 with a Status on OTLP paths, JSON elsewhere; with the token everything is open."""
    path = tmp_path / "token"
    path.write_text("secret-token\n")
    serve = start_serve("--token-file", str(path))
    refused = serve.post(make_request("a"))
    assert refused.status_code == 401
    assert "Authorization" in Status.FromString(refused.content).message
    assert httpx.get(f"{serve.url}/api/v1/patterns", headers={"Authorization": "Bearer wrong"}).status_code == 401
    assert serve.post(make_request("a"), Authorization="Bearer secret-token").status_code == 200
    assert httpx.get(f"{serve.url}/healthz").status_code == 200
