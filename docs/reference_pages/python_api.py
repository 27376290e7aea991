"""The Python interface, from signatures and docstrings."""

from __future__ import annotations

import importlib
import inspect
from typing import Any, Final

import griffe

from reference_pages.markdown import code, page, table, words

#: Module → heading, sentence, and the names that are meant for others (`__all__` where none are said).
MODULES: Final[dict[str, tuple[str, tuple[str, ...]]]] = {
    "acceptfirst": ("What an application uses.", ()),
    "acceptfirst.fastapi": (
        "For FastAPI's dependency injection: see [readiness.md](../readiness.md#in-fastapi).",
        ("Handshake", "handshake"),
    ),
    "acceptfirst.logs": (
        "Log records that know their connection: see [opentelemetry.md](../opentelemetry.md#logs).",
        ("ConnectionFilter",),
    ),
    "acceptfirst.instrumentor": (
        "Zero-code start: see [opentelemetry.md](../opentelemetry.md).",
        ("AcceptFirstInstrumentor",),
    ),
    "acceptfirst_analysis": ("What is stored, as DataFrames: see [notebooks.md](../notebooks.md).", ()),
}

STARS: Final[dict[Any, str]] = {inspect.Parameter.VAR_POSITIONAL: "*", inspect.Parameter.VAR_KEYWORD: "**"}
LINE_MAX: Final = 100


def python_api_page() -> str:
    """Every public name with its signature and what its docstring says."""
    sections = [
        "# Python interface",
        (
            "What is not on this page may change with any release. The pytest plugin is described in "
            "[diagnosis.md](../diagnosis.md#the-pytest-plugin), the simulator in "
            "[simulate.md](../simulate.md#in-a-test)."
        ),
    ]
    for module, (sentence, names) in MODULES.items():
        public = names or tuple(n for n in importlib.import_module(module).__all__ if not n.startswith("__"))
        sections += [f"## `{module}`", sentence]
        for name in sorted(public, key=str.lower):
            sections += _entry(f"{module}.{name}", getattr(importlib.import_module(module), name))
    return page("docstrings", *sections)


def _entry(name: str, thing: Any, level: int = 3) -> list[str]:
    sections = [f"{'#' * level} `{name}`", code(_signature(name, thing))]
    sections += _documented(inspect.getdoc(thing) or "")
    if inspect.isclass(thing) and not issubclass(thing, BaseException):
        methods = [(n, m) for n, m in vars(thing).items() if not n.startswith("_") and _is_documented(m)]
        rows = [(code_of(n, m), words((inspect.getdoc(m) or "").split("\n\n")[0])) for n, m in methods]
        if rows:
            sections.append(table(("member", ""), rows))
    return sections


def _is_documented(member: Any) -> bool:
    return bool(inspect.getdoc(member)) and (
        inspect.isroutine(member) or isinstance(member, property | classmethod | staticmethod)
    )


def code_of(name: str, member: Any) -> str:
    """How a member is written where it is used."""
    if isinstance(member, property):
        return f"`{name}`"
    function = getattr(member, "__func__", member)
    parameters = [p for p in inspect.signature(function).parameters.values() if p.name not in {"self", "cls"}]
    shown = ", ".join(_parameter(p) for p in parameters)
    return f"`{'await ' if inspect.iscoroutinefunction(function) else ''}{name}({shown})`"


def _parameter(parameter: inspect.Parameter) -> str:
    prefix = STARS.get(parameter.kind, "")
    has_default = parameter.default is not inspect.Parameter.empty
    return f"{prefix}{parameter.name}" + (f"={_value(parameter.default)}" if has_default else "")


def _value(default: Any) -> str:
    return default.__name__ if inspect.isclass(default) else repr(default) if _is_plain(default) else "..."


def _is_plain(value: Any) -> bool:
    return value is None or isinstance(value, str | int | float | bool) or value == ()


def _signature(name: str, thing: Any) -> str:
    if isinstance(thing, type) and issubclass(thing, BaseException):
        return f"class {name}({thing.__bases__[0].__name__})"
    try:
        parameters = list(inspect.signature(thing).parameters.values())
    except (TypeError, ValueError):
        return name
    shown, seen_star = [], False
    for parameter in parameters:
        if parameter.kind is inspect.Parameter.KEYWORD_ONLY and not seen_star:
            shown.append("*")
            seen_star = True
        shown.append(_parameter(parameter))
    one_line = f"{name}({', '.join(shown)})"
    return one_line if len(one_line) <= LINE_MAX else f"{name}(\n    " + ",\n    ".join(shown) + ",\n)"


def _documented(text: str) -> list[str]:
    """A docstring's parts, as griffe takes them apart."""
    sections = []
    for part in griffe.Docstring(text, lineno=1).parse("google", warnings=False):
        if part.kind is griffe.DocstringSectionKind.text:
            sections += [words(paragraph) for paragraph in part.value.split("\n\n")]
        elif part.kind in {griffe.DocstringSectionKind.parameters, griffe.DocstringSectionKind.attributes}:
            head = "argument" if part.kind is griffe.DocstringSectionKind.parameters else "field"
            sections.append(table((head, ""), [(f"`{one.name}`", words(one.description)) for one in part.value]))
        elif part.kind is griffe.DocstringSectionKind.returns:
            sections.append("Returns: " + " ".join(words(one.description) for one in part.value))
        elif part.kind is griffe.DocstringSectionKind.raises:
            sections.append(
                table(("raises", ""), [(f"`{one.annotation}`", words(one.description)) for one in part.value])
            )
    return sections
