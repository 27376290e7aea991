"""The closed loop: what is to be done next with an environment's policy, from what the store holds.

    a complete week binds --propose--> proposed --(a person, or automatic)--> canary --e-process--> promote | roll back
    in force --a complete week later--> verified

Every call starts from the store alone: what was decided is in ``policy_events``, what happened since is in
``handshakes``, and the tests are closed forms of counts. So a loop that was killed goes on where it was, and asking
twice changes nothing. It only says what is to be done; whoever keeps the policies does it, and only if nothing else has
changed meanwhile (``LoopStep.revision``).
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any, Final, Literal

from acceptfirst.catalogue import Catalogue
from acceptfirst.environment import ENVIRONMENTS
from acceptfirst.policy import Policy, PolicyError, default_policy, policy_from_document, policy_to_document
from acceptfirst_analysis.loop.arms import ArmCounts
from acceptfirst_analysis.loop.canary import CanarySettings, judge_canary
from acceptfirst_analysis.loop.proposal import APPLICABLE, propose, within_step
from acceptfirst_analysis.loop.verification import Verification, verifications
from acceptfirst_analysis.tuning.memory import ACTOR
from acceptfirst_analysis.tuning.recommend import StatementReader, recommend
from acceptfirst_analysis.tuning.recommendation import Settings
from acceptfirst_analysis.value import savings_of
from acceptfirst_analysis.window import WEEK, Window, week_before, window_between

LATE_SPANS: Final = timedelta(hours=1)
"""How long after a week is over its last handshakes may still come in."""

_HISTORY_MAX: Final = 500

Action = Literal["propose", "promote", "rollback", "advise", "verify"]
Row = Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class LoopSettings:
    """How the loop runs.

    Attributes:
        is_automatic: whether proposals are tried and good canaries promoted without a person. A canary that harms is
            rolled back in either case.
        share: of the connections that an automatic canary gets.
        canary: when a canary is over.
        recommendation: objective, confidence and costs.
    """

    is_automatic: bool = False
    share: float = 0.1
    canary: CanarySettings = field(default_factory=CanarySettings)
    recommendation: Settings = field(default_factory=Settings)


@dataclass(frozen=True, slots=True, kw_only=True)
class LoopStep:
    """One thing to do.

    Attributes:
        environment: whose policy.
        revision: of the state that it was decided on; at another one it must not be done.
        action: ``propose``, ``promote`` (to ``share``, or to all), ``rollback``; ``advise`` and ``verify`` only keep
            what was found: that a person may promote, and what a change did.
        version: of the policy that it is about.
        reason: in a sentence.
        evidence: what led to it, as JSON can hold it.
        share: for ``promote``; ``None`` for all.
        policy: for ``propose``: its document.
    """

    environment: str
    revision: int
    action: Action
    version: str
    reason: str
    evidence: Mapping[str, Any]
    share: float | None = None
    policy: Mapping[str, Any] | None = None


@dataclass(frozen=True, slots=True)
class Outlook:
    """What the loop found for one environment.

    Attributes:
        environment: whose policy.
        stage: ``none``, ``proposed`` or ``canary``.
        step: what is to be done now; ``None`` for nothing.
        message: what is waited for, or why.
    """

    environment: str
    stage: str
    step: LoopStep | None
    message: str


@dataclass(frozen=True, slots=True)
class _State:
    """The latest row of ``policy_events`` and what came before it, the latest first."""

    environment: str
    revision: int
    baseline: Policy
    candidate: Policy | None
    share: float
    history: Sequence[Row]

    @property
    def stage(self) -> str:
        if self.candidate is None:
            return "none"
        return "canary" if self.share else "proposed"


def look(
    reader: StatementReader, catalogue: Catalogue, *, now: datetime, settings: LoopSettings | None = None
) -> list[Outlook]:
    """What is to be done next in each environment.

    Args:
        reader: an open ``Database`` or a ``RemoteStore``.
        catalogue: for recommendations.
        now: aware time.
        settings: ``None`` for the defaults.

    Raises:
        StoreError: when the store can't be read.
    """
    settings = settings or LoopSettings()
    return [_look_at(reader, catalogue, name, now, settings) for name in ENVIRONMENTS]


def _look_at(
    reader: StatementReader, catalogue: Catalogue, environment: str, now: datetime, settings: LoopSettings
) -> Outlook:
    try:
        state = _state(reader, environment)
    except PolicyError as error:
        return Outlook(environment, "none", None, f"what is stored can't be read: {error}")
    if state.stage == "canary":
        return _judged(reader, state, now, settings)
    if state.stage == "proposed":
        return _begun(state, settings)
    verified = _verified(reader, state, now, settings)
    return verified or _proposed(reader, catalogue, state, now, settings)


def _state(reader: StatementReader, environment: str) -> _State:
    rows = reader.statement_rows("policy_event", {"environment": environment, "revision": 0})
    history = reader.statement_rows("policy_history", {"environment": environment, "limit": _HISTORY_MAX})
    if not rows:
        return _State(environment, 0, default_policy(environment), None, 0.0, history)
    row = rows[0]
    in_force, candidate = (
        policy_from_document(row[key], environment, f"policy_events, {key}") if row[key] else None
        for key in ("in_force", "candidate")
    )
    baseline = in_force or default_policy(environment)
    return _State(environment, int(row["revision"]), baseline, candidate, float(row["share"]), history)


def _judged(reader: StatementReader, state: _State, now: datetime, settings: LoopSettings) -> Outlook:
    candidate = state.candidate
    if candidate is None:  # pragma: no cover - the stage says that there is one
        raise RuntimeError("a canary without a candidate")
    since = _canary_since(state)
    window = window_between(since, max(now, since + timedelta(seconds=1)), now=now)
    rows = reader.statement_rows("arm_outcomes", {"environment": state.environment, **window.parameters})
    touched = [row for row in rows if _is_touched(state.baseline, candidate, str(row["route"]))]
    canary = [row for row in touched if row["policy_arm"] == "canary" and row["policy_version"] == candidate.version]
    baseline = [row for row in touched if row["policy_arm"] != "canary"]
    days = (now - since) / timedelta(days=1)
    counts = ArmCounts.of(canary), ArmCounts.of(baseline)
    decision = judge_canary(*counts, share=state.share, days=days, settings=settings.canary)
    evidence = {
        **decision.evidence,
        "since": window.parameters["since"],
        "until": window.parameters["until"],
        "routes": sorted({str(row["route"]) for row in touched}),
    }
    if decision.step == "wait" or (decision.step == "promote" and not settings.is_automatic and _is_advised(state)):
        return Outlook(state.environment, "canary", None, decision.reason)
    action: Action = decision.step
    if decision.step == "promote" and not settings.is_automatic:
        action = "advise"
    step = _step(state, action, candidate.version, decision.reason, evidence)
    return Outlook(state.environment, "canary", step, decision.reason)


def _canary_since(state: _State) -> datetime:
    """When the share that holds now was given: the first of the latest steps that all had it."""
    since: datetime = state.history[0]["happened_at"]
    for row in state.history:
        if row["share"] != state.share or row["action"] not in ("promote", "advise"):
            break
        since = row["happened_at"]
    return since


def _is_advised(state: _State) -> bool:
    return str(state.history[0]["action"]) == "advise"


def _is_touched(before: Policy, after: Policy, route: str) -> bool:
    return _bare(before.for_route(route)) != _bare(after.for_route(route))


def _bare(policy: Policy) -> Policy:
    """The settings alone."""
    return replace(policy, version="-", arm="baseline", routes={}, canary=None)


def _begun(state: _State, settings: LoopSettings) -> Outlook:
    """A proposal of the loop's own is tried when it may; anybody else's waits for whoever made it."""
    candidate = state.candidate
    if candidate is None:  # pragma: no cover - the stage says that there is one
        raise RuntimeError("a proposal without a candidate")
    waiting = f"version {candidate.version!r} is proposed and waits for `acceptfirst policy promote`"
    if not settings.is_automatic or state.history[0]["actor"] != ACTOR:
        return Outlook(state.environment, "proposed", None, waiting)
    reason = f"tried on {settings.share:.0%} of the connections"
    step = _step(state, "promote", candidate.version, reason, {"share": settings.share})
    return Outlook(state.environment, "proposed", replace(step, share=settings.share), reason)


def _verified(reader: StatementReader, state: _State, now: datetime, settings: LoopSettings) -> Outlook | None:
    """The last promotion after a whole week of it; ``None`` where there is none, or it was looked at already."""
    change = next((row for row in state.history if row["action"] in ("promote", "rollback", "verify")), None)
    if change is None or change["action"] != "promote" or change["version"] != state.baseline.version:
        return None
    after = _week_after(change["happened_at"], now)
    if after.until + LATE_SPANS > now:
        return None
    proposals = (row for row in state.history if row["action"] == "propose" and row["version"] == change["version"])
    begun = next(proposals, change)
    before = week_before(begun["happened_at"], now=now)
    found = _compared(reader, state, before, after, settings)
    reason = " ".join(row.rationale for row in found) or "no handshake of that week can be compared with one before it"
    evidence = {"before": before.parameters, "after": after.parameters, "changes": [row.to_row() for row in found]}
    evidence["savings"] = [asdict(saving) for saving in savings_of(found, settings.recommendation)]
    is_worse = any(row.effect == "worse" for row in found)
    action: Action = "rollback" if is_worse and settings.is_automatic else "verify"
    prefix = "it became worse: " if is_worse else ""
    step = _step(state, action, state.baseline.version, f"{prefix}{reason}", evidence)
    return Outlook(state.environment, "none", step, step.reason)


def _compared(
    reader: StatementReader, state: _State, before: Window, after: Window, settings: LoopSettings
) -> list[Verification]:
    rows: list[Row] = []
    for window, is_new in ((before, False), (after, True)):
        found = reader.statement_rows("arm_outcomes", {"environment": state.environment, **window.parameters})
        rows += [
            row
            for row in found
            if row["policy_arm"] != "canary" and (row["policy_version"] == state.baseline.version) is is_new
        ]
    return verifications(rows, settings.recommendation)


def _week_after(instant: datetime, now: datetime) -> Window:
    monday = week_before(instant, now=now).until
    since = monday if monday == instant else monday + WEEK
    return Window(since, since + WEEK, provisional=since + WEEK > now)


def _proposed(
    reader: StatementReader, catalogue: Catalogue, state: _State, now: datetime, settings: LoopSettings
) -> Outlook:
    week = week_before(now - LATE_SPANS, now=now)
    trouble = _why_not(state, week)
    if trouble:
        return Outlook(state.environment, "none", None, trouble)
    parameters = {"environment": state.environment, **week.parameters}
    if not reader.statement_rows("any_handshake", parameters):
        return Outlook(state.environment, "none", None, f"no handshakes in week {week.week}")
    rows = recommend(reader, catalogue, week, environment=state.environment, settings=settings.recommendation)
    asked = [row for row in rows if row.verdict in APPLICABLE and not row.provisional]
    if not asked:
        return Outlook(state.environment, "none", None, f"week {week.week} asks for nothing that a policy can do")
    return _proposal(state, week, asked)


def _proposal(state: _State, week: Window, asked: Sequence[Any]) -> Outlook:
    version = _version(state, str(week.week))
    try:
        wished = propose(asked, {state.environment: state.baseline}, version=version)[state.environment]
        candidate = within_step(state.baseline, wished)
    except PolicyError as error:
        return Outlook(state.environment, "none", None, f"what week {week.week} asks for breaks a guardrail: {error}")
    digest = _digest(candidate)
    if digest == _digest(state.baseline):
        return Outlook(state.environment, "none", None, f"week {week.week} asks for what is in force")
    if digest in _rolled_back(state):
        message = f"what week {week.week} asks for was rolled back before; propose it by hand to try it again"
        return Outlook(state.environment, "none", None, message)
    reason = " ".join(f"{row.route or 'all routes'}: {row.verdict}. {row.rationale}" for row in asked)
    evidence = {"week": week.week, "digest": digest, "recommendations": [row.to_row() for row in asked]}
    step = replace(_step(state, "propose", version, reason, evidence), policy=policy_to_document(candidate))
    return Outlook(state.environment, "none", step, f"week {week.week} asks for a change of {len(asked)} routes")


def _why_not(state: _State, week: Window) -> str:
    """Why nothing can be proposed from a week, empty if it can."""
    for row in state.history:
        if row["action"] in ("promote", "rollback") and row["happened_at"] > week.since:
            return f"the policy changed in or after week {week.week}; the first whole week under it will tell"
        if row["action"] == "propose" and _kept(row).get("week") == week.week:
            return f"week {week.week} was proposed already"
    return ""


def _rolled_back(state: _State) -> set[str]:
    """Digests of proposals that were taken back."""
    versions = {row["version"] for row in state.history if row["action"] == "rollback"}
    proposals = [row for row in state.history if row["action"] == "propose" and row["version"] in versions]
    return {str(_kept(row).get("digest", "")) for row in proposals}


def _kept(row: Row) -> Mapping[str, Any]:
    try:
        found = json.loads(row["evidence"])
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def _digest(policy: Policy) -> str:
    """Of the settings, whatever their version."""
    bare = replace(_bare(policy), routes={route: _bare(own) for route, own in policy.routes.items()})
    text = json.dumps(policy_to_document(bare), sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _version(state: _State, week: str) -> str:
    taken = {str(row["version"]) for row in state.history} | {state.baseline.version}
    number = 1
    while f"{week}.{number}" in taken:
        number += 1
    return f"{week}.{number}"


def _step(state: _State, action: Action, version: str, reason: str, evidence: Mapping[str, Any]) -> LoopStep:
    return LoopStep(
        environment=state.environment,
        revision=state.revision,
        action=action,
        version=version,
        reason=reason,
        evidence=evidence,
    )
