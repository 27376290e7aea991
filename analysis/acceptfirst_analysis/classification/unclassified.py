"""Misbehaviour that the catalogue has no name for: reported as ``unclassified``, by signature, and never hidden.

Innocent is a connection that came, was accepted or was denied, exchanged messages and ended once. What else happens is
either a pattern or it is unknown; an exception that left the application is innocent only where the client had gone.
"""

from __future__ import annotations

from typing import Final

from acceptfirst.catalogue import Catalogue, Pattern
from acceptfirst_analysis.classification.matching import quoted

UNCLASSIFIED: Final = "unclassified"

INNOCENT_SIGNATURE: Final = "^C?(A[PGRS~]*|N)?X?[PGR~]*D?[PGR~]*Z?$"
"""In the portable dialect of the catalogue."""
LEFT_SIGNATURE: Final = "^C?(A[PGRS~]*|N)?X?[PGR~]*D?[PGR~]*E$"
"""The same, but an exception leaves the application."""

PATTERN: Final = Pattern(
    number=0,
    name=UNCLASSIFIED,
    severity="warning",
    title="Something went wrong that has no name here",
    cause="The order of events is not one in which all goes well, and no pattern of the catalogue explains it.",
    remedy="Look at the examples. If it is a race of your own, name it in a pattern file (docs/patterns/README.md).",
    delay_helps="useless",
    fixed_by="code",
    caused_by="C",
    matches=(),
)


def pattern_named(catalogue: Catalogue, name: str) -> Pattern:
    """The pattern of this name; what the store knows and the catalogue (any more) doesn't is ``unclassified``."""
    return catalogue[name] if name in catalogue else PATTERN  # noqa: SIM401 - a catalogue is no mapping and has no get


def excuse_sql() -> str:
    """Whether ``shape`` and ``known_error_kind`` show that only the client's going made an exception leave."""
    return f"(ifNull(known_error_kind, '') = 'client_gone' AND match(shape, {quoted(LEFT_SIGNATURE)}))"


def evidence_sql() -> str:
    """One sentence, the same for all connections of a cluster."""
    error = "if(known_error_type = '', '', concat('; ', known_error_type, ' left the application'))"
    return f"concat('No pattern explains it: the connection went ', shape, {error}, '.')"
