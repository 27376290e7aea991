"""How an environment's policy changes: proposed, promoted (to a share first, if you like), rolled back.

One change at a time: whoever proposes a second one could not tell which of the two did it. Values only; what keeps them
and who asks for them is elsewhere.

    nothing under way --propose--> proposed --promote(share)--> canary --promote--> in force
    proposed --promote--> in force
    proposed, canary --rollback--> nothing under way
    in force, nothing under way --rollback--> the one before in force
"""

from __future__ import annotations

import dataclasses
from typing import Final

from acceptfirst.policy import Canary, Policy, StepError, check_step, default_policy

NO_UNDO: Final = -1
UNDO_TO_DEFAULT: Final = 0


class ChangeInvalidError(ValueError):
    """The change itself is wrong, whenever it is asked for."""


class ChangeConflictError(ValueError):
    """The change does not fit what is under way now."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class PolicyState:
    """What is known of an environment's policy.

    Attributes:
        environment: one of the four.
        revision: counts the changes; 0 before the first.
        in_force: what holds for all, but for a canary's share; ``None`` where nothing was ever promoted.
        candidate: what was proposed and not yet promoted to all.
        share: of the connections that have the candidate; 0 where none has.
        origin_revision: of the change that put ``in_force`` in force; 0 where there was none.
        undo_revision: whose ``in_force`` a rollback restores; see the constants.
    """

    environment: str
    revision: int = 0
    in_force: Policy | None = None
    candidate: Policy | None = None
    share: float = 0.0
    origin_revision: int = 0
    undo_revision: int = NO_UNDO

    @property
    def baseline(self) -> Policy:
        """What holds outside a canary: also where nothing is stored, since the backends have a default."""
        return self.in_force or default_policy(self.environment)

    @property
    def served(self) -> Policy:
        """What the backends are given; the default too, or one that is rolled back to would never reach them."""
        if self.candidate is None or not self.share:
            return self.baseline
        return dataclasses.replace(self.baseline, canary=Canary(self.share, self.candidate))

    @property
    def stage(self) -> str:
        """Of the change that is under way: ``proposed``, ``canary``, or ``none``."""
        if self.candidate is None:
            return "none"
        return "canary" if self.share else "proposed"


def noted(state: PolicyState) -> PolicyState:
    """Something was found out; the revision counts it, nothing else changes."""
    return dataclasses.replace(state, revision=state.revision + 1)


def propose(state: PolicyState, candidate: Policy) -> PolicyState:
    """A candidate is there; nothing changes for the backends yet.

    Raises:
        ChangeConflictError: another change is under way.
        ChangeInvalidError: it goes down too far at once, or can't be told from what is in force.
    """
    if state.candidate is not None:
        raise ChangeConflictError(
            f"expected no change of {state.environment} to be under way, but version {state.candidate.version!r} is "
            f"{'tried on a canary' if state.share else 'proposed'}; promote it or roll it back first"
        )
    if candidate.canary is not None:
        raise ChangeInvalidError("expected a policy without a canary; its share is given when it is promoted")
    if candidate.version == state.baseline.version:
        raise ChangeInvalidError(
            f"expected a version of its own, but got {candidate.version!r}, which is in force; spans name it"
        )
    try:
        check_step(state.baseline, candidate)
    except StepError as error:
        raise ChangeInvalidError(str(error)) from error
    return dataclasses.replace(state, revision=state.revision + 1, candidate=candidate, share=0.0)


def promote(state: PolicyState, share: float | None = None) -> PolicyState:
    """The candidate holds: for a share of the connections, or for all.

    Args:
        state: what is known now.
        share: above 0 and below 1; ``None`` for all.

    Raises:
        ChangeConflictError: nothing was proposed.
        ChangeInvalidError: the share is none.
    """
    if state.candidate is None:
        raise ChangeConflictError(f"expected a proposed policy of {state.environment}, but there is none; propose one")
    revision = state.revision + 1
    if share is None:
        return PolicyState(
            environment=state.environment,
            revision=revision,
            in_force=state.candidate,
            origin_revision=revision,
            undo_revision=state.origin_revision,
        )
    if not 0 < share < 1:
        raise ChangeInvalidError(f"expected a share above 0 and below 1, or none for all, but got {share!r}")
    return dataclasses.replace(state, revision=revision, share=float(share))


def rollback(state: PolicyState, before: PolicyState | None) -> PolicyState:
    """The change that is under way is taken back; where none is, the policy before comes into force again.

    Args:
        state: what is known now.
        before: the state at ``undo_revision``, where that is above 0.

    Raises:
        ChangeConflictError: there is nothing to take back.
    """
    revision = state.revision + 1
    if state.candidate is not None:
        return dataclasses.replace(state, revision=revision, candidate=None, share=0.0)
    if state.undo_revision == NO_UNDO:
        raise ChangeConflictError(f"expected a promoted policy of {state.environment} to roll back, but there is none")
    if before is None:
        # Said aloud, not by silence: backends that get no answer keep what they have.
        default = default_policy(state.environment)
        return PolicyState(environment=state.environment, revision=revision, in_force=default, origin_revision=revision)
    return dataclasses.replace(before, revision=revision, candidate=None, share=0.0)
