"""What goes out about dependencies: a span for each change and each check that failed, and whether each is up."""

from __future__ import annotations

from typing import Any, Final

from opentelemetry import metrics, trace
from opentelemetry.context import Context
from opentelemetry.trace import Status, StatusCode

from acceptfirst.readiness.monitor import Checked
from acceptfirst.telemetry.span_writer import SCOPE_NAME, ProcessorWriter, writer_for

CHECK_SPAN: Final = "acceptfirst.dependency.check"
_ERROR: Final = Status(StatusCode.ERROR)


class DependencyTelemetry:
    """Reports the answers of one application's dependencies.

    Args:
        tracer_provider: where spans go; the global one where none is given.
        meter_provider: where the metric goes; likewise.
        environment: of the application.
    """

    def __init__(
        self,
        tracer_provider: trace.TracerProvider | None,
        meter_provider: metrics.MeterProvider | None,
        environment: str,
    ) -> None:
        self._tracer_provider = tracer_provider
        self._environment = environment
        meter = (meter_provider or metrics.get_meter_provider()).get_meter(SCOPE_NAME)
        self._up = meter.create_gauge("acceptfirst.dependency.up", "1", "Whether a dependency answers, 0 or 1")

    def checked(self, checked: Checked) -> None:
        """Set the gauge; make a span where something changed or the answer is no."""
        name, is_up = checked.dependency.name, checked.answer.is_yes
        attributes = {"acceptfirst.environment": self._environment, "acceptfirst.dependency.name": name}
        self._up.set(int(is_up), attributes)
        if checked.changed or not is_up:
            self._write(checked)

    def _write(self, checked: Checked) -> None:
        provider: Any = self._tracer_provider or trace.get_tracer_provider()
        writer = writer_for(provider)
        if writer is None:
            return
        if isinstance(writer, ProcessorWriter):
            _hand_over(provider, checked, self._attributes(checked))
        else:
            _start_and_end(provider, checked, self._attributes(checked))

    def _attributes(self, checked: Checked) -> dict[str, Any]:
        attributes = {
            "acceptfirst.environment": self._environment,
            "acceptfirst.dependency.name": checked.dependency.name,
            "acceptfirst.dependency.required": checked.dependency.required,
            "acceptfirst.dependency.outcome": checked.answer.outcome,
            "acceptfirst.dependency.changed": checked.changed,
        }
        if checked.answer.error is not None:
            attributes["error.type"] = type(checked.answer.error).__name__
        return attributes


def _hand_over(provider: Any, checked: Checked, attributes: dict[str, Any]) -> None:
    """A finished span for the SDK's processors, as those of connections are (ADR 0003): no sampler loses a change."""
    # Imported here because an application without the SDK must be able to import acceptfirst.
    from opentelemetry.sdk.trace import ReadableSpan  # noqa: PLC0415
    from opentelemetry.sdk.util.instrumentation import InstrumentationScope  # noqa: PLC0415

    ids = provider.id_generator
    flags = trace.TraceFlags(trace.TraceFlags.SAMPLED)
    answer = checked.answer
    span = ReadableSpan(
        CHECK_SPAN,
        context=trace.SpanContext(ids.generate_trace_id(), ids.generate_span_id(), is_remote=False, trace_flags=flags),
        resource=provider.resource,
        attributes=attributes,
        kind=trace.SpanKind.INTERNAL,
        status=Status(StatusCode.UNSET) if answer.is_yes else _ERROR,
        start_time=answer.started_ns,
        end_time=max(answer.started_ns, answer.ended_ns),
        instrumentation_scope=InstrumentationScope(SCOPE_NAME),
    )
    provider._active_span_processor.on_end(span)  # noqa: SLF001 - the SDK has no public way in for a finished span


def _start_and_end(provider: Any, checked: Checked, attributes: dict[str, Any]) -> None:
    answer = checked.answer
    tracer = provider.get_tracer(SCOPE_NAME)
    span = tracer.start_span(CHECK_SPAN, context=Context(), attributes=attributes, start_time=answer.started_ns)
    if not answer.is_yes:
        span.set_status(_ERROR)
    span.end(end_time=max(answer.started_ns, answer.ended_ns))
