"""A reader at a terminal: runs a page's blocks one after another, in one directory, against real processes."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Final

from documented.blocks import Block

PATIENCE_S: Final = 90
#: What goes on until it is stopped.
SERVERS: Final = re.compile(
    r"^(acceptfirst serve|(opentelemetry-instrument )?(uvicorn|hypercorn|daphne|granian) |python -m acceptfirst_chat)"
)
#: What a reader does once, and the tests' own environment has done; each is looked up instead.
SET_UP: Final = re.compile(r"^(make |pip install |source |git clone |\.venv/bin/)")
#: A finding, or too little data, is an answer and no failure.
PRELUDE: Final = """\
acceptfirst() { command acceptfirst "$@"; local code=$?; case $code in 3|4) return 0;; esac; return $code; }
"""
VARYING: Final = (
    (re.compile(r"\b[0-9a-f]{32}\b"), "<id>"),
    (re.compile(r"\d+([.,]\d+)*(e-\d+)?"), "#"),
    (re.compile(r"\s+"), " "),
)


class NotAsDocumentedError(AssertionError):
    """A block that does not do what the page says."""


class Session:
    """A directory, an environment, the processes that were started in it, and the ports that stand for the page's.

    Args:
        folder: where it works.
        ports: the page's port → the one that is used for it.
        environment: variables beside those of this process.
    """

    def __init__(self, folder: Path, ports: dict[int, int], environment: dict[str, str]) -> None:
        self.folder = folder
        self.ports = ports
        prelude = folder / ".prelude.sh"
        prelude.write_text(PRELUDE)
        inherited = {k: v for k, v in os.environ.items() if not k.startswith(("ACCEPTFIRST_", "OTEL_", "PYTEST_"))}
        path = f"{Path(sys.executable).parent}:{inherited['PATH']}"
        self.environment = inherited | environment | {"PATH": path, "BASH_ENV": str(prelude), "no_proxy": "*"}
        self._servers: dict[str, subprocess.Popen[bytes]] = {}

    def adapted(self, text: str) -> str:
        """A piece of a page with the ports that are used here."""
        text = re.sub(r"\b\d{4}\b", lambda found: str(self.ports.get(int(found[0]), found[0])), text)
        return text.replace("chdb:///tmp/", f"chdb://{self.folder}/")

    def write(self, block: Block) -> None:
        """Write a block that is a file."""
        path = self.folder / block.file_name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(self.adapted(block.text))

    def run(self, block: Block) -> None:
        """Run the commands of a block; where the page prints an output, it must be the one that comes."""
        for command, expected in commands_of(block):
            if SET_UP.match(command):
                continue
            if SERVERS.match(command):
                self._start(self.adapted(command))
                continue
            code, printed = self._shell(self.adapted(_bounded(command)))
            if code and not expected:  # a failure that the page prints is one that it is about
                raise NotAsDocumentedError(f"{command}\nended with {code}:\n{printed}")
            missing = _first_missing(expected, printed)
            if missing is not None:
                raise NotAsDocumentedError(f"{command}\nexpected the line {missing!r}, but got:\n{printed}")

    def python(self, text: str, prelude: str) -> None:
        """Run a piece of Python in a process of its own, after what the page takes for granted."""
        script = self.folder / ".snippet.py"
        script.write_text(self.adapted(text))
        code = (
            "import ast, asyncio, inspect, sys; names = {'__name__': 'snippet'}\n"
            "for text in (sys.argv[1], open('.snippet.py').read()):\n"
            "    made = eval(compile(text, 'snippet', 'exec', ast.PyCF_ALLOW_TOP_LEVEL_AWAIT), names)\n"
            "    asyncio.run(made) if inspect.iscoroutine(made) else None\n"
        )
        done = subprocess.run(
            [sys.executable, "-c", code, prelude],
            check=False, cwd=self.folder, env=self.environment, capture_output=True, text=True, timeout=PATIENCE_S,
        )  # fmt: skip
        if done.returncode:
            raise NotAsDocumentedError(f"{text}\nfailed:\n{done.stderr}")

    def close(self) -> None:
        """Stop what was started, the last first."""
        for server in reversed([*self._servers.values()]):
            _stop(server)
        self._servers.clear()

    def _start(self, command: str) -> None:
        kind = "collector" if command.startswith("acceptfirst serve") else "application"
        if "acceptfirst_chat" in command:
            command += f" --port {self.ports[8000]}"
        if kind in self._servers:
            _stop(self._servers.pop(kind))
        log = self.folder / f".{kind}.log"
        with log.open("wb") as output:
            self._servers[kind] = process = subprocess.Popen(
                ["/bin/bash", "-c", f"exec {command}"],
                cwd=self.folder, env=self.environment, stdout=output, stderr=output, start_new_session=True,
            )  # fmt: skip
        port = self.ports[4318] if kind == "collector" else self.ports[8000]
        deadline = time.monotonic() + PATIENCE_S
        while not _answers(port):
            if process.poll() is not None or time.monotonic() > deadline:
                raise NotAsDocumentedError(f"{command}\ndid not come up:\n{log.read_text()}")
            time.sleep(0.05)

    def _shell(self, command: str) -> tuple[int, str]:
        after = self.folder / ".environment"
        script = f"set -o pipefail\n{command}\ncode=$?\nenv -0 > {after}\npwd > {after}.folder\nexit $code\n"
        done = subprocess.run(
            ["/bin/bash", "-c", script],
            check=False, cwd=self.folder, env=self.environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
            stdin=subprocess.DEVNULL, text=True, timeout=PATIENCE_S,
        )  # fmt: skip
        kept = (line.partition("=") for line in after.read_text().split("\0") if line)
        self.environment |= {name: value for name, _, value in kept if name not in {"_", "SHLVL", "PWD", "OLDPWD"}}
        return done.returncode, done.stdout


def _bounded(command: str) -> str:
    """What a reader would end by hand is interrupted after a while, and must say so by its exit code."""
    if not command.startswith("acceptfirst tail") or "--no-follow" in command:
        return command
    return f"timeout --preserve-status --signal INT 2 {command} || [ $? = 130 ]"


def commands_of(block: Block) -> list[tuple[str, list[str]]]:
    """The commands of a block, each with the lines that the page prints below it."""
    text = block.text.replace("\\\n", " ")
    if block.language != "console":
        if "<<" in text:  # a document that belongs to its command
            return [(text, [])]
        return [(line, []) for line in text.splitlines() if line.strip() and not line.startswith("#")]
    found: list[tuple[str, list[str]]] = []
    for line in text.splitlines():
        if line.startswith("$ "):
            found.append((re.sub(r"\s{2,}#.*$", "", line[2:]), []))
        elif found:
            found[-1][1].append(line)
    return found


def _first_missing(expected: list[str], printed: str) -> str | None:
    """The first of the expected lines that does not come in its turn; numbers, ids and `…` may be anything."""
    lines = iter([_settled(line) for line in printed.splitlines()])
    for line in expected:
        wanted = re.compile(".*".join(re.escape(part) for part in _settled(line).split("…")))
        if line.strip() and line.strip() != "…" and not any(wanted.fullmatch(each) for each in lines):
            return line
    return None


def _settled(line: str) -> str:
    for what, stand_in in VARYING:
        line = what.sub(stand_in, line)
    return line.strip()


def _answers(port: int) -> bool:
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
        return True
    return False


def _stop(process: subprocess.Popen[bytes]) -> None:
    """End it and what it started; it leads a group of its own."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, number)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(15)
            return


def free_port() -> int:
    """A port of the loopback that nobody has now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
