"""A user's own test fails when a race occurs in it, and only then."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import Any

import pytest

from acceptfirst_pytest import plugin

ON_WARNING = "--acceptfirst-fail-on=warning"

EACH_BUG = """
from chat import app


@pytest.mark.parametrize("path", ["/clean", "/never", "/closed", "/twice", "/other"])
def test_visit(path):
    visit(app, path)
"""


def test_buggy_paths_fail_and_the_clean_one_passes(run_tests: Any) -> None:
    """The application swallowed each of them, so nothing else would have told."""
    result = run_tests(EACH_BUG, ON_WARNING)

    result.assert_outcomes(passed=1, failed=4)
    assert result.ret == pytest.ExitCode.TESTS_FAILED
    result.stdout.fnmatch_lines(
        [
            "acceptfirst: a race that is warning or worse fails its test",
            "*expected no race in this test, but got *receive_before_accept*",
            "*tried in vain",
            "*receive_text() at *chat.py:* in never()",
            "*expected no race in this test, but got receive_after_local_close",
            "*expected no race in this test, but got double_close",
            "*expected no race in this test, but got receive_on_unaccepted_object",
            "*= acceptfirst: races in these tests =*",
            "1 × receive_before_accept (critical) on /never: test_chat.py::test_visit[[]/never[]]",
        ]
    )


def test_severity_below_the_asked_one_passes(run_tests: Any) -> None:
    """Two of the four are critical."""
    run_tests(EACH_BUG, "--acceptfirst-fail-on=critical").assert_outcomes(passed=3, failed=2)


@pytest.mark.parametrize("options", [(), ("--acceptfirst-fail-on=never",), (ON_WARNING, "-p", "no:acceptfirst")])
def test_run_that_does_not_ask_is_left_alone(run_tests: Any, options: tuple[str, ...]) -> None:
    """Not a word, not a failure; and where the plugin is off its option is pytest's to refuse."""
    result = run_tests(EACH_BUG, *options)
    if "no:acceptfirst" in options:
        assert result.ret == pytest.ExitCode.USAGE_ERROR
        result = run_tests(EACH_BUG, "-p", "no:acceptfirst")
    result.assert_outcomes(passed=5)
    result.stdout.no_fnmatch_line("*acceptfirst: *")


def test_run_that_does_not_ask_never_imports_the_library(run_tests: Any) -> None:
    """The plugin is loaded into every run of whoever has it installed."""
    tests = """
import sys


def test_light():
    assert not {name for name in sys.modules if name.split(".")[0] in ("acceptfirst", "opentelemetry")}
"""
    run_tests(tests).assert_outcomes(passed=1)


def test_configuration_file_can_ask(run_tests: Any) -> None:
    """For good, without an option."""
    run_tests(EACH_BUG, ini="acceptfirst_fail_on = critical").assert_outcomes(passed=3, failed=2)


def test_configuration_file_with_no_severity_is_refused(run_tests: Any) -> None:
    """What was expected, and what came."""
    result = run_tests(EACH_BUG, ini="acceptfirst_fail_on = severe")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(["*expected acceptfirst_fail_on to be warning, critical, fatal or never*'severe'*"])


MARKED = """
from chat import app


@pytest.mark.acceptfirst(allow=["receive_after_local_close"])
def test_allowed():
    visit(app, "/closed")


@pytest.mark.acceptfirst(allow=["double_close"])
def test_another_allowed():
    visit(app, "/closed")


@pytest.mark.acceptfirst(fail_on="critical")
def test_laxer():
    visit(app, "/closed")


@pytest.mark.xfail(strict=True)
def test_known_bug():
    visit(app, "/closed")
"""


def test_marker_allows_what_it_names(run_tests: Any) -> None:
    """And nothing else; a test that is expected to fail may fail by its race."""
    result = run_tests(MARKED, ON_WARNING, "--strict-markers")
    result.assert_outcomes(passed=2, failed=1, xfailed=1)


def test_marker_can_ask_for_one_test_alone(run_tests: Any) -> None:
    """The run itself does not."""
    tests = """
from chat import app


@pytest.mark.acceptfirst(fail_on="warning")
def test_strict():
    visit(app, "/closed")


def test_other():
    visit(app, "/closed")
"""
    run_tests(tests).assert_outcomes(passed=1, failed=1)


@pytest.mark.parametrize(
    ("marker", "complaint"),
    [
        ('allow="double_close"', "*to allow a list of names of patterns, but got 'double_close'*"),
        ('allowed=["double_close"]', "*(allow=[[]...[]], fail_on=...), but got allowed*"),
        ('fail_on="severe"', "*to fail on warning, critical, fatal or never, but got 'severe'*"),
    ],
)
def test_marker_that_cannot_be_meant_stops_the_run(run_tests: Any, marker: str, complaint: str) -> None:
    """A name that is misspelt would allow nothing, or fail nothing."""
    result = run_tests(f"@pytest.mark.acceptfirst({marker})\ndef test_a():\n    pass\n")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines([f"*test_a: expected @pytest.mark.acceptfirst{complaint}"])


def test_test_that_fails_by_itself_keeps_its_failure_and_shows_the_race(run_tests: Any) -> None:
    """Once, as a section below it."""
    tests = """
from chat import app


def test_of_its_own():
    visit(app, "/closed")
    assert False, "its own"


def test_of_the_applications():
    visit(app, "/raises")
"""
    result = run_tests(tests, ON_WARNING)
    result.assert_outcomes(failed=2)
    shown = ["*- acceptfirst -*", "  receive_after_local_close (warn*"]
    result.stdout.fnmatch_lines(["E*AssertionError: its own", *shown, 'E*Need to call "accept" first.', *shown])


WAYS = """
import threading

import anyio
from chat import app


@pytest.mark.anyio
async def test_asynchronous():
    await play(app, "/closed")


@pytest.fixture
def anyio_backend():
    return "asyncio"


def test_thread():
    thread = threading.Thread(target=lambda: asyncio.run(play(app, "/closed")))
    thread.start()
    thread.join()


class TestClass:
    def test_method(self):
        asyncio.run(play(app, "/closed"))


def test_clean():
    asyncio.run(play(app, "/clean"))


import unittest


class Case(unittest.TestCase):
    def test_case(self):
        asyncio.run(play(app, "/closed"))


@pytest.fixture
def closes_late():
    yield
    asyncio.run(play(app, "/closed"))


def test_teardown(closes_late):
    pass
"""


def test_race_is_seen_in_whichever_way_the_test_runs_its_application(run_tests: Any) -> None:
    """Asynchronous tests, threads, classes, unittest's cases; in a fixture's teardown it is an error there."""
    run_tests(WAYS, ON_WARNING).assert_outcomes(passed=2, failed=4, errors=1)


FIRST_IMPORT = """
def test_imports_it_now():
    import chat

    visit(chat.app, "/closed")
"""


def test_application_that_is_imported_inside_the_test_is_seen(run_tests: Any) -> None:
    """The watch is there before the application is."""
    run_tests(FIRST_IMPORT, ON_WARNING).assert_outcomes(failed=1)


LATE = """
import threading

from chat import app

loop = asyncio.new_event_loop()
threading.Thread(target=loop.run_forever, daemon=True).start()
gate = threading.Event()
opened = threading.Event()
over = threading.Event()


async def slow(scope, receive, send):
    await receive()
    await send({"type": "websocket.accept"})
    await send({"type": "websocket.close"})
    opened.set()
    await asyncio.to_thread(gate.wait)
    await send({"type": "websocket.close"})
    over.set()


import acceptfirst as library

watched = library.AcceptFirstMiddleware(slow)


def test_leaves_a_connection_behind():
    asyncio.run_coroutine_threadsafe(play(watched, "/"), loop)
    assert opened.wait(30)


def test_innocent():
    gate.set()
    assert over.wait(30)
"""


def test_race_after_its_test_fails_the_run_and_not_the_next_test(run_tests: Any) -> None:
    """Both tests pass, the run does not, and the summary names whose it was."""
    result = run_tests(LATE, ON_WARNING)

    result.assert_outcomes(passed=2)
    assert result.ret == pytest.ExitCode.TESTS_FAILED
    result.stdout.fnmatch_lines(
        ["after their test was over*", "  1 × double_close (warning): test_chat.py::test_leaves_a_connection_behind"]
    )


FIXTURE = """
import sys


def test_instruments_and_looks(acceptfirst):
    from chat import app

    acceptfirst.instrument(app)
    visit(app, "/closed")
    (seen,) = acceptfirst.violations
    (connection,) = acceptfirst.connections
    assert (seen.pattern, seen.severity, seen.route) == ("receive_after_local_close", "warning", "/closed")
    assert (connection.id, connection.state, connection.signature) == (seen.connection_id, "CLOSED", "CAX!RZ")
    assert "tried in vain" in acceptfirst.explain()
    acceptfirst.assert_clean(allow=["receive_after_local_close"])
    with pytest.raises(AssertionError, match="expected no race, but got receive_after_local_close"):
        acceptfirst.assert_clean()


def test_middleware_is_gone_afterwards():
    from chat import app

    assert app.user_middleware == []


def test_nothing_is_left_of_the_test_before(acceptfirst):
    from chat import app

    acceptfirst.instrument(app)
    visit(app, "/clean")
    assert len(acceptfirst.connections) == 1
    acceptfirst.assert_clean()


def test_callable_without_a_framework(acceptfirst):
    async def asgi(scope, receive, send):
        await receive()

    asyncio.run(play(acceptfirst.instrument(asgi), "/"))
    assert [seen.pattern for seen in acceptfirst.violations] == ["handshake_rejected_403"]
"""


def test_fixture_shows_the_connections_and_races_of_its_test(run_tests: Any) -> None:
    """Without any option: the test itself decides."""
    run_tests(FIXTURE, instrumented=False).assert_outcomes(passed=4)


def test_plugin_itself_imports_nothing_heavy() -> None:
    """Pytest and the standard library, and the library only for type checkers and on demand."""
    source = Path(plugin.__file__).read_text(encoding="utf-8")
    top = [line for line in source.splitlines() if re.match(r"(import|from) ", line)]
    names = {re.split(r"[ .]", line.strip())[1] for line in top}
    assert names - set(sys.stdlib_module_names) == {"pytest"}
