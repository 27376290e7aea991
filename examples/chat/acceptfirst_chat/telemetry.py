"""Stock OpenTelemetry, as any backend sets it up: a provider, a batch processor and the OTLP/HTTP exporter."""

from __future__ import annotations

from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor

from acceptfirst_chat.ledger import Ledger, TransitionCount

SERVICE_NAME = "chat"
SERVICE_VERSION = "1.0"
QUEUE_SPANS_MAX = 65_536
EXPORT_INTERVAL_MS = 500
FLUSH_TIMEOUT_MS = 20_000


def provider_for(collector_url: str, environment: str, ledger: Ledger) -> TracerProvider:
    """A provider that exports to a collector and counts what it is handed.

    Args:
        collector_url: such as ``http://127.0.0.1:4318``.
        environment: goes into the resource.
        ledger: is told of each transition span.
    """
    resource = Resource.create(
        {
            "service.name": SERVICE_NAME,
            "service.version": SERVICE_VERSION,
            "deployment.environment.name": environment,
        }
    )
    provider = TracerProvider(resource=resource, shutdown_on_exit=False)
    provider.add_span_processor(TransitionCount(ledger))
    provider.add_span_processor(
        BatchSpanProcessor(
            OTLPSpanExporter(endpoint=f"{collector_url.rstrip('/')}/v1/traces"),
            max_queue_size=QUEUE_SPANS_MAX,
            schedule_delay_millis=EXPORT_INTERVAL_MS,
        )
    )
    return provider
