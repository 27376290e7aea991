"""The classifier inside the store says what the process says, and says it once."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from acceptfirst.catalogue import Catalogue, Evidence, Match, load_catalogue
from acceptfirst.signature import ALPHABET, LENGTH_MAX, Signature
from acceptfirst_analysis.classification.classify import classify
from acceptfirst_analysis.classification.unclassified import UNCLASSIFIED
from acceptfirst_analysis.window import Window
from acceptfirst_store.database import Database

LABELLED: list[tuple[str, dict[str, Any], set[str]]] = [
    ("C!RE", {}, {"receive_before_accept"}),
    ("CAGRX!RE", {}, {"receive_after_local_close"}),
    ("CAGRs!RE", {}, {"receive_after_failed_send"}),
    ("CAGRSD!RE", {}, {"receive_after_disconnect"}),
    ("CSAGRD", {}, {"send_before_accept"}),
    ("CAA", {}, {"double_accept"}),
    ("CaE", {}, {"accept_after_client_gone"}),
    ("CAD", {"accept_ms": 600.0, "dwell_ms": 3.0, "close_code": 1006}, {"accept_after_client_gone"}),
    ("CAD", {"accept_ms": 20.0, "dwell_ms": 3.0, "close_code": 1006}, set()),
    ("CT", {}, {"handshake_stalled"}),
    ("CXZ", {}, {"handshake_rejected_403"}),
    ("CAGRDS", {}, {"send_after_disconnect"}),
    ("CAGRXS", {}, {"send_after_close"}),
    ("CAGRXX", {}, {"double_close"}),
    ("CARSOD", {"messages_early": 0}, {"concurrent_receive"}),
    ("CARGSD", {"messages_early": 1}, {"early_message_before_ready"}),
    ("CE", {"error_kind": "dependency"}, {"dependency_not_ready"}),
    ("CAX", {"close_code": 4401}, {"auth_timeout"}),
    ("CAGRD", {"idle_ms": 40_000.0, "close_code": 1006}, {"keepalive_timeout"}),
    ("CAGRD", {"idle_ms": 4_000.0, "close_code": 1011}, {"keepalive_timeout"}),
    ("CASXZ", {"unread_ms": 61_000.0}, {"zombie_half_open"}),
    ("CASXZ", {"unread_ms": 59_000.0}, set()),
    ("CA!RE", {}, {"receive_on_unaccepted_object"}),
    ("CAGRSD", {}, set()),
    ("CAGRSXZ", {}, set()),
]

UNKNOWN = {"dwell_ms": None, "idle_ms": None, "unread_ms": None, "close_code": 0, "messages_early": 0, "error_kind": ""}
LETTERS = st.sampled_from([*ALPHABET, "!R", "!S", "!A", "!X"])
EXPRESSIONS = sorted({match.signature for pattern in load_catalogue() for match in pattern.matches})


def recorded(events: list[str]) -> str:
    """What the library's own recorder makes of events: messages collapsed, the middle of a long one left out."""
    signature = Signature()
    for event in events:
        if event.startswith("!"):
            signature.add_guard(event[1])
        else:
            signature.add(event)
    return str(signature)


SIGNATURES = st.one_of(
    st.lists(LETTERS, min_size=1, max_size=10).map(lambda parts: "C" + "".join(parts)),  # what no recorder would write
    st.lists(LETTERS, min_size=1, max_size=30).map(recorded),
    st.lists(LETTERS, min_size=65, max_size=120).map(recorded),
    st.sampled_from(EXPRESSIONS).flatmap(
        lambda expression: st.from_regex(expression, alphabet="".join(ALPHABET) + "!~").map(lambda text: text[:64])
    ),
)
EVIDENCE = st.builds(
    Evidence,
    signature=SIGNATURES,
    accept_ms=st.sampled_from([None, 0.0, 249.0, 250.0, 900.0]),
    dwell_ms=st.sampled_from([None, 0.0, 50.0, 51.0, 1000.0]),
    idle_ms=st.sampled_from([None, 35_000.0, 40_000.0, 45_000.5]),
    unread_ms=st.sampled_from([None, 1000.0, 59_999.9, 60_000.0]),
    close_code=st.sampled_from([None, 1000, 1005, 1006, 1008, 1011, 4401, 4408]),
    messages_early=st.integers(0, 2),
    readiness_mode=st.sampled_from([None, "auto", "event", "blind"]),
    error_kind=st.sampled_from([None, "dependency", "client_gone", "application"]),
)


def write(handshakes: Any, evidence: Evidence) -> str:
    """One connection that shows exactly this evidence; gives its id, hex."""
    own: dict[str, Any] = {
        "dwell_ms": evidence.dwell_ms,
        "idle_ms": evidence.idle_ms,
        "unread_ms": evidence.unread_ms,
        "close_code": evidence.close_code or 0,
        "messages_early": evidence.messages_early or 0,
        "readiness_mode": evidence.readiness_mode or "",
        "error_kind": evidence.error_kind or "",
    }
    connection = str(handshakes.add(evidence.signature, None, **own))
    row = handshakes.rows[-1]
    never = row["ready_at"]
    known = evidence.accept_ms is not None
    row["connected_at"] = row["first_seen"] + timedelta(milliseconds=evidence.accept_ms or 0) if known else never
    return connection


def found_by_store(database: Database) -> dict[str, set[str]]:
    """Patterns by connection, as they stand in the table."""
    rows = database.rows("SELECT connection_id, pattern_type FROM acceptfirst.race_condition_patterns FINAL")
    found: dict[str, set[str]] = {}
    for row in rows:
        found.setdefault(row["connection_id"].hex(), set()).add(row["pattern_type"])
    return found


def found_in_process(catalogue: Catalogue, evidence: Evidence) -> set[str]:
    """Patterns that the process's matcher names."""
    return {pattern.name for pattern in catalogue.match(evidence)}


OWN_PATTERNS = """
schema_version = 1
[[pattern]]
name = "twice_ready"
severity = "warning"
title = "Said ready twice"
cause = "Two tasks say so."
remedy = "Let one of them."
delay_helps = "useless"
fixed_by = "code"
supersedes = ["early_message_before_ready"]
[[pattern.match]]
signature = "G[A-Za-z!~]*G"

[[pattern]]
name = "long_and_quiet"
severity = "warning"
title = "Long, and nobody said anything"
cause = "Nobody knows."
remedy = "Ask."
delay_helps = "useless"
fixed_by = "client"
[[pattern.match]]
signature = "^C(PP|G){1,3}|~"
conditions = [{ field = "dwell_ms", minimum = 51, when_unknown = true }]
"""


@pytest.fixture
def with_own(tmp_path: Path) -> Catalogue:
    """The shipped patterns and two of a user's."""
    file = tmp_path / "own.toml"
    file.write_text(OWN_PATTERNS)
    return load_catalogue(file)


@settings(max_examples=6, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(EVIDENCE, min_size=60, max_size=120))
def test_store_agrees_with_process_when_anything_may_have_happened(
    handshakes: Any, with_own: Catalogue, window: Window, evidences: list[Evidence]
) -> None:
    """One catalogue through Python's re and ClickHouse's RE2: supersession, unknowns and a user's patterns included."""
    catalogue = with_own
    for table in ("handshakes", "race_condition_patterns"):
        handshakes.database.run(f"TRUNCATE TABLE acceptfirst.{table}")
    handshakes.rows.clear()
    expected = {write(handshakes, evidence): found_in_process(catalogue, evidence) for evidence in evidences}
    # As they lie before a merge: when it was accepted comes in another span than how it ended.
    never = handshakes.rows[0]["ready_at"]
    handshakes.rows += [{**row, "ranked_signature": "", **UNKNOWN} for row in handshakes.rows]
    for row in handshakes.rows[: len(evidences)]:
        row["connected_at"] = never
    handshakes.write()
    classify(handshakes.database, catalogue, window)
    found = {key: names - {UNCLASSIFIED} for key, names in found_by_store(handshakes.database).items()}
    named = {key: names for key, names in found.items() if names}
    assert named == {key: names for key, names in expected.items() if names}


def satisfied(match: Match) -> dict[str, Any]:
    """Evidence that meets all conditions of a match."""
    return {
        c.field: c.one_of[0] if c.one_of else c.maximum if c.minimum is None else c.minimum for c in match.conditions
    }


@settings(max_examples=3, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_store_agrees_with_process_on_each_match_of_each_pattern(
    handshakes: Any, with_own: Catalogue, window: Window, data: st.DataObject
) -> None:
    """Signatures made from its own expression, with what it asks for: no branch of the catalogue is left to chance."""
    for table in ("handshakes", "race_condition_patterns"):
        handshakes.database.run(f"TRUNCATE TABLE acceptfirst.{table}")
    handshakes.rows.clear()
    matches = [(p.name, match) for p in with_own.of_scope("connection") for match in p.matches]
    expected = {}
    for _, match in matches:
        for _ in range(3):
            text = data.draw(st.from_regex(match.signature, alphabet="".join(ALPHABET) + "!~"))
            known = {"messages_early": 0, "error_kind": None, **satisfied(match)}
            if len(text) <= LENGTH_MAX:  # what is longer is never stored
                evidence = Evidence(text, **known)
                expected[write(handshakes, evidence)] = found_in_process(with_own, evidence)
    handshakes.write()
    classify(handshakes.database, with_own, window)
    found = {key: names - {UNCLASSIFIED} for key, names in found_by_store(handshakes.database).items()}
    assert {key: names for key, names in found.items() if names} == {k: names for k, names in expected.items() if names}
    superseded = {name for p in with_own for name in p.supersedes}
    assert {name for name, _ in matches} - superseded <= set().union(*expected.values())


def test_recorder_collapses_and_truncates_what_the_generator_makes() -> None:
    """Else the agreement on such signatures would not have been looked at."""
    assert recorded(list("CAG" + "RS" * 9 + "D")) == "CAGRSD"
    assert "~" in recorded(["C", "A", *["P", "O"] * 50])


def test_store_names_every_labelled_signature_as_the_process_does(
    handshakes: Any, catalogue: Catalogue, window: Window
) -> None:
    """One of each cause, and the innocent ones between them."""
    evidences = [Evidence(signature, **{"messages_early": 0, **own}) for signature, own, _ in LABELLED]
    connections = [write(handshakes, evidence) for evidence in evidences]
    handshakes.write()
    classify(handshakes.database, catalogue, window)
    found = found_by_store(handshakes.database)
    for connection, evidence, (signature, own, label) in zip(connections, evidences, LABELLED, strict=True):
        assert (signature, own, found.get(connection, set())) == (signature, own, label)
        assert found_in_process(catalogue, evidence) == label


def test_classifier_changes_nothing_when_it_runs_twice(handshakes: Any, catalogue: Catalogue, window: Window) -> None:
    """The same rows, to the last column, and not one more even before the store has merged."""
    for signature, own, _ in LABELLED:
        write(handshakes, Evidence(signature, **{"messages_early": 0, **own}))
    handshakes.write()
    query = "SELECT * FROM acceptfirst.race_condition_patterns ORDER BY connection_id, pattern_type"
    first = classify(handshakes.database, catalogue, window)
    rows = handshakes.database.rows(query)
    assert classify(handshakes.database, catalogue, window) == first
    assert handshakes.database.rows(query) == rows
    assert len(rows) == first.occurrences


def test_classifier_takes_back_what_a_longer_signature_disproves(
    handshakes: Any, catalogue: Catalogue, window: Window
) -> None:
    """A failed send looked like a late producer until the receive after it was seen."""
    write(handshakes, Evidence("CAGRs", messages_early=0))
    handshakes.write()
    classify(handshakes.database, catalogue, window)
    handshakes.rows[0]["ranked_signature"] = chr(8) + "CAGRs!RE"
    handshakes.write()
    assert classify(handshakes.database, catalogue, window).patterns == {"receive_after_failed_send": 1}
    assert sum(map(len, found_by_store(handshakes.database).values())) == 1


def test_classifier_deletes_where_rows_are_stored_when_that_is_not_where_they_are_read(
    handshakes: Any, catalogue: Catalogue, window: Window, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In a cluster a deletion can't name the table that spreads; the store says what it names."""
    database, statements = handshakes.database, list[str]()
    run, alterable = database.run, database.alterable

    def spied(sql: str, parameters: Any = None) -> None:
        statements.append(sql)
        run(sql, parameters)

    monkeypatch.setattr(database, "alterable", lambda table: f"{alterable(table)} /* where it is stored */")
    monkeypatch.setattr(database, "run", spied)
    write(handshakes, Evidence("CAGRs", messages_early=0))
    handshakes.write()
    classify(database, catalogue, window)
    handshakes.rows[0]["ranked_signature"] = chr(8) + "CAGRs!RE"
    handshakes.write()
    classify(database, catalogue, window)
    deletions = [sql for sql in statements if sql.startswith("DELETE")]
    assert deletions
    assert all("/* where it is stored */ WHERE" in sql for sql in deletions)


def test_classifier_finds_nothing_when_the_table_is_empty(
    database: Database, catalogue: Catalogue, window: Window
) -> None:
    """No handshakes, no rows, no error."""
    found = classify(database, catalogue, window)
    assert (found.connections, found.occurrences, found.patterns) == (0, 0, {})


def test_classifier_leaves_alone_what_is_outside_its_range(
    handshakes: Any, catalogue: Catalogue, window: Window
) -> None:
    """Neither another week nor another environment."""
    write(handshakes, Evidence("C!RE", messages_early=0))
    handshakes.write()
    assert classify(handshakes.database, catalogue, window.previous()).occurrences == 0
    assert classify(handshakes.database, catalogue, window, "staging").occurrences == 0
    assert classify(handshakes.database, catalogue, window, "production").occurrences == 1


def test_evidence_tells_the_deciding_numbers(handshakes: Any, catalogue: Catalogue, window: Window) -> None:
    """The signature and the timings that made the difference, in one sentence."""
    write(handshakes, Evidence("CAD", accept_ms=612.0, dwell_ms=3.2, close_code=1006, messages_early=0))
    handshakes.write()
    classify(handshakes.database, catalogue, window)
    (row,) = handshakes.database.rows("SELECT * FROM acceptfirst.race_condition_patterns")
    assert row["evidence"] == (
        "Accepted after the client had left: the connection went CAD; "
        "accept returned 612 ms after the connection came in; "
        "it ended 3.2 ms after accept; close code 1006. "
        "Events: connect 0 ms, accept 612 ms, ended by the client with 1006 615.2 ms, the last that is known 1000 ms."
    )
    assert (row["severity"], row["delay_helps"], row["route"]) == ("warning", "worsens", "/ws")


def test_users_patterns_are_classified_when_their_texts_are_hostile(
    handshakes: Any, window: Window, tmp_path: Path
) -> None:
    """Quotes and backslashes in a title are text, whatever SQL makes of them."""
    extra = tmp_path / "own.toml"
    extra.write_text(
        'schema_version = 1\n[[pattern]]\nnumber = 900\nname = "own_race"\nseverity = "fatal"\n'
        'title = "it\'s \\\\\' OR 1 --"\ncause = "c"\nremedy = "r"\ndelay_helps = "cures"\nfixed_by = "client"\n'
        '[[pattern.match]]\nsignature = "^CAGRSD$"\n'
        'conditions = [{ field = "close_code", one_of = [7, 1000] },\n'
        '{ field = "idle_ms", maximum = 1, when_unknown = true }]\n'
    )
    handshakes.add("CAGRSD")
    handshakes.write()
    assert classify(handshakes.database, load_catalogue(extra), window).patterns == {"own_race": 1}
    (row,) = handshakes.database.rows("SELECT evidence FROM acceptfirst.race_condition_patterns")
    assert row["evidence"].startswith("it's \\' OR 1 --: ")


@pytest.mark.parametrize("route", ["/ws/'; DROP TABLE acceptfirst.handshakes --", "/ws/\x00\n\\"])
def test_classifier_carries_hostile_routes_as_text(
    handshakes: Any, catalogue: Catalogue, window: Window, route: str
) -> None:
    """Routes go from table to table and never through a statement's text."""
    handshakes.add("C!RE", None, route=route)
    handshakes.write()
    classify(handshakes.database, catalogue, window)
    assert handshakes.database.rows("SELECT route FROM acceptfirst.race_condition_patterns") == [{"route": route}]


def test_classifier_judges_only_what_was_touched_when_it_goes_on(
    handshakes: Any, catalogue: Catalogue, window: Window
) -> None:
    """What came before is left as it is, and what the range holds is told all the same."""
    write(handshakes, Evidence("C!RE", messages_early=0))
    handshakes.write()
    long_ago = datetime.now(UTC) + timedelta(hours=1)
    assert classify(handshakes.database, catalogue, window, touched_since=long_ago).occurrences == 0
    just_now = datetime.now(UTC) - timedelta(hours=1)
    found = classify(handshakes.database, catalogue, window, touched_since=just_now)
    assert (found.connections, found.patterns) == (1, {"receive_before_accept": 1})
    assert classify(handshakes.database, catalogue, window, touched_since=long_ago) == found


def test_late_span_has_its_connection_judged_again(handshakes: Any, catalogue: Catalogue, window: Window) -> None:
    """However long ago that began: what it disproves is taken back, and its neighbours stay."""
    for _ in range(2):
        write(handshakes, Evidence("CAGRs", messages_early=0))
    handshakes.write()
    classify(handshakes.database, catalogue, window)
    handshakes.rows[0]["ranked_signature"] = chr(8) + "CAGRs!RE"
    handshakes.rows[:] = handshakes.rows[:1]
    handshakes.write()
    found = classify(handshakes.database, catalogue, window, touched_since=datetime.now(UTC) - timedelta(hours=1))
    assert found.patterns == {"receive_after_failed_send": 1, "send_after_disconnect": 1}
