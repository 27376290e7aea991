"""The catalogue that a command works with: the shipped patterns, and those of a file where one is named."""

from __future__ import annotations

from pathlib import Path

from acceptfirst.catalogue import Catalogue, CatalogueError, configured_catalogue
from acceptfirst_cli.errors import CommandError, ExitCode


def usable_catalogue(given: Path | None = None) -> Catalogue:
    """The catalogue with the given file's patterns, else with those of the file that ``ACCEPTFIRST_PATTERNS`` names.

    Raises:
        CommandError: a usage error, naming the file's line.
    """
    try:
        return configured_catalogue(given)
    except CatalogueError as error:
        raise CommandError(str(error), ExitCode.USAGE) from error
