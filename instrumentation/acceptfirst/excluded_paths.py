"""Which paths are not observed, as OpenTelemetry's environment variables say it: also by regular expressions."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator


class ExcludedPaths(Collection[str]):
    """The paths that stand in a list, or in which one of some regular expressions is found.

    Args:
        paths: whole paths.
        patterns: searched for anywhere in a path.
    """

    def __init__(self, paths: Iterable[str], patterns: Iterable[re.Pattern[str]]) -> None:
        self._paths = frozenset(paths)
        self._patterns = tuple(patterns)

    def __contains__(self, path: object) -> bool:
        return path in self._paths or (isinstance(path, str) and any(p.search(path) for p in self._patterns))

    def __iter__(self) -> Iterator[str]:
        return iter(self._paths)

    def __len__(self) -> int:
        return len(self._paths)
