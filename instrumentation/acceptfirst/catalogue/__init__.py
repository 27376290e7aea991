"""The catalogue of lifecycle races: patterns as data, read from one file by the process and by the store."""

from acceptfirst.catalogue.model import (
    EVIDENCE_FIELDS,
    EVIDENCE_KINDS,
    Catalogue,
    Condition,
    Evidence,
    Match,
    Pattern,
)
from acceptfirst.catalogue.reader import PATTERNS_VARIABLE, CatalogueError, configured_catalogue, load_catalogue

__all__ = [
    "EVIDENCE_FIELDS",
    "EVIDENCE_KINDS",
    "PATTERNS_VARIABLE",
    "Catalogue",
    "CatalogueError",
    "Condition",
    "Evidence",
    "Match",
    "Pattern",
    "configured_catalogue",
    "load_catalogue",
]
