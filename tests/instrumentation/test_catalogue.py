"""The catalogue: each pattern is found where it should be and nowhere else, and bad patterns are refused."""

from __future__ import annotations

import re
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from acceptfirst.catalogue import CatalogueError, Evidence, load_catalogue
from acceptfirst.catalogue.reader import require_portable
from acceptfirst.signature import ALPHABET

LABELLED: list[tuple[str, dict[str, Any], set[str]]] = [
    ("CAGRSDZ", {}, set()),
    ("CAGSRDZ", {}, set()),
    ("CAGXDZ", {}, set()),
    ("CAGRXZ", {}, set()),
    ("CNZ", {}, set()),
    ("CAPPGRSDZ", {}, set()),
    ("!RE", {}, {"receive_before_accept"}),
    ("C!RE", {}, {"receive_before_accept"}),
    ("CAGRX!RE", {}, {"receive_after_local_close"}),
    ("CX!RE", {}, {"receive_after_local_close", "handshake_rejected_403"}),
    ("CN!RE", {}, {"receive_after_local_close"}),
    ("CAGRs!RE", {}, {"receive_after_failed_send"}),
    ("CAGRSD!RE", {}, {"receive_after_disconnect"}),
    ("CAGDDZ", {}, {"receive_after_disconnect"}),
    ("!SE", {}, {"send_before_accept"}),
    ("CsE", {}, {"send_before_accept"}),
    ("CA!AE", {}, {"double_accept"}),
    ("CAaE", {}, {"double_accept"}),
    ("CaE", {}, {"accept_after_client_gone"}),
    ("CAGD", {"accept_ms": 400, "dwell_ms": 2, "close_code": 1006}, {"accept_after_client_gone"}),
    ("CAGD", {"accept_ms": 400, "dwell_ms": 200, "close_code": 1006}, set()),
    ("CAGD", {"accept_ms": 4, "dwell_ms": 2, "close_code": 1006}, set()),
    ("CTA", {}, {"handshake_stalled"}),
    ("CXZ", {}, {"handshake_rejected_403"}),
    ("CZ", {}, {"handshake_rejected_403"}),
    ("CE", {}, {"handshake_rejected_403"}),
    ("CE", {"error_kind": "dependency"}, {"dependency_not_ready"}),
    ("CAE", {"error_kind": "dependency"}, {"dependency_not_ready"}),
    ("CAGRE", {"error_kind": "dependency"}, set()),
    ("CAGDSZ", {}, {"send_after_disconnect"}),
    ("CAGsZ", {}, {"send_after_disconnect"}),
    ("CAGX!S", {}, {"send_after_close"}),
    ("CAGXSZ", {}, {"send_after_close"}),
    ("CAGDXZ", {}, {"double_close"}),
    ("CAGX!XE", {}, {"double_close"}),
    ("CAGRXxE", {}, {"double_close"}),
    ("CAGORSDZ", {}, {"concurrent_receive"}),
    ("CARGSDZ", {}, {"early_message_before_ready"}),
    ("CARPGDZ", {"messages_early": 0}, set()),
    ("CARGSDZ", {"messages_early": 1}, {"early_message_before_ready"}),
    ("CAGRPDZ", {"messages_early": 1, "readiness_mode": "blind"}, {"early_message_before_ready"}),
    ("CAGRPDZ", {"messages_early": 1, "readiness_mode": "auto"}, set()),
    ("CAX", {"close_code": 4408}, {"auth_timeout"}),
    ("CAGRX", {"close_code": 4408}, set()),
    ("CAX", {"close_code": 4401}, {"auth_timeout"}),
    ("CAX", {"close_code": 4401, "dwell_ms": 5000}, {"auth_timeout"}),
    ("CAX", {"close_code": 4401, "dwell_ms": 5}, set()),
    ("CAGRD", {"idle_ms": 40_000, "close_code": 1005}, {"keepalive_timeout"}),
    ("CAGRD", {"idle_ms": 4_000, "close_code": 1005}, set()),
    ("CAGRSXZ", {"unread_ms": 61_000}, {"zombie_half_open"}),
    ("CA!RE", {}, {"receive_on_unaccepted_object"}),
    ("CAGRD!S", {}, {"send_after_disconnect"}),
]


@pytest.mark.parametrize(("signature", "known", "expected"), LABELLED)
def test_catalogue_finds_exactly_the_labelled_patterns(
    signature: str, known: dict[str, Any], expected: set[str]
) -> None:
    """Each labelled connection shows its patterns and no other."""
    assert {pattern.name for pattern in load_catalogue().match(Evidence(signature, **known))} == expected


# What decides each pattern, and what only looks like it: the discriminators of the taxonomy, one table a pattern.
SHOWS: dict[str, list[tuple[str, dict[str, Any]]]] = {
    "receive_before_accept": [("!R", {}), ("C!S!R", {}), ("CT!RE", {}), ("Cs!RE", {})],
    "receive_after_local_close": [("CAGX!R", {}), ("CAGXD!R", {}), ("CAX!S!R", {}), ("CN!R", {})],
    "receive_after_failed_send": [("CAGs!R", {}), ("CAGs!X!R", {}), ("CAGsX!R", {}), ("CAGRSs~s!R", {})],
    "receive_after_disconnect": [("CAGD!R", {}), ("CAGDX!R", {}), ("CADSD", {}), ("CD!RE", {})],
    "send_before_accept": [("!S", {}), ("CS", {}), ("Cs", {}), ("CT!S", {})],
    "double_accept": [("CAA", {}), ("CAa", {}), ("CAGRS!A", {}), ("CA!RA", {})],
    "accept_after_client_gone": [
        ("Ca", {}),
        ("CDa", {}),
        ("CTaE", {}),
        ("CASD", {"accept_ms": 250, "dwell_ms": 50, "close_code": 1005}),
    ],
    "handshake_stalled": [("CT", {}), ("CAT", {}), ("T", {})],
    "handshake_rejected_403": [("CX", {}), ("X", {}), ("CZ", {}), ("CE", {}), ("Z", {})],
    "send_after_disconnect": [("CAGDS", {}), ("CAGDs", {}), ("CAGD!S", {}), ("CAs", {})],
    "send_after_close": [("CAXS", {}), ("CAXs", {}), ("CAX!S", {}), ("CAXDS", {}), ("CXS", {})],
    "double_close": [("CAXX", {}), ("CAXx", {}), ("CAX!X", {}), ("CADX", {}), ("CADx", {}), ("CAs!X", {})],
    "concurrent_receive": [("CAGO", {}), ("O", {})],
    "early_message_before_ready": [
        ("CAR", {"messages_early": 1}),
        ("CAPRG", {"messages_early": 2}),
        ("CAGR", {"messages_early": 1, "readiness_mode": "blind"}),
    ],
    "dependency_not_ready": [("E", {"error_kind": "dependency"}), ("CATE", {"error_kind": "dependency"})],
    "auth_timeout": [
        ("CAX", {"close_code": 4408}),
        ("CASX", {"close_code": 4408, "dwell_ms": 1}),
        ("CAGX", {"close_code": 1008, "dwell_ms": 1000}),
    ],
    "keepalive_timeout": [
        ("CAGD", {"idle_ms": 40_000, "close_code": 1006}),
        ("CAGD", {"idle_ms": 35_000, "close_code": 1005}),
        ("CAGRSD", {"idle_ms": 3, "close_code": 1011}),
    ],
    "zombie_half_open": [
        ("CA", {"unread_ms": 60_000}),
        ("CAGRSDZ", {"unread_ms": 90_000}),
        ("CASsE", {"unread_ms": 600_000, "error_kind": "client_gone"}),
    ],
    "receive_on_unaccepted_object": [("CA!R", {}), ("CA!S", {}), ("CAGRS!R", {}), ("CA!A!R", {})],
}
LOOKS_LIKE: dict[str, list[tuple[str, dict[str, Any]]]] = {
    # accept() did return, or somebody else had ended it
    "receive_before_accept": [("CA!R", {}), ("CX!R", {}), ("CN!R", {}), ("CD!R", {}), ("Ca!R", {}), ("C!S", {})],
    # the close was only tried, or came after the disconnect or the failed send that ended it
    "receive_after_local_close": [("CAG!X!R", {}), ("CADX!R", {}), ("CAsX!R", {}), ("CAGX", {})],
    # before accept no send can fail for a client that left; a close of our own came first
    "receive_after_failed_send": [("Cs!R", {}), ("CAXs!R", {}), ("CADs!R", {}), ("CA!S!R", {}), ("CAs", {})],
    "receive_after_disconnect": [("CAGD", {}), ("CAX!R", {}), ("CAXD!R", {}), ("CAGDZ", {})],
    "send_before_accept": [("CAS", {}), ("CXS", {}), ("CaS", {}), ("CNS", {}), ("CDS", {})],
    # one accept that failed: the client had gone, or the server was shutting down
    "double_accept": [("CaE", {}), ("CADA", {}), ("CAXA", {}), ("C!AA", {}), ("CAG", {})],
    # the second accept failed; the application had closed it itself; accepted quickly; stayed long; said goodbye
    "accept_after_client_gone": [
        ("CAa", {}),
        ("CXa", {}),
        ("CNa", {}),
        ("CAD", {"accept_ms": 249, "dwell_ms": 1, "close_code": 1006}),
        ("CAD", {"accept_ms": 900, "dwell_ms": 51, "close_code": 1006}),
        ("CAD", {"accept_ms": 900, "dwell_ms": 1, "close_code": 1000}),
        ("CAGRD", {"accept_ms": 900, "dwell_ms": 1, "close_code": 1006}),
        ("CAD", {}),
    ],
    "handshake_stalled": [("CAGD", {}), ("CDZ", {})],
    # accepted, denied as it should be, or the client left first
    "handshake_rejected_403": [("CAX", {}), ("CNZ", {}), ("CDZ", {}), ("CaE", {}), ("!RE", {})],
    "send_after_disconnect": [("CAXs", {}), ("CAXDS", {}), ("CAGSD", {}), ("Cs", {}), ("CDS", {})],
    "send_after_close": [("CADXS", {}), ("CAsXS", {}), ("CA!XS", {}), ("CASX", {})],
    "double_close": [("CAX", {}), ("CAXD", {}), ("CAG!X", {}), ("CAG!XZ", {}), ("CNx", {})],
    "concurrent_receive": [("CAGRSD", {})],
    # none was early: an authentication message that the application had asked for; or only a guard
    "early_message_before_ready": [
        ("CARPG", {"messages_early": 0}),
        ("CA!RG", {"messages_early": 1, "readiness_mode": "event"}),
        ("CAGR", {"messages_early": 1, "readiness_mode": "auto"}),
    ],
    # ready by then, an error of another kind, or of none that is known
    "dependency_not_ready": [
        ("CAGE", {"error_kind": "dependency"}),
        ("CE", {"error_kind": "application"}),
        ("CE", {}),
        ("CZ", {"error_kind": "dependency"}),
    ],
    "auth_timeout": [
        ("CARX", {"close_code": 4408}),
        ("CAX", {"close_code": 1000}),
        ("CAX", {"close_code": 4401, "dwell_ms": 999}),
        ("CAD", {"close_code": 4408}),
        ("CX", {"close_code": 4408}),
    ],
    # another silence, another code, a close of our own, and nothing known
    "keepalive_timeout": [
        ("CAGD", {"idle_ms": 34_999, "close_code": 1006}),
        ("CAGD", {"idle_ms": 45_001, "close_code": 1006}),
        ("CAGD", {"idle_ms": 40_000, "close_code": 1001}),
        ("CAGX", {"idle_ms": 40_000, "close_code": 1011}),
        ("CAGXD", {"close_code": 1011}),
        ("CAGD", {"close_code": 1006}),
    ],
    "zombie_half_open": [("CA", {"unread_ms": 59_999}), ("CA", {}), ("C!A", {"unread_ms": 90_000})],
    "receive_on_unaccepted_object": [("C!R", {}), ("CAX!R", {}), ("CAD!R", {}), ("CAs!R", {}), ("CN!R", {})],
}


def names_found(signature: str, known: dict[str, Any]) -> set[str]:
    """The patterns that a connection shows."""
    return {pattern.name for pattern in load_catalogue().match(Evidence(signature, **known))}


@pytest.mark.parametrize(
    ("name", "signature", "known"), [(name, *case) for name, cases in SHOWS.items() for case in cases]
)
def test_pattern_is_found_where_its_predicate_holds(name: str, signature: str, known: dict[str, Any]) -> None:
    """Whatever else the same events may show."""
    assert name in names_found(signature, known)


@pytest.mark.parametrize(
    ("name", "signature", "known"), [(name, *case) for name, cases in LOOKS_LIKE.items() for case in cases]
)
def test_pattern_is_not_found_where_it_only_looks_like_it(name: str, signature: str, known: dict[str, Any]) -> None:
    """What tells it from its neighbours."""
    assert name not in names_found(signature, known)


def test_every_pattern_has_its_tables() -> None:
    """A pattern that no example shows would never be tested."""
    shown = set().union(*(expected for _, _, expected in LABELLED))
    assert {pattern.name for pattern in load_catalogue().of_scope("connection")} == shown == set(SHOWS)
    assert set(SHOWS) == set(LOOKS_LIKE)


def test_catalogue_holds_the_whole_taxonomy() -> None:
    """Twenty-three races, of which four need many connections, and behind them a start's and a deploy's doing."""
    catalogue = load_catalogue()
    assert [pattern.number for pattern in catalogue] == list(range(1, 26))
    assert [pattern.number for pattern in catalogue.of_scope("fleet")] == [19, 20, 21, 22, 24, 25]


@pytest.mark.parametrize(
    ("signature", "severity"), [("CE", "fatal"), ("E", "fatal"), ("CAE", "critical"), ("CAPE", "critical")]
)
def test_dependency_is_fatal_where_nobody_gets_in(signature: str, severity: str) -> None:
    """Before accept the client gets nothing but an HTTP error."""
    (found,) = load_catalogue().match(Evidence(signature, error_kind="dependency"))
    assert (found.name, found.severity) == ("dependency_not_ready", severity)


def test_only_one_in_the_whole_taxonomy_is_cured_by_a_delay() -> None:
    """A random one, on the client's side; none that one connection shows."""
    cured = [pattern for pattern in load_catalogue() if pattern.delay_helps == "cures"]
    assert [(pattern.name, pattern.fixed_by) for pattern in cured] == [("reconnect_storm", "client")]


@given(st.text(alphabet="".join(ALPHABET) + "!~", max_size=64))
def test_matching_never_raises_and_answers_the_same_twice(signature: str) -> None:
    """The remembered answer is the answer."""
    catalogue = load_catalogue()
    assert catalogue.match(Evidence(signature)) == catalogue.match(Evidence(signature))


@pytest.mark.parametrize(
    "signature",
    [r"\d", "a.b", "(?:A)", "A*?", "A++", "A{1,101}", "*A", "[A", "A{3,2}", "(A", "A)", "é", "$*", "[z-a]", "(" * 17],
)
def test_reader_refuses_what_the_engines_read_differently(signature: str) -> None:
    """Anything outside the common language is refused, and the message shows it."""
    with pytest.raises(CatalogueError, match="here: expected"):
        require_portable(signature, "here")


HOLDS_UP = ["(A*)*X", "(A|A)*X", "(A?A)*X", "(A|AC)*X", "()*", "((A|D)*C)+", "A*A*A*X", "^A*A*A*A*X", "^" + "A?" * 24]


@pytest.mark.parametrize("signature", HOLDS_UP)
def test_reader_refuses_what_could_hold_the_application_up(signature: str) -> None:
    """Python's re would try millions of ways to read sixty-four letters."""
    with pytest.raises(CatalogueError, match="here: expected"):
        require_portable(signature, "here")


PIECES = st.recursive(
    st.sampled_from(["A", "R", "S", "[AR]", "[^X]", "!R"]),
    lambda inner: st.one_of(
        st.tuples(inner, st.sampled_from(["*", "+", "?", "{2}", "{1,9}"])).map(lambda pair: f"({pair[0]}){pair[1]}"),
        st.lists(inner, min_size=2, max_size=3).map(lambda parts: f"({'|'.join(parts)})"),
        st.lists(inner, min_size=2, max_size=3).map("".join),
    ),
    max_leaves=6,
)


@settings(max_examples=300, deadline=None)
@given(PIECES, st.lists(st.sampled_from("ARS!"), min_size=1, max_size=3).map("".join))
def test_expressions_that_are_admitted_never_hold_the_application_up(piece: str, repeated: str) -> None:
    """Searches that fail at the last letter, and so try everything, come to an end: an exponential one would not."""
    signature = f"({piece})~"
    try:
        require_portable(signature, "here")
    except CatalogueError:
        return
    assert re.search(signature, (repeated * 64)[:64]) is None


@pytest.mark.parametrize("pattern", load_catalogue().patterns, ids=lambda pattern: pattern.name)
def test_shipped_signatures_are_portable(pattern: Any) -> None:
    """What we refuse of others we don't do ourselves."""
    for match in pattern.matches:
        require_portable(match.signature, pattern.name)
