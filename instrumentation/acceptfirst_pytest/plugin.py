"""The hooks: options, the marker, the fixture, and when a test is judged.

Nothing here but pytest and the standard library is imported until somebody asks: see the package.

A test is judged twice: when its call is over, and once more when it has been torn down. Each hook runs last of its
kind, after pytest's own, so that a test which failed by itself keeps its own failure.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, Final

import pytest

if TYPE_CHECKING:
    from acceptfirst_pytest.fixture import Races
    from acceptfirst_pytest.watch import RunWatch

SEVERITIES: Final = ("warning", "critical", "fatal")
NEVER: Final = "never"
_OPTION: Final = "--acceptfirst-fail-on"
_INI: Final = "acceptfirst_fail_on"
_LATE: Final = "acceptfirst_late"

Found = dict[str, str]
"""A race as plain text, so that it can travel from a worker process to the one that prints: pattern, severity, route,
test."""


class Run:
    """What this test run is asked to do, and the watch once there is one.

    Attributes:
        fail_on: the least severity that makes a test fail, or ``never``.
        watch: told about every connection; ``None`` until races are asked for.
        late: races of connections that outlived their test.
    """

    def __init__(self, fail_on: str) -> None:
        self.fail_on = fail_on
        self.watch: RunWatch | None = None
        self.late: list[Found] = []

    def start(self) -> RunWatch:
        """The watch, which begins at the first call."""
        if self.watch is None:
            from acceptfirst_pytest.watch import RunWatch  # noqa: PLC0415 - see the package: only when asked for

            self.watch = RunWatch(self.late)
        return self.watch

    def fail_on_of(self, item: pytest.Item) -> str:
        """The least severity that makes this test fail: its nearest marker's, else the run's."""
        for marker in item.iter_markers("acceptfirst"):
            if "fail_on" in marker.kwargs:
                return str(marker.kwargs["fail_on"])
        return self.fail_on


_RUN: Final = pytest.StashKey[Run]()


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the option, and the same for the configuration file."""
    group = parser.getgroup("acceptfirst", "races of WebSocket handshakes")
    group.addoption(
        _OPTION,
        choices=(*SEVERITIES, NEVER),
        default=None,
        help="make a test fail when a WebSocket race of at least this severity occurs in it (default: never)",
    )
    parser.addini(_INI, f"what {_OPTION} is where it is not given", default=NEVER)


def pytest_configure(config: pytest.Config) -> None:
    """Read what is asked for.

    Raises:
        pytest.UsageError: when the configuration file names no severity.
    """
    config.addinivalue_line(
        "markers",
        "acceptfirst(allow=[...], fail_on=...): WebSocket races that this test may show, by the names of their "
        "patterns, and the least severity that makes it fail",
    )
    fail_on = config.getoption(_OPTION) or config.getini(_INI)
    if fail_on not in (*SEVERITIES, NEVER):
        raise pytest.UsageError(f"expected {_INI} to be {', '.join(SEVERITIES)} or {NEVER}, but got {fail_on!r}")
    run = config.stash[_RUN] = Run(fail_on)
    config.pluginmanager.register(_Begins(run), "acceptfirst-begins")
    config.pluginmanager.register(_Judges(run), "acceptfirst-judges")


def pytest_unconfigure(config: pytest.Config) -> None:
    """Watch no more."""
    run = config.stash.get(_RUN, None)
    if run is not None and run.watch is not None:
        run.watch.stop()


def pytest_report_header(config: pytest.Config) -> str | None:
    """Say what makes a test fail, where something does."""
    fail_on = config.stash[_RUN].fail_on
    return None if fail_on == NEVER else f"acceptfirst: a race that is {fail_on} or worse fails its test"


def pytest_collection_modifyitems(items: Sequence[pytest.Item]) -> None:
    """Check the markers.

    Raises:
        pytest.UsageError: when one can't be meant as it is written.
    """
    for item in items:
        for marker in item.iter_markers("acceptfirst"):
            _require_usable(marker, item)


def _require_usable(marker: pytest.Mark, item: pytest.Item) -> None:
    place = f"{item.nodeid}: expected @pytest.mark.acceptfirst"
    if marker.args or set(marker.kwargs) - {"allow", "fail_on"}:
        given = ", ".join([*map(repr, marker.args), *marker.kwargs])
        raise pytest.UsageError(f"{place}(allow=[...], fail_on=...), but got {given}")
    allow = marker.kwargs.get("allow", ())
    if isinstance(allow, str) or not all(isinstance(name, str) for name in allow):
        raise pytest.UsageError(f"{place} to allow a list of names of patterns, but got {allow!r}")
    fail_on = marker.kwargs.get("fail_on", NEVER)
    if fail_on not in (*SEVERITIES, NEVER):
        raise pytest.UsageError(f"{place} to fail on {', '.join(SEVERITIES)} or {NEVER}, but got {fail_on!r}")


def pytest_collection_finish(session: pytest.Session) -> None:
    """Begin to watch where a test may have to fail: the tests are imported, so this is not the first import of all."""
    run = session.config.stash[_RUN]
    if not session.config.option.collectonly and any(run.fail_on_of(item) != NEVER for item in session.items):
        run.start()


class _Begins:
    """The hooks that run before pytest's own."""

    def __init__(self, run: Run) -> None:
        self._run = run

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_setup(self, item: pytest.Item) -> None:
        """A test begins."""
        if self._run.watch is not None:
            self._run.watch.begin(item.nodeid)

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_call(self) -> None:
        """From now on a connection that is opened is this test's own, and not some fixture's that lives longer."""
        if self._run.watch is not None:
            self._run.watch.call()

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_teardown(self) -> None:
        """What is opened from now on belongs to no test in particular."""
        if self._run.watch is not None:
            self._run.watch.teardown()

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Show the races of a test that failed by itself, and count those of any test in the summary."""
        watch = self._run.watch
        if watch is None or watch.current is None or watch.current.test != report.nodeid:
            return  # nobody asked, or a worker's report on its way through
        found = watch.current.take_unreported()
        if found:
            report.acceptfirst = found  # type: ignore[attr-defined]  # reports carry what plugins add, also to xdist
        if report.failed and watch.current.violations and "acceptfirst: expected no race" not in str(report.longrepr):
            report.sections.append(("acceptfirst", watch.current.explain()))
            watch.current.judge(SEVERITIES, ())  # it has failed: once is enough


class _Judges:
    """The hooks that run after pytest's own, and not where those raised."""

    def __init__(self, run: Run) -> None:
        self._run = run

    @pytest.hookimpl(trylast=True)
    def pytest_runtest_call(self, item: pytest.Item) -> None:
        """The test's own code is through."""
        self._judge(item)

    @pytest.hookimpl(trylast=True)
    def pytest_runtest_teardown(self, item: pytest.Item) -> None:
        """Its fixtures are gone, and with them its servers and connections."""
        self._judge(item)

    def _judge(self, item: pytest.Item) -> None:
        fail_on = self._run.fail_on_of(item)
        if self._run.watch is None or self._run.watch.current is None or fail_on == NEVER:
            return
        allowed = {name for marker in item.iter_markers("acceptfirst") for name in marker.kwargs.get("allow", ())}
        text = self._run.watch.current.judge(SEVERITIES[SEVERITIES.index(fail_on) :], allowed)
        if text:
            pytest.fail(text, pytrace=False)

    @pytest.hookimpl(tryfirst=True)
    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        """A race that came after its test had been judged fails the run."""
        if self._run.watch is not None:
            self._run.watch.begin(None)
        worker_output = getattr(session.config, "workeroutput", None)
        if worker_output is not None:
            worker_output[_LATE] = self._run.late  # for the process that prints
        elif self._late_failures() and session.exitstatus == pytest.ExitCode.OK:
            session.exitstatus = pytest.ExitCode.TESTS_FAILED

    def _late_failures(self) -> list[Found]:
        if self._run.fail_on == NEVER:
            return []
        failing = SEVERITIES[SEVERITIES.index(self._run.fail_on) :]
        return [found for found in self._run.late if found["severity"] in failing]

    @pytest.hookimpl(optionalhook=True)
    def pytest_testnodedown(self, node: Any) -> None:
        """A worker of pytest-xdist is through."""
        self._run.late.extend(getattr(node, "workeroutput", {}).get(_LATE, ()))

    def pytest_terminal_summary(self, terminalreporter: Any) -> None:
        """Count the races, by pattern and route."""
        reports = [report for of_one_kind in terminalreporter.stats.values() for report in of_one_kind]
        found = [race for report in reports for race in getattr(report, "acceptfirst", ())]
        if self._run.fail_on == NEVER or not (found or self._run.late):
            return
        terminalreporter.section("acceptfirst: races in these tests")
        for line in _counted(found):
            terminalreporter.write_line(line)
        if self._run.late:
            terminalreporter.write_line("after their test was over, so they fail the run instead of the test:")
            for line in _counted(self._run.late):
                terminalreporter.write_line(f"  {line}")


def _counted(found: Sequence[Found]) -> Iterator[str]:
    """One line a pattern and route, worst first."""
    tests: dict[tuple[int, str, str], list[str]] = {}
    for race in found:
        kind = (-SEVERITIES.index(race["severity"]), race["pattern"], race["route"])
        tests.setdefault(kind, []).append(race["test"])
    for (rank, pattern, route), of in sorted(tests.items()):
        where = f" on {route}" if route else ""
        names = sorted(set(of))
        shown = ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")  # noqa: PLR2004 - a line
        yield f"{len(of)} × {pattern} ({SEVERITIES[-rank]}){where}: {shown}"


@pytest.fixture
def acceptfirst(request: pytest.FixtureRequest) -> Iterator[Races]:
    """The races and connections of this test: see ``acceptfirst_pytest.fixture.Races``."""
    from acceptfirst_pytest.fixture import Races  # noqa: PLC0415 - see the package: only when asked for

    watch = request.config.stash[_RUN].start()
    if watch.current is None or watch.current.test != request.node.nodeid:
        watch.begin(request.node.nodeid)
    assert watch.current is not None  # noqa: S101 - it has begun just now
    races = Races(watch.current)
    yield races
    races.restore()
