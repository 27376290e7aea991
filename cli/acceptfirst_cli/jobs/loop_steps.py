"""Does what the closed loop says is next, through the ledger that people use too."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from typing import Any

from acceptfirst.policy import PolicyError, policy_from_document
from acceptfirst_analysis.tuning.memory import ACTOR
from acceptfirst_collector.policy.ledger import Account, PolicyLedger
from acceptfirst_collector.policy.state import ChangeConflictError, ChangeInvalidError

logger = logging.getLogger(__name__)


def carry_out(policies: PolicyLedger, outlook: Mapping[str, Any]) -> dict[str, str]:
    """Do one environment's next step, if there is one.

    Args:
        policies: where policies are kept.
        outlook: an ``acceptfirst_analysis.loop.look.Outlook`` as JSON.

    Returns:
        ``environment``, ``stage``, ``message``, and ``done`` (the action) where it was done. A step that no longer
        fits, since a person was faster, is left alone and said so.

    Raises:
        StoreError: the store does not answer.
    """
    told = {key: str(outlook[key]) for key in ("environment", "stage", "message")}
    step = outlook["step"]
    if step is None:
        return told
    account = Account(actor=ACTOR, reason=step["reason"], evidence=step["evidence"], revision=int(step["revision"]))
    try:
        _do(policies, step, account)
    except (ChangeConflictError, ChangeInvalidError, PolicyError) as error:
        return {**told, "message": f"left alone: {error}"}
    say = logger.warning if step["action"] == "rollback" else logger.info
    say("%s: %s of version %s: %s", step["environment"], step["action"], step["version"], step["reason"])
    return {**told, "done": str(step["action"])}


def _do(policies: PolicyLedger, step: Mapping[str, Any], account: Account) -> None:
    environment, action = step["environment"], step["action"]
    if action == "propose":
        candidate = policy_from_document(json.dumps(step["policy"]), environment, f"the proposal {step['version']}")
        policies.propose(candidate, account)
    elif action == "promote":
        policies.promote(environment, step["share"], account)
    elif action == "rollback":
        policies.rollback(environment, account)
    else:
        policies.note(environment, action, step["version"], account)
