"""Calls back when a module is imported for the first time, and never imports one itself.

An instrumentation must not load what the application does not use. So a finder stands before the others, lets them
find a module that somebody waits for, and has its loader call back once the module has run. The loader stays the
module's own.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any, Final

from acceptfirst.failsafe import failsafe

Callback = Callable[[ModuleType], None]


class ImportWatch(MetaPathFinder):
    """Waits for modules.

    Args:
        callbacks: what to call with each module, by its full name; a failure of theirs never fails the import.
    """

    def __init__(self, callbacks: dict[str, Callback]) -> None:
        self._callbacks: Final = {name: failsafe(callback) for name, callback in callbacks.items()}

    def begin(self) -> None:
        """Call back for what is imported already, and wait for the rest."""
        for name, callback in self._callbacks.items():
            module = sys.modules.get(name)
            if module is not None and not _is_being_imported(module):
                callback(module)
        sys.meta_path.insert(0, self)

    def end(self) -> None:
        """Wait no longer."""
        if self in sys.meta_path:
            sys.meta_path.remove(self)

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """What the other finders find, with a loader that calls back where somebody waits for this module."""
        if fullname not in self._callbacks:
            return None
        for finder in sys.meta_path:
            find = getattr(finder, "find_spec", None)
            spec: ModuleSpec | None = None if finder is self or find is None else find(fullname, path, target)
            if spec is not None:
                self._hook(spec, self._callbacks[fullname])
                return spec
        return None

    @failsafe
    def _hook(self, spec: ModuleSpec, callback: Callable[[ModuleType], None]) -> None:
        loader: Any = spec.loader
        execute = loader.exec_module

        def execute_and_tell(module: ModuleType) -> None:
            del loader.exec_module  # our own, which hides its class's
            execute(module)
            callback(module)

        loader.exec_module = execute_and_tell


def _is_being_imported(module: ModuleType) -> bool:
    return bool(getattr(getattr(module, "__spec__", None), "_initializing", False))
