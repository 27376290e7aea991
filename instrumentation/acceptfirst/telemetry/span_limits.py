"""The limits that a user has set for attributes of spans (``OTEL_SPAN_ATTRIBUTE_…``), applied when a span is read."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import islice
from typing import Any

from opentelemetry.attributes import BoundedAttributes


@dataclass(frozen=True, slots=True)
class AttributeLimits:
    """Limits of a tracer provider.

    Attributes:
        count: how many attributes a span may have, ``None`` for any number.
        length: how many characters a text may have, ``None`` for any number.
    """

    count: int | None
    length: int | None

    @classmethod
    def of(cls, provider: Any) -> AttributeLimits:
        """The limits of an SDK provider; none where it tells none."""
        limits = getattr(provider, "_span_limits", None)
        return cls(getattr(limits, "max_span_attributes", None), getattr(limits, "max_span_attribute_length", None))

    def apply(self, attributes: dict[str, Any]) -> Any:
        """The attributes within the limits; the same dictionary where they are kept anyway.

        As the specification has it, the ones that came first stay, and texts are cut.
        """
        count, length = self.count, self.length
        dropped = 0 if count is None else max(len(attributes) - count, 0)
        if length is not None:
            attributes = {k: v[:length] if isinstance(v, str) else v for k, v in attributes.items()}
        if not dropped:
            return attributes
        kept = BoundedAttributes(attributes=dict(islice(attributes.items(), count)))
        kept.dropped = dropped  # for the exporter, which says how many are missing
        return kept
