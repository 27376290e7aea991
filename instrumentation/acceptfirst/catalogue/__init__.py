"""The catalogue of lifecycle races: patterns as data, read from one file by the process and by the store."""

from acceptfirst.catalogue.model import EVIDENCE_FIELDS, Catalogue, Condition, Evidence, Match, Pattern
from acceptfirst.catalogue.reader import CatalogueError, load_catalogue

__all__ = [
    "EVIDENCE_FIELDS",
    "Catalogue",
    "CatalogueError",
    "Condition",
    "Evidence",
    "Match",
    "Pattern",
    "load_catalogue",
]
