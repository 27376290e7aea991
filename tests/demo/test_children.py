"""Child processes: they never outlive their demo, and when one dies, somebody is told which and why."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from acceptfirst_cli.demo.children import Child, Children
from acceptfirst_cli.errors import CommandError

SLEEPS = "import time; print('up', flush=True); time.sleep(60)"
STUBBORN = "import signal, time; signal.signal(15, signal.SIG_IGN); print('up', flush=True); time.sleep(60)"


@pytest.fixture
def children() -> Iterator[Children]:
    """Ended with the test."""
    with Children(patience_s=5) as several:
        yield several


def started(children: Children, log: Path, code: str) -> Child:
    """A child that runs the code, once it has printed something."""
    child = children.start("the child", ["-c", code], log)
    child.wait_until(lambda: "up" in log.read_text(), 30, "up")
    return child


def is_running(pid: int) -> bool:
    """Whether there is such a process; a zombie has ended."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def test_dead_child_is_named_with_its_end_and_its_last_words(children: Children, tmp_path: Path) -> None:
    """The first line says which and how, the rest what it had printed."""
    child = children.start("the child", ["-c", "import sys; print('last words'); sys.exit(7)"], tmp_path / "log")
    with pytest.raises(CommandError) as caught:
        child.wait_until(lambda: False, 30, "ready")

    first, *rest = str(caught.value).splitlines()
    assert first.startswith("the child ended by itself (exit code 7)")
    assert rest == ["  | last words"]


def test_killed_child_is_named_with_its_signal(children: Children, tmp_path: Path) -> None:
    """As a person would say it."""
    child = started(children, tmp_path / "log", SLEEPS)
    os.kill(child.pid, signal.SIGKILL)
    with pytest.raises(CommandError, match="SIGKILL"):
        child.wait_until(lambda: False, 30, "ready")


def test_child_that_never_becomes_ready_is_named(children: Children, tmp_path: Path) -> None:
    """And what it should have been."""
    child = started(children, tmp_path / "log", SLEEPS)

    with pytest.raises(CommandError, match=r"the child was not ready within 0\.1 s"):
        child.wait_until(lambda: False, 0.1, "ready")


def test_children_end_with_their_block_when_it_raises(tmp_path: Path) -> None:
    """Whatever it is that ends it."""
    with pytest.raises(KeyboardInterrupt), Children(patience_s=5) as children:  # noqa: PT012 - the raise is the point
        child = started(children, tmp_path / "log", SLEEPS)
        raise KeyboardInterrupt

    assert not is_running(child.pid)


def test_stubborn_child_is_killed(children: Children, tmp_path: Path) -> None:
    """One that ignores SIGTERM does not keep the demo waiting."""
    child = started(children, tmp_path / "log", STUBBORN)

    assert child.stop(patience_s=0.2) is False
    assert not is_running(child.pid)


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells a child of its parent's death")
def test_child_ends_when_its_demo_is_killed(tmp_path: Path) -> None:
    """Kill -9 leaves no time to stop anything."""
    parent_code = (
        "import sys, time; from pathlib import Path; from acceptfirst_cli.demo.children import Child; "
        f"child = Child('c', ['-c', 'import time; time.sleep(60)'], Path({str(tmp_path / 'log')!r})); "
        "print(child.pid, flush=True); time.sleep(60)"
    )
    with subprocess.Popen([sys.executable, "-c", parent_code], stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        child_pid = int(parent.stdout.readline())
        parent.kill()
    deadline_s = time.monotonic() + 10
    while is_running(child_pid) and time.monotonic() < deadline_s:
        time.sleep(0.02)

    assert not is_running(child_pid)


def test_child_does_not_inherit_settings_of_telemetry(
    children: Children, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A developer's own OTEL_SDK_DISABLED would leave the demo without a single span."""
    monkeypatch.setenv("OTEL_SDK_DISABLED", "true")
    monkeypatch.setenv("ACCEPTFIRST_ENVIRONMENT", "staging")
    said = "print('up', [k for k in os.environ if k.startswith(('OTEL_', 'ACCEPTFIRST_'))], flush=True)"
    code = f"import os, time; {said}; time.sleep(60)"  # one that ends by itself would be taken for one that died
    log = tmp_path / "log"
    started(children, log, code).stop(30)

    assert log.read_text().strip() == "up []"
