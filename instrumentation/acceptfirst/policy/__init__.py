"""How handshakes are tuned: the one thing that comes back from the analysis to the backend."""

from acceptfirst.policy.file import dump_policy_file, load_policy_file
from acceptfirst.policy.model import (
    DELAY_MS_MAX,
    HANDSHAKE_TIMEOUT_MS_MAX,
    Gate,
    GateTimeoutAction,
    Policy,
    PolicyError,
    ReadinessMode,
    default_policy,
)

__all__ = [
    "DELAY_MS_MAX",
    "HANDSHAKE_TIMEOUT_MS_MAX",
    "Gate",
    "GateTimeoutAction",
    "Policy",
    "PolicyError",
    "ReadinessMode",
    "default_policy",
    "dump_policy_file",
    "load_policy_file",
]
