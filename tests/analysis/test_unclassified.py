"""Misbehaviour without a name: found, put together by what happened, and never hidden."""

from __future__ import annotations

from typing import Any

from acceptfirst.catalogue import Catalogue
from acceptfirst_analysis.classification.classify import classify
from acceptfirst_analysis.classification.unclassified import UNCLASSIFIED, pattern_named
from acceptfirst_analysis.window import Window


def test_crashes_are_clustered_by_what_happened(handshakes: Any, catalogue: Catalogue, window: Window) -> None:
    """Signature and exception make a cluster; its examples can be looked up."""
    crashed = [handshakes.add("CAGRSE", error_type="KeyError", error_kind="application") for _ in range(4)]
    other = handshakes.add("CAGRE", error_type="ValueError", error_kind="application")
    handshakes.add("CAGRSDZ")
    handshakes.write()
    found = classify(handshakes.database, catalogue, window)
    assert (found.occurrences, found.patterns) == (0, {})
    first, second = found.unclassified
    assert (first.connections, second.connections, second.examples) == (4, 1, (other,))
    assert set(first.examples) < set(crashed)
    assert first.evidence == "No pattern explains it: the connection went CAGRSE; KeyError left the application."
    assert found.to_json()["unclassified"][1]["examples"] == [other]


INNOCENT: list[tuple[str, dict[str, Any]]] = [
    *((signature, {}) for signature in ("", "C", "CD", "CNZ", "CA", "CAGRS", "CAPGRSDZ", "CAGRSXDZ", "CAGRSR~RSDZ")),
    ("CAGRSDE", {"error_kind": "client_gone"}),
    ("CAGRSE", {"error_kind": "client_gone"}),
]


def test_innocent_connections_are_not_unclassified(handshakes: Any, catalogue: Catalogue, window: Window) -> None:
    """They came, were accepted or denied, exchanged messages, and ended once or are open."""
    for signature, own in INNOCENT:
        handshakes.add(signature, None, **own)
    handshakes.write()
    found = classify(handshakes.database, catalogue, window)
    assert (found.connections, found.unclassified) == (len(INNOCENT), ())


def test_named_misbehaviour_is_not_unclassified_too(handshakes: Any, catalogue: Catalogue, window: Window) -> None:
    """What a pattern explains needs no second word."""
    handshakes.add("C!RE", None, error_type="RuntimeError", error_kind="application")
    handshakes.write()
    found = classify(handshakes.database, catalogue, window)
    assert (found.patterns, found.unclassified) == ({"receive_before_accept": 1}, ())


def test_unknown_name_in_the_store_reads_as_unclassified(catalogue: Catalogue) -> None:
    """A pattern of somebody's file that is gone must not break a report."""
    assert pattern_named(catalogue, "own_race").name == UNCLASSIFIED
    assert pattern_named(catalogue, "double_accept").name == "double_accept"
