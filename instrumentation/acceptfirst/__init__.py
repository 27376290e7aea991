"""Shows which WebSocket handshakes race, why, and whether waiting helps.

``acceptfirst.instrument(app)`` is all a FastAPI, Starlette or other ASGI application needs; the other names are for an
application that wants to say when it is ready, or to ask.
"""

from acceptfirst.calls import coordinator, explain, identify, phase, ready
from acceptfirst.coordinator import HandshakeCoordinator
from acceptfirst.detector import RaceConditionDetector, RaceConditionPattern
from acceptfirst.instrument import instrument, uninstrument
from acceptfirst.lifecycle import ApplicationConnectionState
from acceptfirst.middleware import AcceptFirstMiddleware, ConfigurationError
from acceptfirst.policy import CollectorPolicy, Policy, PolicyError
from acceptfirst.readiness.dependencies import (
    Dependency,
    DependencyError,
    DependencyStatus,
    postgres_dependency,
    redis_dependency,
)
from acceptfirst.readiness.lookup import dependencies

__version__ = "0.1.0"

__all__ = [
    "AcceptFirstMiddleware",
    "ApplicationConnectionState",
    "CollectorPolicy",
    "ConfigurationError",
    "Dependency",
    "DependencyError",
    "DependencyStatus",
    "HandshakeCoordinator",
    "Policy",
    "PolicyError",
    "RaceConditionDetector",
    "RaceConditionPattern",
    "__version__",
    "coordinator",
    "dependencies",
    "explain",
    "identify",
    "instrument",
    "phase",
    "postgres_dependency",
    "ready",
    "redis_dependency",
    "uninstrument",
]
