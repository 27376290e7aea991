"""The pure ASGI middleware: wraps ``receive`` and ``send`` of each WebSocket connection and tells its record.

Nothing of a connection lives on the middleware, which all connections share; the scope is copied before a key is added.
In ``gate="observe"`` what the application sees is what the server sent, in the same order and at the same moment.
"""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable, Collection, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Final, cast, get_args

from opentelemetry import metrics, trace

from acceptfirst import current_connection
from acceptfirst.asgi import ASGIApplication, Receive, Scope, Send
from acceptfirst.catalogue import configured_catalogue
from acceptfirst.connection import SCOPE_KEY, Connection
from acceptfirst.coordinator import HandshakeCoordinator
from acceptfirst.deadlines import Deadlines
from acceptfirst.detector import RaceConditionDetector
from acceptfirst.diagnosis import litestar_guard, starlette_guard
from acceptfirst.diagnosis.annotation import application_raised
from acceptfirst.environment import resolve_environment
from acceptfirst.excluded_paths import ExcludedPaths
from acceptfirst.failsafe import failsafe, record_failure
from acceptfirst.otel_context import current_context
from acceptfirst.policy import Gate, GivenPolicy, Policy, ReadinessMode
from acceptfirst.policy.in_force import PolicyInForce
from acceptfirst.precedence import is_observed
from acceptfirst.readiness.dependencies import Dependency
from acceptfirst.readiness.monitor import DependencyMonitor
from acceptfirst.readiness.poll import ReadinessPoll
from acceptfirst.readiness.startup_gate import StartupGate, UnreadyClose, WhenUnready
from acceptfirst.telemetry.dependency_checks import DependencyTelemetry
from acceptfirst.telemetry.lifetime import flushing
from acceptfirst.telemetry.metering import HandshakeMeter
from acceptfirst.telemetry.observers import Telemetry
from acceptfirst.telemetry.tracing import HandshakeTracer
from acceptfirst.wire import Wire

CoordinatorFactory = Callable[..., HandshakeCoordinator]
"""Makes one connection's coordinator: called with the environment and the connection's detector, and with ``scope=``
where it has a parameter of that name, so that it can make each user's in its own way."""

_READINESS_MODES: Final = ("auto", "event", "blind")


class ConfigurationError(ValueError):
    """Arguments that can't work together; raised when the application is instrumented, never later."""


class AcceptFirstMiddleware:
    """Observes the WebSocket handshakes of an ASGI application.

    Args:
        app: the application.
        environment: one of the four or an alias; else ``ACCEPTFIRST_ENVIRONMENT``, the OTel resource, development.
        readiness: ``auto`` (the first receive after accept), ``event`` (``acceptfirst.ready``), ``blind`` (the policy's
            delay), or an async callable that is asked every ``poll_interval_ms`` whether a connection is ready.
        gate: ``observe`` changes nothing; ``hold`` keeps messages back until ready.
        policy: a ``Policy``, the path of a TOML file, or the URL of a collector (or a ``CollectorPolicy``); else what
            ``ACCEPTFIRST_POLICY`` names. A file and a collector are followed. What it says of readiness and gate wins.
        tracer_provider: where spans go; the global one where none is given.
        meter_provider: where metrics go; likewise.
        patterns: a TOML file with patterns of your own; else the one that ``ACCEPTFIRST_PATTERNS`` names.
        coordinator_factory: makes the coordinator of each connection, from the environment and a detector that sees
            this connection alone; one with a parameter ``scope`` is given the connection's scope too (its user, say).
        exclude: paths that are not observed.
        dependencies: what must answer before the application can serve; asked in the background.
        when_unready: ``observe`` only tells; ``reject`` refuses new WebSockets while a required dependency is down,
            with 503 where the server knows denial responses.
        unready_close: elsewhere, ``after_accept`` closes with 1013, ``before_accept`` leaves it to the server's 403.

    Attributes:
        automatic: whether it was put there without the application's author, to whose own it then gives way.

    Raises:
        ConfigurationError: when the arguments contradict one another.
        UnknownEnvironmentError: when the environment is none of the four.
        CatalogueError: when the patterns can't be used.
    """

    automatic = False

    def __init__(
        self,
        app: ASGIApplication,
        *,
        environment: str | None = None,
        readiness: ReadinessMode | ReadinessPoll = "auto",
        gate: Gate = "observe",
        policy: GivenPolicy = None,
        tracer_provider: trace.TracerProvider | None = None,
        meter_provider: metrics.MeterProvider | None = None,
        patterns: Path | str | None = None,
        coordinator_factory: CoordinatorFactory = HandshakeCoordinator,
        exclude: Collection[str] = (),
        dependencies: Sequence[Dependency] = (),
        when_unready: WhenUnready = "observe",
        unready_close: UnreadyClose = "after_accept",
    ) -> None:
        self.app = app
        provider = tracer_provider or trace.get_tracer_provider()
        resource = getattr(getattr(provider, "resource", None), "attributes", None)
        self.environment = resolve_environment(environment, resource)
        self._poll = readiness if callable(readiness) else None
        argued = ("polled" if callable(readiness) else readiness, gate)
        fits = partial(_require_policy_fits, argued=argued, poll=self._poll)
        self._in_force = PolicyInForce(policy, self.environment, argued, fits)
        self._exclude = exclude if isinstance(exclude, ExcludedPaths) else frozenset(exclude)
        self._catalogue = configured_catalogue(patterns)
        self.detector = RaceConditionDetector(self.environment, self.policy)
        self._coordinator_factory = coordinator_factory
        self._factory_takes_scope = _has_parameter(coordinator_factory, "scope")
        self._telemetry = Telemetry(HandshakeTracer(tracer_provider), HandshakeMeter(meter_provider), self.detector)
        self._deadlines = Deadlines()
        self._watch_frameworks()
        _require_dependencies(dependencies, when_unready, unready_close)
        self.startup_gate: StartupGate | None = None
        if dependencies:
            reported = DependencyTelemetry(tracer_provider, meter_provider, self.environment)
            monitor = DependencyMonitor(dependencies, reported.checked)
            self.startup_gate = StartupGate(monitor, when_unready, unready_close)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Run the application, observed where the scope is a WebSocket's."""
        connection = self._open(scope) if scope["type"] == "websocket" else None
        if connection is None:
            await self._run_unobserved(scope, receive, send)
            return
        is_asked_for = current_connection.is_asked_for
        if is_asked_for:
            around = current_connection.running()
            current_connection.enter(connection)
        wire = Wire(connection, receive, send, self._poll)
        try:
            if self.startup_gate is None:
                await self.app(connection.scope, wire.receive, wire.send)
            else:
                app = self.startup_gate.refusal(connection) or self.app
                await app(connection.scope, wire.receive, wire.send)
        except BaseException as error:
            application_raised(connection, error)
            raise
        else:
            connection.returned()
        finally:
            if wire.has_tasks:
                wire.stop()
            if is_asked_for:
                current_connection.enter(around)
            if connection.was_attended:
                self._telemetry.open_connections.discard(connection)

    async def _run_unobserved(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "lifespan":
            await self.app(scope, receive, send)
            return
        self._in_force.start()
        try:
            if self.startup_gate is not None:
                await self.startup_gate.run_lifespan(self.app, scope, receive, flushing(send))
            else:
                await self.app(scope, receive, flushing(send))
        finally:
            self._telemetry.log.summarise()  # the server shuts down: what was kept back is counted now

    @property
    def policy(self) -> Policy:
        """What holds for new connections, as of the last one that began."""
        return self._in_force.held.policy

    def coordinator(self, connection: Connection) -> HandshakeCoordinator:
        """The coordinator of a connection, made at the first call.

        Raises:
            RuntimeError: when the factory gives one that another connection has.
        """
        if connection.coordinator is None:
            own = RaceConditionDetector(self.environment, connection.policy, reports_to=self.detector)
            _take_over(own, self.detector, connection)
            more = {"scope": connection.scope} if self._factory_takes_scope else {}
            coordinator = self._coordinator_factory(self.environment, own, **more)
            coordinator.bind(connection)
            connection.coordinator = coordinator  # only now: one that refused stays with its own connection
        return cast("HandshakeCoordinator", connection.coordinator)

    def _watch_frameworks(self) -> None:
        """Watch those that are loaded; asked again only when something has been loaded since."""
        self._modules_seen = len(sys.modules)
        starlette_guard.install()
        litestar_guard.install()

    def _open(self, scope: Scope) -> Connection | None:
        try:  # not by the decorator: this comes before all that a connection does
            if (SCOPE_KEY in scope and is_observed(scope)) or scope.get("path") in self._exclude:
                return None  # by an outer one of us, or not wanted
            if len(sys.modules) != self._modules_seen:
                self._watch_frameworks()
            policy, readiness_mode, gate_mode = self._in_force.now()
            self.detector.policy = policy
            inner = dict(scope)
            inner[SCOPE_KEY] = connection = Connection(
                scope=inner,
                policy=policy,
                readiness_mode=readiness_mode,
                gate_mode=gate_mode,
                catalogue=self._catalogue,
                observers=self._telemetry,
                deadlines=self._deadlines,
                surroundings=current_context(),
                keeper=self,
            )
            if policy.canary is not None:
                connection.take_policy(policy.for_connection(connection.id))
            self._telemetry.opened(connection)
        except Exception as error:  # noqa: BLE001 - ours must never reach the application
            record_failure("AcceptFirstMiddleware._open", error)
            return None
        else:
            return connection


@failsafe
def _take_over(own: RaceConditionDetector, shared: RaceConditionDetector, connection: Connection) -> None:
    if connection.patterns_now():
        own.take_over(shared, connection.id.hex())


def _has_parameter(function: Callable[..., object], name: str) -> bool:
    try:
        return name in inspect.signature(function).parameters
    except (TypeError, ValueError):  # one that is not written in Python
        return False


def _require_modes(readiness_mode: str, gate_mode: str, poll: ReadinessPoll | None) -> None:
    if readiness_mode == "polled" and poll is None:
        raise ConfigurationError("readiness 'polled' needs a check: pass readiness=<async callable of a scope>")
    if readiness_mode not in (*_READINESS_MODES, "polled"):
        modes = ", ".join(_READINESS_MODES)
        raise ConfigurationError(f"expected readiness to be {modes} or a callable, but got {readiness_mode!r}")
    if gate_mode not in ("observe", "hold"):
        raise ConfigurationError(f"expected gate to be observe or hold, but got {gate_mode!r}")
    if gate_mode == "hold" and readiness_mode == "auto":
        raise ConfigurationError(
            "gate 'hold' can't work with readiness 'auto': say acceptfirst.ready() and use 'event'"
        )


def _require_dependencies(dependencies: Sequence[Dependency], when_unready: str, unready_close: str) -> None:
    given: Sequence[Any] = dependencies
    if wrong := [type(each).__name__ for each in given if not isinstance(each, Dependency)]:
        raise ConfigurationError(f"expected dependencies to be of acceptfirst.Dependency, but got {', '.join(wrong)}")
    names = [each.name for each in dependencies]
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise ConfigurationError(f"expected each dependency to have its own name, but got twice: {', '.join(twice)}")
    if when_unready not in get_args(WhenUnready):
        raise ConfigurationError(f"expected when_unready to be observe or reject, but got {when_unready!r}")
    if unready_close not in get_args(UnreadyClose):
        raise ConfigurationError(
            f"expected unready_close to be {' or '.join(get_args(UnreadyClose))}, but got {unready_close!r}"
        )
    if when_unready == "reject" and not any(each.required for each in dependencies):
        raise ConfigurationError("when_unready 'reject' needs something to ask: pass dependencies=[...], one required")


def _require_policy_fits(policy: Policy, argued: tuple[str, str], poll: ReadinessPoll | None) -> None:
    readiness_mode, gate_mode = policy.readiness_mode or argued[0], policy.gate or argued[1]
    _require_modes(readiness_mode, gate_mode, poll)
    for own in policy.routes.values():
        _require_modes(own.readiness_mode or readiness_mode, own.gate or gate_mode, poll)
    if policy.canary is not None:
        _require_policy_fits(policy.canary.policy, (readiness_mode, gate_mode), poll)
