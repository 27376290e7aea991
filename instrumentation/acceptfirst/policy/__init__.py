"""How handshakes are tuned: the one thing that comes back from the analysis to the backend."""

from acceptfirst.policy.document import policy_from_document, policy_to_document
from acceptfirst.policy.file import dump_policy_file, load_policy_file
from acceptfirst.policy.in_force import GivenPolicy
from acceptfirst.policy.limits import DELAY_MS_MAX, delay_ms_max
from acceptfirst.policy.model import (
    HANDSHAKE_TIMEOUT_MS_MAX,
    Canary,
    Gate,
    GateTimeoutAction,
    Policy,
    PolicyError,
    ReadinessMode,
    default_policy,
    in_arm,
)
from acceptfirst.policy.source import CollectorPolicy
from acceptfirst.policy.steps import StepError, check_step

__all__ = [
    "DELAY_MS_MAX",
    "HANDSHAKE_TIMEOUT_MS_MAX",
    "Canary",
    "CollectorPolicy",
    "Gate",
    "GateTimeoutAction",
    "GivenPolicy",
    "Policy",
    "PolicyError",
    "ReadinessMode",
    "StepError",
    "check_step",
    "default_policy",
    "delay_ms_max",
    "dump_policy_file",
    "in_arm",
    "load_policy_file",
    "policy_from_document",
    "policy_to_document",
]
