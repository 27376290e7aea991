"""``acceptfirst doctor``: what it finds on this machine, and what it says of machines that are not well."""

from __future__ import annotations

import datetime as dt
import email.utils
import json
import pathlib
import socket
import subprocess
import sys
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

import pytest

from acceptfirst_cli.doctor import machine, network, place, store
from acceptfirst_cli.doctor.finding import State
from acceptfirst_store.lock import StoreLock

DOCTOR = ("doctor", "--port", "0", "--grpc-port", "0")


def checks(ended: Any) -> dict[str, dict[str, str]]:
    """The findings of ``--json``, by the names of their checks."""
    document = json.loads(ended.out)
    assert document["schema_version"] == 1
    return {check["check"]: check for check in document["checks"]}


def test_doctor_finds_nothing_wrong_where_serve_would_start(acceptfirst: Callable[..., Any]) -> None:
    """Exit code 0, every check with its name, and nothing made in the directory."""
    ended = acceptfirst(*DOCTOR, "--json")
    assert ended.code == 0
    found = checks(ended)
    assert {"versions", "cpu", "memory", "disk", "data_dir", "lock_log", "port", "engine"} <= set(found)
    assert "failed" not in {check["state"] for check in found.values()}
    assert not pathlib.Path(".acceptfirst").exists()


def test_doctor_ends_with_3_and_the_mend_when_a_port_is_taken(acceptfirst: Callable[..., Any]) -> None:
    """The check is named, and what to do about it."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        ended = acceptfirst("doctor", "--port", str(taken.getsockname()[1]), "--grpc-port", "0", "--json")
    assert ended.code == 3
    assert checks(ended)["port"]["state"] == "failed"
    assert "--port" in checks(ended)["port"]["mend"]


def test_doctor_prints_a_line_a_check_for_people(acceptfirst: Callable[..., Any]) -> None:
    """State in words, not by colour alone."""
    lines = acceptfirst(*DOCTOR).out.splitlines()
    assert lines[0].split("\t") == ["state", "check", "found", "to mend it"]
    assert any(line.startswith("✔ ok\tcpu\t") for line in lines)


def test_doctor_opens_the_store_and_names_its_version(acceptfirst: Callable[..., Any], tmp_path: pathlib.Path) -> None:
    """Migrated, writable: three good findings."""
    store = f"chdb://{tmp_path}/made/db"
    # In a process of its own: an engine that was opened here would hinder the one that doctor starts.
    code = "import sys\nfrom acceptfirst_store.database import open_database\n"
    code += "from acceptfirst_store.migrations import migrate\n"
    code += "with open_database(sys.argv[1]) as database:\n    migrate(database)\n"
    subprocess.run([sys.executable, "-c", code, store], check=True)
    found = checks(acceptfirst(*DOCTOR, "--store", store, "--json"))
    assert {name: found[name]["state"] for name in ("store", "store_rights", "migrations")} == {
        "store": "ok",
        "store_rights": "ok",
        "migrations": "ok",
    }


def test_doctor_says_that_a_server_does_not_answer(acceptfirst: Callable[..., Any]) -> None:
    """Failed, without the password of the address."""
    ended = acceptfirst(*DOCTOR, "--store", "clickhouse://me:s3cret@127.0.0.1:1", "--json")
    assert (ended.code, checks(ended)["store"]["state"]) == (3, "failed")
    assert "s3cret" not in ended.out + ended.err


def test_doctor_names_who_holds_the_log(acceptfirst: Callable[..., Any]) -> None:
    """The process and its command."""
    lock = StoreLock(pathlib.Path(".acceptfirst/log").absolute())
    try:
        found = checks(acceptfirst(*DOCTOR, "--json"))
    finally:
        lock.release()
    assert found["lock_log"]["found"].startswith("held by process ")
    assert found["lock_db"]["found"].startswith("nobody holds ")


def test_processor_that_lacks_instructions_is_found(tmp_path: pathlib.Path) -> None:
    """Each missing one by its name; without them the engine dies saying nothing."""
    cpuinfo = tmp_path / "cpuinfo"
    cpuinfo.write_text(f"flags\t: {' '.join(machine.CPU_FLAGS - {'avx2', 'fma'})}\n")
    finding = machine.processor(cpuinfo, "x86_64")
    assert (finding.state, finding.found) == (State.FAILED, "the processor lacks avx2, fma")
    assert "x86-64-v3" in finding.mend


def test_package_that_is_too_old_is_found() -> None:
    """With what is there and what was expected."""
    finding = machine.packages(["rich>=99", "typer>=0.1", "absent-package>=1; extra == 'collector'"])
    assert finding.state is State.FAILED
    assert "rich 15" in finding.found
    assert "absent-package missing" in finding.found


@pytest.mark.parametrize(
    ("finding", "state"),
    [
        (machine.memory(1 << 29), State.FAILED),
        (machine.memory(1 << 31), State.OK),
        (machine.memory(None), State.SKIPPED),
        (machine.open_files(1024), State.WARNING),
        (machine.clock(5), State.WARNING),
        (machine.clock(0), State.OK),
        (place.room(1 << 20), State.FAILED),
        (place.room(2 << 30), State.WARNING),
        (place.room(1 << 40), State.OK),
        (place.file_system("tmpfs"), State.WARNING),
        (place.file_system("nfs4"), State.WARNING),
        (place.file_system("ext4"), State.OK),
        (place.sync_speed(0.2), State.WARNING),
        (place.sync_speed(0.002), State.OK),
        (store.version("25.8.1.1", "x"), State.FAILED),
        (store.version("26.3.1.1", "x"), State.OK),
        (store.rights(["INSERT"]), State.FAILED),
        (store.migrations(["a"]), State.WARNING),
        (network.skew("nonsense", dt.datetime.now(dt.UTC)), State.SKIPPED),
        (network.skew(email.utils.format_datetime(dt.datetime.now(dt.UTC)), dt.datetime.now(dt.UTC)), State.OK),
        (network.skew("Mon, 23 Nov 2026 10:00:00 GMT", dt.datetime(2026, 11, 23, 11, tzinfo=dt.UTC)), State.WARNING),
    ],
    ids=lambda value: value.found[:40] if hasattr(value, "found") else str(value),
)
def test_finding_has_its_state_and_a_mend_where_one_is_needed(finding: Any, state: State) -> None:
    """What is not well says what to do; what is well says nothing more."""
    assert finding.state is state
    assert bool(finding.mend) == (state in {State.WARNING, State.FAILED})


def test_requests_that_were_set_aside_are_found(tmp_path: pathlib.Path) -> None:
    """Counted, with where they are."""
    (tmp_path / "7.otlp").write_bytes(b"x")
    assert place.set_aside(tmp_path).found == f"1 requests under {tmp_path}"


def test_token_file_that_others_may_read_is_found(tmp_path: pathlib.Path) -> None:
    """With the command that mends it."""
    path = tmp_path / "token"
    path.write_text("x")
    path.chmod(0o644)
    assert place.token_rights(path).mend == f"chmod 600 {path}"
    path.chmod(0o600)
    assert place.token_rights(path).state is State.OK


def test_serve_that_was_killed_is_found(acceptfirst: Callable[..., Any]) -> None:
    """Its file is still there, its process is not."""
    folder = pathlib.Path(".acceptfirst")
    folder.mkdir()
    (folder / "serve.json").write_text(json.dumps({"url": "http://127.0.0.1:1", "grpc_port": 1, "pid": 2**22 + 1}))
    assert "is gone" in checks(acceptfirst(*DOCTOR, "--json"))["serve"]["found"]


class _NotReady(BaseHTTPRequestHandler):
    """A collector that is not ready."""

    def do_GET(self) -> None:
        """Say why."""
        body = b'{"trouble": "the log can\'t be written"}'
        self.send_response(503)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: Any) -> None:
        """Keep quiet."""


def test_serve_that_is_not_ready_is_found_with_its_trouble() -> None:
    """In its own words."""
    with HTTPServer(("127.0.0.1", 0), _NotReady) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        found = list(network.running_serve(f"http://127.0.0.1:{server.server_port}"))
        server.shutdown()
    assert found[0].state is State.FAILED
    assert "the log can't be written" in found[0].found
