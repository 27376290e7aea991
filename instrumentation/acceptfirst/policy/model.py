"""How the handshake of one environment is tuned: the one thing that comes back from the analysis.

A policy that breaks a guardrail is refused as a whole, so that whoever holds the last good one can keep it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Final, Literal, get_args

from acceptfirst.environment import ENVIRONMENTS, normalise_environment
from acceptfirst.policy.arm import Arm, is_canary
from acceptfirst.policy.limits import DELAY_MS_MAX, DELAY_MS_MAX_VARIABLE, delay_ms_max

ReadinessMode = Literal["auto", "event", "polled", "blind"]
Gate = Literal["observe", "hold"]
GateTimeoutAction = Literal["open", "close"]

HANDSHAKE_TIMEOUT_MS_MAX: Final = 60_000.0
GATE_BUFFER_MAX: Final = 65_536
TEXT_LENGTH_MAX: Final = 1024


class PolicyError(ValueError):
    """A policy that can't be used; says what was expected, what came and where."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """The tuning of one environment, or of one route in it.

    Attributes:
        environment: one of the four.
        version: what spans carry as ``acceptfirst.policy.version``.
        readiness_mode: how READY is told; ``None`` leaves it to the caller of ``instrument``.
        gate: whether messages are held until READY; ``None`` leaves it to the caller.
        delay_ladder_ms: the delay of each attempt, the last one repeated.
        handshake_timeout_ms: connect to ready, all attempts together.
        poll_interval_ms: between two readiness checks in ``polled`` mode.
        sample_rate: share of connections that are drawn, 0 to 1.
        gate_buffer: messages that ``hold`` keeps before it back-pressures the server.
        gate_timeout_action: what ``hold`` does when the timeout runs out.
        routes: policies of single routes, by ``http.route``.
        canary: another policy, for a share of the connections.
        arm: which of the two this one is; set by ``Canary``, not by hand.
    """

    environment: str
    version: str = "default"
    readiness_mode: ReadinessMode | None = None
    gate: Gate | None = None
    delay_ladder_ms: tuple[float, ...] = (10.0,)
    handshake_timeout_ms: float = 200.0
    poll_interval_ms: float = 5.0
    sample_rate: float = 1.0
    gate_buffer: int = 64
    gate_timeout_action: GateTimeoutAction = "open"
    routes: Mapping[str, Policy] = field(default_factory=dict)
    canary: Canary | None = None
    arm: Arm = "baseline"

    def __post_init__(self) -> None:
        _check(self)

    def delay_ms(self, attempt: int) -> float:
        """The delay of an attempt (0-based), in milliseconds."""
        return self.delay_ladder_ms[min(max(attempt, 0), len(self.delay_ladder_ms) - 1)]

    def for_route(self, route: str | None) -> Policy:
        """The policy of a route: its own where there is one, else this one."""
        return self.routes.get(route, self) if route else self

    def for_connection(self, connection_id: bytes) -> Policy:
        """The policy of a connection: the canary's where the connection is drawn for it, else this one.

        Args:
            connection_id: 16 bytes.
        """
        canary = self.canary
        return canary.policy if canary is not None and is_canary(connection_id, canary.share) else self


@dataclass(frozen=True, slots=True)
class Canary:
    """Another policy that is tried on a share of the connections.

    Attributes:
        share: of the connections, 0 to 1.
        policy: what holds for them; it and its routes are marked as the canary arm. A readiness mode or a gate that it
            leaves open is the baseline's.
    """

    share: float
    policy: Policy

    def __post_init__(self) -> None:
        _check_number("canary share", self.share, 0, 1)
        if self.policy.canary is not None:
            raise PolicyError("expected a canary's policy without a canary of its own, but got one; try one at a time")
        object.__setattr__(self, "policy", in_arm(self.policy, "canary"))


def in_arm(policy: Policy, arm: Arm) -> Policy:
    """The same settings in the baseline or in the canary, routes included."""
    return replace(policy, arm=arm, routes={route: replace(own, arm=arm) for route, own in policy.routes.items()})


# 25 ms × (attempt + 1), as the incident's code had it, up to the guardrail.
_GROWING_LADDER_MS: Final = tuple(25.0 * step for step in range(1, int(DELAY_MS_MAX / 25.0) + 1))

_DEFAULTS: Final[dict[str, tuple[tuple[float, ...], float]]] = {
    "testing": ((5.0,), 100.0),
    "development": ((10.0,), 200.0),
    "staging": (_GROWING_LADDER_MS, 500.0),
    "production": (_GROWING_LADDER_MS, 1000.0),
}


def default_policy(environment: str) -> Policy:
    """The policy of an environment for which nobody has given one.

    Raises:
        UnknownEnvironmentError: when the environment is none of the four or their aliases.
    """
    name = normalise_environment(environment)
    ladder_ms, timeout_ms = _DEFAULTS[name]
    return Policy(environment=name, delay_ladder_ms=ladder_ms, handshake_timeout_ms=timeout_ms)


def _check(policy: Policy) -> None:
    if policy.environment not in ENVIRONMENTS:
        raise PolicyError(f"expected an environment of {', '.join(ENVIRONMENTS)}, but got {policy.environment!r}")
    _check_version(policy.version)
    _check_choice("readiness_mode", policy.readiness_mode, get_args(ReadinessMode))
    _check_choice("gate", policy.gate, get_args(Gate))
    _check_choice("gate_timeout_action", policy.gate_timeout_action, get_args(GateTimeoutAction))
    if policy.gate == "hold" and policy.readiness_mode == "auto":
        raise PolicyError("gate 'hold' can't work with readiness 'auto': say acceptfirst.ready() and use 'event'")
    _check_ladder(policy.delay_ladder_ms)
    _check_number("handshake_timeout_ms", policy.handshake_timeout_ms, 1, HANDSHAKE_TIMEOUT_MS_MAX)
    _check_number("poll_interval_ms", policy.poll_interval_ms, 1, HANDSHAKE_TIMEOUT_MS_MAX)
    _check_number("sample_rate", policy.sample_rate, 0, 1)
    _check_number("gate_buffer", policy.gate_buffer, 1, GATE_BUFFER_MAX)
    _check_parts(policy)


def _check_parts(policy: Policy) -> None:
    if policy.canary is not None and policy.canary.policy.environment != policy.environment:
        raise PolicyError(
            f"expected a canary of {policy.environment}, but got one of {policy.canary.policy.environment}"
        )
    for route, own in policy.routes.items():
        _check_text("a route", route)
        if own.canary is not None or own.routes:
            raise PolicyError(
                f"expected no routes and no canary in the policy of a route, but got some in that of {route!r}; "
                "a canary has routes of its own"
            )


def _check_version(version: Any) -> None:
    if not isinstance(version, str) or not version:
        raise PolicyError(f"expected a version, a text that is not empty, but got {version!r}")
    _check_text("version", version)


def _check_text(name: str, text: Any) -> None:
    """Spans carry it, so it must be text that an exporter can encode: JSON can say half a character."""
    if not isinstance(text, str) or len(text) > TEXT_LENGTH_MAX or any("\ud800" <= c <= "\udfff" for c in text):
        raise PolicyError(f"expected {name} to be a text of at most {TEXT_LENGTH_MAX} characters, but got {text!r:.80}")


def _check_ladder(ladder_ms: Any) -> None:
    if not isinstance(ladder_ms, tuple) or not ladder_ms:
        raise PolicyError(f"expected delay_ladder_ms to be a list of milliseconds, but got {ladder_ms!r}")
    highest_ms = delay_ms_max()
    for step_ms in ladder_ms:
        _check_number("delay_ladder_ms", step_ms, 0, highest_ms, f"; {DELAY_MS_MAX_VARIABLE} raises the limit")


def _check_choice(name: str, value: str | None, choices: tuple[str, ...]) -> None:
    if value is not None and value not in choices:
        raise PolicyError(f"expected {name} to be one of {', '.join(choices)}, but got {value!r}")


def _check_number(name: str, value: Any, low: float, high: float, remedy: str = "") -> None:
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    if not is_number or not low <= value <= high:
        raise PolicyError(f"expected {name} to be a number from {low:g} to {high:g}, but got {value!r}{remedy}")
