"""The store: opened in a process of its own, since an engine that dies must not take the examination with it."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from typing import Any, Final

from acceptfirst_cli.doctor.finding import Finding, failed, ok, skipped, warning
from acceptfirst_store.address import StoreAddress
from acceptfirst_store.lock import lock_holder

TRIAL_SECONDS_MAX: Final = 120
VERSION_MIN: Final = (26, 3)


def examine_store(address: StoreAddress, dsn: str) -> list[Finding]:
    """Open it, ask its version, what this user may do there, and which migrations are missing.

    Args:
        address: the store's, parsed.
        dsn: the same with its password, for the process that opens it; it goes through a pipe.
    """
    if address.path is not None:
        if not (address.path / "metadata").is_dir():
            return [skipped("store", f"{address} does not exist yet; serve makes it"), *_engine_findings()]
        if lock_holder(address.path) is not None:
            return [skipped("store", f"{address} is held, so serve speaks for it; see above")]
    answer = _trial(dsn)
    if "error" in answer:
        mend = "see the message; with a server, check address, user and password in --store"
        return [failed("store", str(answer["error"]), mend)]
    return [
        version(str(answer["version"]), str(address)),
        rights(answer["missing_rights"]),
        migrations(answer["pending"]),
    ]


def version(text: str, place: str, check: str = "store") -> Finding:
    """Whether the SQL runs there."""
    found = f"ClickHouse {text} at {place}"
    numbers = tuple(int(part) for part in text.split(".")[:2])
    if numbers < VERSION_MIN:
        return failed(check, found, f"expected {'.'.join(map(str, VERSION_MIN))} or newer; upgrade it")
    return ok(check, found)


def rights(missing: list[str]) -> Finding:
    """Whether this user may do what serve does."""
    if missing:
        return failed(
            "store_rights",
            f"the user may not {', '.join(missing)}",
            f"GRANT {', '.join(missing)} ON acceptfirst.* TO it",
        )
    return ok("store_rights", "may read, insert and migrate")


def migrations(pending: list[str]) -> Finding:
    """Whether the schema is this version's."""
    if pending:
        return warning(
            "migrations", f"{len(pending)} are missing, from {pending[0]}", "serve applies them when it starts"
        )
    return ok("migrations", "the schema is up to date")


def _engine_findings() -> list[Finding]:
    answer = _trial("")
    if "error" in answer:
        return [
            failed("engine", str(answer["error"]), "pip install --force-reinstall chdb, or use a ClickHouse server")
        ]
    return [version(str(answer["version"]), "chDB, in memory", "engine")]


def _trial(dsn: str) -> dict[str, Any]:
    try:
        done = subprocess.run(
            [sys.executable, "-m", "acceptfirst_cli.doctor.trial"],
            input=dsn,
            capture_output=True,
            text=True,
            timeout=TRIAL_SECONDS_MAX,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return {"error": f"the store gave no answer within {TRIAL_SECONDS_MAX} s"}
    if done.returncode < 0:
        return {"error": f"the engine died of {signal.Signals(-done.returncode).name}"}
    try:
        answer: dict[str, Any] = json.loads(done.stdout)
    except ValueError:
        return {"error": (done.stderr.strip().splitlines() or ["the trial said nothing"])[-1]}
    return answer
