"""Child processes that never outlive the demo.

Design constraints:

- each child leads a process group of its own, so Ctrl-C reaches the demo alone, which stops its children in order;
- a child that is asked to stop gets SIGTERM and time to flush; one that does not stop is killed;
- where the demo itself is killed, the kernel takes its children along (Linux);
- what a child prints goes to a log file, whose end is shown when the child dies.
"""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from acceptfirst_cli.errors import CommandError

POLL_S: Final = 0.05
LOG_LINES_SHOWN: Final = 15
_PR_SET_PDEATHSIG: Final = 1

# Settings of whoever runs the demo that would turn the children's telemetry off, or send it elsewhere.
_ENVIRONMENT_DROPPED: Final = ("OTEL_", "ACCEPTFIRST_")
_LOCAL: Final = "127.0.0.1,localhost"


class Child:
    """One process of the demo.

    Args:
        name: what people call it.
        arguments: behind ``python``.
        log: where its output goes.

    Attributes:
        is_wanted: whether nobody has asked it to stop.
    """

    def __init__(self, name: str, arguments: Sequence[str], log: Path) -> None:
        self.name = name
        self.log = log
        self.is_wanted = True
        with log.open("wb") as output:
            self._process = subprocess.Popen(  # noqa: S603 - our own modules, from a list, without a shell
                [sys.executable, *arguments],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                env=_environment(),
                start_new_session=True,
                preexec_fn=_die_with_parent() if sys.platform == "linux" else None,  # noqa: PLW1509 - one system call that takes no lock
            )

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._process.pid

    def require_alive(self) -> None:
        """Nothing, while it runs.

        Raises:
            CommandError: when it has ended: which one, how, and the end of its log.
        """
        code = self._process.poll()
        if code is not None:
            raise CommandError(
                f"{self.name} ended by itself ({_ending(code)}); the end of its log, {self.log}:\n{self.log_tail()}"
            )

    def wait_until(self, is_so: Callable[[], bool], timeout_s: float, what: str) -> None:
        """Wait until a condition holds, and no longer than the child lives.

        Raises:
            CommandError: when the child ended, or the time ran out.
        """
        deadline_s = time.monotonic() + timeout_s
        while not is_so():
            self.require_alive()
            if time.monotonic() > deadline_s:
                raise CommandError(
                    f"{self.name} was not {what} within {timeout_s:g} s; the end of its log, {self.log}:\n"
                    f"{self.log_tail()}"
                )
            time.sleep(POLL_S)

    def stop(self, patience_s: float) -> bool:
        """Ask it to stop, and kill it if it does not.

        Returns:
            Whether it stopped when it was asked.
        """
        self.is_wanted = False
        if self._process.poll() is None:
            self._process.terminate()
        try:
            self._process.wait(patience_s)
        except subprocess.TimeoutExpired:
            self.kill()
            return False
        return True

    def kill(self) -> None:
        """End it now."""
        if self._process.poll() is None:
            self._process.kill()
        self._process.wait()

    def log_tail(self) -> str:
        """The last lines that it printed."""
        lines = self.log.read_text(encoding="utf-8", errors="replace").splitlines()
        return "\n".join(f"  | {line}" for line in lines[-LOG_LINES_SHOWN:]) or "  | (nothing)"


class Children:
    """The children of one demo: whatever ends the block ends them."""

    def __init__(self, patience_s: float) -> None:
        self._patience_s = patience_s
        self._children: list[Child] = []

    def start(self, name: str, arguments: Sequence[str], log: Path) -> Child:
        """Start one more."""
        child = Child(name, arguments, log)
        self._children.append(child)
        return child

    def require_alive(self) -> None:
        """Nothing, while all of them run that were not asked to stop.

        Raises:
            CommandError: see ``Child.require_alive``.
        """
        for child in self._children:
            if child.is_wanted:
                child.require_alive()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        try:
            for child in reversed(self._children):
                child.stop(self._patience_s)
        finally:  # a second Ctrl-C means: now
            for child in self._children:
                child.kill()


def _environment() -> dict[str, str]:
    kept = {key: value for key, value in os.environ.items() if not key.startswith(_ENVIRONMENT_DROPPED)}
    return kept | {"NO_PROXY": _LOCAL, "no_proxy": _LOCAL, "PYTHONUNBUFFERED": "1"}


def _ending(code: int) -> str:
    if code >= 0:
        return f"exit code {code}"
    try:
        return f"signal {signal.Signals(-code).name}"
    except ValueError:
        return f"signal {-code}"


def _die_with_parent() -> Callable[[], None]:
    libc = ctypes.CDLL(None)  # looked up here: between fork and exec as little as possible may happen

    def ask_the_kernel() -> None:
        libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)

    return ask_the_kernel
