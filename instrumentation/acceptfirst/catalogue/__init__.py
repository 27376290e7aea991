"""The catalogue of lifecycle races: patterns as data, read from one file by the process and by the store."""

from acceptfirst.catalogue.model import Catalogue, Condition, Evidence, Match, Pattern
from acceptfirst.catalogue.reader import CatalogueError, load_catalogue

__all__ = ["Catalogue", "CatalogueError", "Condition", "Evidence", "Match", "Pattern", "load_catalogue"]
