"""The pure ASGI middleware: wraps ``receive`` and ``send`` of each WebSocket connection and tells its record.

Nothing of a connection lives on the middleware, which all connections share; the scope is copied before a key is added.
In ``gate="observe"`` what the application sees is what the server sent, in the same order and at the same moment.
"""

from __future__ import annotations

import types
from collections.abc import Awaitable, Callable, Collection, Coroutine, Generator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, Final, cast

from opentelemetry import metrics, trace

from acceptfirst.asgi import ASGIApplication, Message, Receive, Scope, Send
from acceptfirst.catalogue import load_catalogue
from acceptfirst.connection import SCOPE_KEY, Connection, Transition, Violation
from acceptfirst.coordinator import HandshakeCoordinator
from acceptfirst.detector import RaceConditionDetector
from acceptfirst.diagnosis import starlette_guard
from acceptfirst.environment import resolve_environment
from acceptfirst.failsafe import failsafe, logger, record_failure
from acceptfirst.lifecycle import ApplicationConnectionState as State
from acceptfirst.policy import Gate, Policy, PolicyError, ReadinessMode, default_policy, load_policy_file
from acceptfirst.readiness.gate import HoldGate
from acceptfirst.readiness.poll import ReadinessPoll, poll_readiness
from acceptfirst.telemetry.metering import HandshakeMeter
from acceptfirst.telemetry.tracing import ConnectionTrace, HandshakeTracer, surrounding_context

CoordinatorFactory = Callable[[str, RaceConditionDetector], HandshakeCoordinator]
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
        policy: a ``Policy``, or the path of a TOML file; what it says of readiness and gate wins.
        tracer_provider: where spans go; the global one where none is given.
        meter_provider: where metrics go; likewise.
        patterns: a TOML file with patterns of your own.
        coordinator_factory: makes the coordinator of each connection, from the environment and the detector.
        exclude: paths that are not observed.

    Raises:
        ConfigurationError: when the arguments contradict one another.
        UnknownEnvironmentError: when the environment is none of the four.
        CatalogueError: when the patterns can't be used.
    """

    def __init__(
        self,
        app: ASGIApplication,
        *,
        environment: str | None = None,
        readiness: ReadinessMode | ReadinessPoll = "auto",
        gate: Gate = "observe",
        policy: Policy | Path | str | None = None,
        tracer_provider: trace.TracerProvider | None = None,
        meter_provider: metrics.MeterProvider | None = None,
        patterns: Path | str | None = None,
        coordinator_factory: CoordinatorFactory = HandshakeCoordinator,
        exclude: Collection[str] = (),
    ) -> None:
        self.app = app
        provider = tracer_provider or trace.get_tracer_provider()
        resource = getattr(getattr(provider, "resource", None), "attributes", None)
        self.environment = resolve_environment(environment, resource)
        self._poll = readiness if callable(readiness) else None
        argued = ("polled" if callable(readiness) else readiness, gate)
        self.policy = _usable_policy(policy, self.environment, argued, self._poll)
        self._readiness_mode: str = self.policy.readiness_mode or argued[0]
        self._gate_mode: str = self.policy.gate or argued[1]
        self._exclude = frozenset(exclude)
        self._catalogue = load_catalogue(Path(patterns) if patterns else None)
        self.detector = RaceConditionDetector(self.environment, self.policy)
        self._coordinator_factory = coordinator_factory
        self._telemetry = Telemetry(HandshakeTracer(tracer_provider), HandshakeMeter(meter_provider), self.detector)
        self._watches_starlette = starlette_guard.install()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Run the application, observed where the scope is a WebSocket's."""
        connection = self._open(scope) if scope["type"] == "websocket" else None
        if connection is None:
            await self.app(scope, receive, send)
            return
        wire = _Wire(connection, receive, send, self._poll)
        try:
            await self.app(connection.scope, wire.receive, wire.send)
        except BaseException as error:
            connection.raised(error)
            raise
        else:
            connection.returned()
        finally:
            wire.stop()

    def coordinator(self, connection: Connection) -> HandshakeCoordinator:
        """The coordinator of a connection, made at the first call."""
        if connection.coordinator is None:
            connection.coordinator = self._coordinator_factory(self.environment, self.detector)
            connection.coordinator.bind(connection)
        return cast("HandshakeCoordinator", connection.coordinator)

    @failsafe
    def _open(self, scope: Scope) -> Connection | None:
        if SCOPE_KEY in scope or scope.get("path") in self._exclude:
            return None  # observed already by an outer one of us, or not wanted
        if not self._watches_starlette:
            self._watches_starlette = starlette_guard.install()
        inner = dict(scope)
        connection = Connection(
            scope=inner,
            policy=self.policy,
            readiness_mode=self._readiness_mode,
            gate_mode=self._gate_mode,
            catalogue=self._catalogue,
            observers=self._telemetry,
            trace=ConnectionTrace(surrounding_context(scope)),
        )
        inner[SCOPE_KEY] = connection
        inner[COORDINATOR_KEY] = self.coordinator
        connection.handed_over()
        return connection


COORDINATOR_KEY: Final = "acceptfirst.coordinator"


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


def _usable_policy(
    source: Policy | Path | str | None, environment: str, argued: tuple[str, str], poll: ReadinessPoll | None
) -> Policy:
    """The policy that holds: what is wrong in code is raised, what is wrong in a file is logged and left out."""
    if source is None or isinstance(source, Policy):
        policy = source or default_policy(environment)
        _require_policy_fits(policy, argued, poll)
        return policy
    try:
        policy = load_policy_file(source, environment)
        _require_policy_fits(policy, argued, poll)
    except (PolicyError, ConfigurationError) as error:
        logger.error("the policy %s can't be used, the default of %s holds: %s", source, environment, error)
        # What the file was to mend may be a contradiction of the arguments themselves: then nothing is held back.
        return replace(default_policy(environment), gate="observe" if argued == ("auto", "hold") else None)
    return policy


def _require_policy_fits(policy: Policy, argued: tuple[str, str], poll: ReadinessPoll | None) -> None:
    readiness_mode, gate_mode = policy.readiness_mode or argued[0], policy.gate or argued[1]
    _require_modes(readiness_mode, gate_mode, poll)
    for own in policy.routes.values():
        _require_modes(own.readiness_mode or readiness_mode, own.gate or gate_mode, poll)


class Telemetry:
    """Tells the spans, the metrics and the detector; one that fails does not keep the others from hearing."""

    def __init__(self, tracer: HandshakeTracer, meter: HandshakeMeter, detector: RaceConditionDetector) -> None:
        self._tracer = tracer
        self._meter = meter
        self._detector = detector

    def opened(self, connection: Connection) -> None:
        """See ``Observers``."""
        _told(self._meter.opened, connection)

    def transitioned(self, connection: Connection, transition: Transition) -> None:
        """See ``Observers``."""
        _told(self._tracer.transitioned, connection, transition)
        _told(self._meter.transitioned, connection, transition)

    def violated(self, connection: Connection, violation: Violation) -> None:
        """See ``Observers``."""
        details = {"connection": connection.id.hex(), "signature": str(connection.signature), "route": connection.route}
        _told(self._tracer.violated, connection, violation)
        _told(self._meter.violated, connection, violation)
        _told(self._detector.add_detected_pattern, violation.pattern.name, violation.pattern.severity, details)

    def finished(self, connection: Connection) -> None:
        """See ``Observers``."""
        _told(self._tracer.finished, connection)
        _told(self._meter.finished, connection)


def _told(listener: Callable[..., object], *news: object) -> None:
    try:
        listener(*news)
    except Exception as error:  # noqa: BLE001 - ours must never reach the application
        record_failure(listener.__qualname__, error)


class _Wire:
    """One connection's ``receive`` and ``send``, as the application gets them."""

    __slots__ = ("_connection", "_gate", "_poll", "_polling", "_receive", "_send", "_settled", "_waiting_known")

    def __init__(self, connection: Connection, receive: Receive, send: Send, poll: ReadinessPoll | None) -> None:
        self._connection = connection
        self._send = send
        self._receive = receive
        self._gate: HoldGate | None = None
        self._poll = poll
        self._polling: Any = None
        self._waiting_known = True
        self._settled = False

    async def receive(self) -> Message:
        """The application's ``receive``."""
        connection = self._connection
        if self._gate is not None:
            await self._gate.wait_until_open()  # before it counts as a receive: one that is held back races with none
        connection.receive_began()
        try:
            message = await self._next_message()
        except BaseException:
            connection.receive_raised()
            raise
        connection.received(message.get("type", ""), message.get("code"))
        if not self._settled:
            self._settle()
        return message

    async def send(self, message: Message) -> None:
        """The application's ``send``."""
        connection = self._connection
        kind = message.get("type", "") if isinstance(message, dict) else ""
        connection.send_began(kind)
        try:
            await self._send(message)
        except Exception:
            connection.send_failed(kind)
            raise
        connection.sent(kind, message)
        if kind == "websocket.accept":
            self._accepted()

    def stop(self) -> None:
        """The application is gone."""
        if self._gate is not None:
            self._gate.stop()
        if self._polling is not None:
            self._polling.cancel()

    @failsafe
    def _settle(self) -> None:
        """The connect was delivered, or accept returned: the route's policy has been looked up, and the modes stay."""
        self._settled = True
        self._waiting_known = self._connection.readiness_mode != "auto"
        if self._connection.gate_mode == "hold":
            self._gate = HoldGate(self._connection, self._receive, self._send)

    @failsafe
    def _accepted(self) -> None:
        if not self._settled:
            self._settle()
        if self._gate is not None:
            self._gate.accepted()
        if self._connection.readiness_mode == "polled" and self._poll is not None and self._polling is None:
            self._polling = poll_readiness(self._connection, self._poll)

    def _next_message(self) -> Awaitable[Message]:
        if self._gate is not None:
            return self._gate.receive()
        if self._waiting_known or self._connection.state is not State.READY_FOR_MESSAGES:
            return self._receive()
        receiving = self._receive()
        return self._first_step_told(receiving) if isinstance(receiving, Coroutine) else receiving

    @types.coroutine
    def _first_step_told(self, receiving: Coroutine[Any, Any, Message]) -> Generator[Any, Any, Message]:
        """Await ``receiving`` and tell whether it was done in its first step: then its message had been waiting.

        Once one suspends, everything that was waiting has been read, and later receives are not looked at any more.
        """
        try:
            yielded = receiving.send(None)
        except StopIteration as done:
            self._done_at_once(done.value)
            return cast("Message", done.value)
        self._waiting_known = True
        while True:
            try:
                sent = yield yielded
            except BaseException as thrown:  # noqa: BLE001 - a cancellation too belongs to the server's coroutine
                step = partial(receiving.throw, thrown)
            else:
                step = partial(receiving.send, sent)
            try:
                yielded = step()
            except StopIteration as done:
                return cast("Message", done.value)

    def _done_at_once(self, message: Message) -> None:
        if message.get("type") == "websocket.receive":
            self._connection.message_waited()
        else:
            self._waiting_known = True
