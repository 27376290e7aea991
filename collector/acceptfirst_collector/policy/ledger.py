"""Keeps the policies in the store: each change is one row that holds the step and the state it led to.

Design constraints:

- one insert a change; the table of what holds now is fed from it by the store;
- one change at a time in this process. Two collectors on one server have no lock between them: a change in one is seen
  by the other within ``CACHE_SECONDS``, and of two changes at the same moment the later row holds;
- backends ask often and changes are rare, so an answer is kept for a moment.
"""

from __future__ import annotations

import dataclasses
import datetime as dt
import hashlib
import json
import threading
import time
from collections.abc import Callable, Mapping
from typing import Any

from acceptfirst.policy import Policy, PolicyError, policy_from_document, policy_to_document
from acceptfirst_collector.policy.state import ChangeConflictError, PolicyState, noted, promote, propose, rollback
from acceptfirst_store.database import Database
from acceptfirst_store.errors import StoreRefused

CACHE_SECONDS = 1.0
TABLE = "policy_events"


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Account:
    """Who changes something, why, and what speaks for it.

    Attributes:
        actor: who.
        reason: why.
        evidence: what speaks for it, as JSON can hold it.
        revision: of the state that it was decided on; at another one it is a conflict. ``None`` for whatever holds.
    """

    actor: str
    reason: str
    evidence: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    revision: int | None = None


@dataclasses.dataclass(frozen=True, slots=True)
class Served:
    """What backends are given: a document and its ETag."""

    body: bytes
    etag: str


class PolicyLedger:
    """The policies of all environments.

    Args:
        database: open; its policy tables are migrated.
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        self._changing = threading.Lock()
        self._kept: dict[str, tuple[float, Served]] = {}

    def served(self, environment: str) -> Served:
        """What the backends of an environment are given.

        Raises:
            StoreError: the store does not answer, or holds what this version can't read.
        """
        kept = self._kept.get(environment)
        if kept is not None and time.monotonic() - kept[0] < CACHE_SECONDS:
            return kept[1]
        return self._keep(self.state(environment))

    def state(self, environment: str) -> PolicyState:
        """What is known of an environment; errors as in ``served``."""
        return self._state_at(environment, 0) or PolicyState(environment=environment)

    def propose(self, candidate: Policy, account: Account) -> PolicyState:
        """Keep a candidate; errors as in ``state.propose``, and ``StoreError``."""
        return self._change(
            candidate.environment, "propose", account, lambda state: (propose(state, candidate), candidate.version)
        )

    def promote(self, environment: str, share: float | None, account: Account) -> PolicyState:
        """Let the candidate hold; errors as in ``state.promote``, and ``StoreError``."""

        def step(state: PolicyState) -> tuple[PolicyState, str]:
            promoted = promote(state, share)
            return promoted, (promoted.candidate or promoted.baseline).version

        return self._change(environment, "promote", account, step)

    def rollback(self, environment: str, account: Account) -> PolicyState:
        """Take back what was changed last; errors as in ``state.rollback``, and ``StoreError``."""

        def step(state: PolicyState) -> tuple[PolicyState, str]:
            before = self._state_at(environment, state.undo_revision) if state.undo_revision > 0 else None
            return rollback(state, before), (state.candidate or state.baseline).version

        return self._change(environment, "rollback", account, step)

    def note(self, environment: str, action: str, version: str, account: Account) -> PolicyState:
        """Keep what was found out about a version, as a step that changes nothing; errors as in ``served``.

        Args:
            environment: whose policy.
            action: ``advise`` (it may be promoted) or ``verify`` (what it did).
            version: of the policy.
            account: who found it, in words, and the evidence.
        """
        return self._change(environment, action, account, lambda state: (noted(state), version))

    def _change(
        self, environment: str, action: str, account: Account, step: Callable[[PolicyState], tuple[PolicyState, str]]
    ) -> PolicyState:
        with self._changing:
            state = self.state(environment)
            if account.revision not in (None, state.revision):
                raise ChangeConflictError(
                    f"expected {environment} at revision {account.revision}, but it is at {state.revision} by now"
                )
            changed, version = step(state)
            self._database.insert_rows(TABLE, [_row(changed, action, version, account)])
            self._keep(changed)
            return changed

    def _keep(self, state: PolicyState) -> Served:
        served = _served(state)
        self._kept[state.environment] = (time.monotonic(), served)
        return served

    def _state_at(self, environment: str, revision: int) -> PolicyState | None:
        rows = self._database.statement_rows("policy_event", {"environment": environment, "revision": revision})
        return _state(rows[0]) if rows else None


def _served(state: PolicyState) -> Served:
    body = json.dumps(policy_to_document(state.served), indent=1, allow_nan=False).encode()
    return Served(body, f'"{hashlib.sha256(body).hexdigest()[:32]}"')


def _row(state: PolicyState, action: str, version: str, account: Account) -> dict[str, Any]:
    return {
        "environment": state.environment,
        "revision": state.revision,
        "happened_at": dt.datetime.now(dt.UTC),
        "action": action,
        "version": version,
        "share": state.share,
        "actor": account.actor,
        "reason": account.reason,
        "evidence": json.dumps(dict(account.evidence)),
        "in_force": _written(state.in_force),
        "candidate": _written(state.candidate),
        "origin_revision": state.origin_revision,
        "undo_revision": state.undo_revision,
    }


def _state(row: Mapping[str, Any]) -> PolicyState:
    environment, revision = row["environment"], row["revision"]
    place = f"{TABLE} of {environment}, revision {revision}"
    try:
        return PolicyState(
            environment=environment,
            revision=revision,
            in_force=_read(row["in_force"], environment, place),
            candidate=_read(row["candidate"], environment, place),
            share=row["share"],
            origin_revision=row["origin_revision"],
            undo_revision=row["undo_revision"],
        )
    except PolicyError as error:
        raise StoreRefused(
            f"expected a stored policy that keeps the guardrails of this process, but got: {error}"
        ) from error


def _written(policy: Policy | None) -> str:
    return "" if policy is None else json.dumps(policy_to_document(policy), allow_nan=False)


def _read(text: str, environment: str, place: str) -> Policy | None:
    return policy_from_document(text, environment, place) if text else None
