"""The report: one file, nothing from the network, every stranger's word as text, and the same facts in each form."""

from __future__ import annotations

import base64
import email
import email.message
import email.policy
import hashlib
import html.parser
import json
import re
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import jinja2
import pytest
from hypothesis import given
from hypothesis import strategies as st

import acceptfirst_analysis.report
from acceptfirst.catalogue import Catalogue
from acceptfirst_analysis import rendering
from acceptfirst_analysis.classification.classify import classify
from acceptfirst_analysis.report import geometry
from acceptfirst_analysis.report.cells import cell, spark
from acceptfirst_analysis.report.gather import gather
from acceptfirst_analysis.report.mail import render_mail
from acceptfirst_analysis.report.model import Distribution, Report, Timeline
from acceptfirst_analysis.report.render import (
    HTML_BYTES_MAX,
    MARKDOWN_CHARACTERS_MAX,
    render_html,
    render_json,
    render_markdown,
)
from acceptfirst_analysis.window import Window, window_between

NOW = datetime(2026, 11, 24, tzinfo=UTC)
NEVER = datetime(1970, 1, 1, tzinfo=UTC)
HOSTILE = '/ws/"><script>alert(1)</script>|`*</details>'
STYLE = Path(acceptfirst_analysis.report.__file__).parent / "templates" / "base.css"
VOID = {"meta", "wbr", "br"}


class Page(html.parser.HTMLParser):
    """Collects elements, attributes and the text between them, and checks that what opens is closed."""

    def __init__(self) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.texts: dict[str, list[str]] = {}

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Remember it."""
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Remember it; nothing stays open."""
        self.elements.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        """It must close what is open."""
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        """Text, under the element it stands in."""
        if self.open:
            self.texts.setdefault(self.open[-1], []).append(data)

    def named(self, tag: str) -> list[dict[str, str | None]]:
        """Attributes of every element of a name."""
        return [attributes for name, attributes in self.elements if name == tag]


def parse(text: str) -> Page:
    """Parse a page, whole."""
    page = Page()
    page.feed(text)
    page.close()
    assert page.open == []
    return page


@pytest.fixture
def make_alert(database: Any) -> Iterator[Callable[..., None]]:
    """Writes an episode of an alert; the table is empty again afterwards."""

    def make(**own: Any) -> None:
        row = {
            "fingerprint": f"{own['active_since']}",
            "rule": "AF-05",
            "alertname": "HandshakeStuck",
            "severity": "critical",
            "environment": "production",
            "fired_at": NEVER,
            "resolved_at": NEVER,
            "last_active_at": own["active_since"],
            "updated_at": own["active_since"],
        }
        database.insert_rows("alert_states", [{**row, **own}])

    yield make
    database.run("TRUNCATE TABLE acceptfirst.alert_states")


@pytest.fixture
def report(handshakes: Any, catalogue: Catalogue, window: Window) -> Report:
    """A week with a cold chat before and after its gate, a bug in the code, and a route that attacks the report."""
    for i in range(200):
        ready_ms = 400.0 if i % 8 == 0 else 6.0 + i / 50
        handshakes.add(ready_ms=ready_ms, readiness_mode="blind", delay_applied_ms=25.0, phases={"ready": ready_ms})
    connection = handshakes.add("CAGRX!RE", None, route=HOSTILE, service="<b>chat</b>", ended_by="close")
    for _ in range(30):
        handshakes.add("C!RE", None, route="/bug")
    for i in range(200):
        handshakes.add(ready_ms=400.0 if i % 8 == 0 else 6.0, gate="hold", policy_version="2")
    handshakes.write()
    steps = [("HANDSHAKE_PENDING", "CONNECTED", 2.0, "accept"), ("CONNECTED", "CLOSED", 90.0, "close")]
    handshakes.write_transitions(connection, steps)
    classify(handshakes.database, catalogue, window)
    return gather(handshakes.database, catalogue, window, now=NOW)


def test_html_asks_the_network_for_nothing(report: Report) -> None:
    """No address in any attribute or style, and a policy that would stop one."""
    text = render_html(report)
    page = parse(text)
    loading = {"src", "href", "srcset", "data", "action", "xlink:href", "style"}
    assert [a for _, attributes in page.elements for a in attributes if a in loading] == []
    assert not re.search(r"url\(|@import|https?://", text)
    assert {tag for tag, _ in page.elements} & {"link", "img", "iframe", "object", "base"} == set()


def test_html_allows_its_own_style_and_script_alone(report: Report) -> None:
    """The hashes in the policy are those of what stands in the page."""
    text = render_html(report)
    policy = next(a["content"] for a in parse(text).named("meta") if a.get("http-equiv") == "Content-Security-Policy")
    for pattern in (r"<style>(.*?)</style>", r"<script>(.*?)</script>"):
        (source,) = re.findall(pattern, text, re.DOTALL)
        digest = base64.b64encode(hashlib.sha256(source.encode()).digest()).decode()
        assert f"'sha256-{digest}'" in (policy or "")
    assert (policy or "").startswith("default-src 'none';")


def test_html_shows_hostile_names_as_text(report: Report) -> None:
    """One script of ours and one block of data; the attack is in the page as words."""
    text = render_html(report)
    page = parse(text)
    assert len(page.named("script")) == 2
    assert "<b>chat" not in text
    assert any("<script>alert(1)</script>" in words for words in page.texts["th"])


def test_html_figures_can_be_read_without_seeing_them(report: Report) -> None:
    """Each figure is a group with a label, an image with title and description, and a table."""
    page = parse(render_html(report))
    assert len(page.named("figure")) >= 2
    assert all(a.get("role") == "group" and a.get("aria-labelledby") for a in page.named("figure"))
    assert all(a.get("role") == "img" and a.get("aria-labelledby") for a in page.named("svg"))
    names = [tag for tag, _ in page.elements]
    assert names.count("desc") == names.count("svg") == len(page.named("figure"))
    assert names.count("caption") == names.count("table")


def test_html_labels_point_at_what_exists(report: Report) -> None:
    """No id twice, no reference into nothing."""
    page = parse(render_html(report))
    ids = [a["id"] for _, a in page.elements if "id" in a]
    wanted = {name for _, a in page.elements for name in (a.get("aria-labelledby") or "").split()}
    assert len(ids) == len(set(ids))
    assert wanted <= set(ids)


def test_html_carries_the_json_of_the_report(report: Report) -> None:
    """The same document as ``--format json``, inert inside its element."""
    (block,) = re.findall(r'<script type="application/json"[^>]*>(.*?)</script>', render_html(report), re.DOTALL)
    assert json.loads(block) == json.loads(render_json(report))


def test_html_stays_small_when_there_are_many_routes(handshakes: Any, catalogue: Catalogue, window: Window) -> None:
    """400 routes with long names: rows and figures are cut, and it says so."""
    for i in range(400):
        for _ in range(20):
            handshakes.add("CAGRX!RE", 5.0 + i % 7, route=f"/ws/{i}/" + "x" * 200)
    handshakes.write()
    classify(handshakes.database, catalogue, window)
    report = gather(handshakes.database, catalogue, window, now=NOW)
    text = render_html(report)
    assert len(text.encode()) <= HTML_BYTES_MAX
    assert "more routes are in the data" in text
    assert len(render_markdown(report)) < MARKDOWN_CHARACTERS_MAX


def test_report_says_first_what_to_do(report: Report) -> None:
    """The verdict line, in words, and the strip under it."""
    (verdict,) = report.verdicts
    assert verdict.sentence == (
        "2 routes to fix in the code, where no delay helps, 1 route to leave as it is. "
        "The last change worked on 1 route."
    )
    assert [figure.label for figure in verdict.figures][:2] == ["handshakes", "reached ready"]


def test_report_tells_whether_the_change_worked(report: Report) -> None:
    """25 of 200 before the gate, none of 200 after it."""
    (comparison,) = report.comparisons
    assert (comparison.before, comparison.after, comparison.effect) == ((25, 200), (0, 200), "worked")


def test_report_tells_that_nothing_is_shown_when_too_few_were_seen(
    handshakes: Any, catalogue: Catalogue, window: Window
) -> None:
    """One violation of eight against none of eight."""
    for i in range(16):
        handshakes.add(messages_early=int(i == 0), gate="observe" if i < 8 else "hold")
    handshakes.write()
    (comparison,) = gather(handshakes.database, catalogue, window, now=NOW).comparisons
    assert comparison.effect == "no evidence"


def test_report_calls_nothing_a_change_when_only_the_version_is_new(
    handshakes: Any, catalogue: Catalogue, window: Window
) -> None:
    """Another route's policy changed; this one's setting is what it was."""
    for i in range(40):
        handshakes.add(messages_early=i % 2, policy_version="1" if i < 20 else "2")
    handshakes.write()
    assert gather(handshakes.database, catalogue, window, now=NOW).comparisons == ()


def test_report_shows_the_states_of_a_real_handshake(report: Report) -> None:
    """The first example's transitions, and its events in words."""
    (pattern,) = [p for p in report.patterns if p.name == "receive_after_local_close"]
    assert pattern.timeline is not None
    assert pattern.timeline.states == ("HANDSHAKE_PENDING", "CONNECTED")
    assert pattern.timeline.events[-2] == "receive refused by the framework"


def test_report_is_whole_when_nothing_is_stored(database: Any, catalogue: Catalogue, window: Window) -> None:
    """Every form of it says that there is nothing."""
    empty = gather(database, catalogue, window, now=NOW)
    assert "No handshakes were seen" in render_html(empty)
    assert "No handshakes were seen" in render_markdown(empty)
    assert json.loads(render_json(empty))["verdicts"] == []


def test_report_is_marked_when_the_range_was_chosen(database: Any, catalogue: Catalogue) -> None:
    """In both forms that people read."""
    chosen = gather(database, catalogue, window_between(None, None, now=NOW), now=NOW)
    assert "Provisional" in render_html(chosen)
    assert "Provisional" in render_markdown(chosen)


def test_markdown_keeps_its_tables_when_names_are_hostile(report: Report) -> None:
    """Every row of a table has as many cells as its head, and no HTML but the fold."""
    text = render_markdown(report)
    assert set(re.findall(r"(?<!\\)<(/?\w+)", text)) <= {"details", "summary", "/summary", "/details"}
    widths = None
    for line in text.splitlines():
        if not line.startswith("|"):
            widths = None
            continue
        cells = len(re.findall(r"(?<!\\)\|", line))
        widths = widths or cells
        assert cells == widths


@given(st.text())
def test_cell_never_ends_a_row_or_opens_markup(text: str) -> None:
    """Whatever a route is called."""
    escaped = cell(text)
    assert len(escaped.splitlines()) <= 1
    assert not re.search(r"(?<!\\)(\\\\)*[|<`*_]", escaped)


@given(st.lists(st.integers(0, 10**6), max_size=200))
def test_spark_is_short_and_shows_the_tallest(counts: list[int]) -> None:
    """At most 32 blocks, one of them full where anything was counted."""
    line = spark(tuple(counts))
    assert len(line) <= 32
    assert ("█" in line) == any(counts)


@given(st.lists(st.tuples(st.sampled_from([*geometry.STATE_WORDS]), st.floats(0, 1e7)), max_size=9))
def test_timeline_fills_its_width_and_never_leaves_it(steps: list[tuple[str, float]]) -> None:
    """Segments follow one another from the left edge to the right one."""
    states, durations = tuple(s for s, _ in steps), tuple(d for _, d in steps)
    line = Timeline(connection="", states=states, triggers=states, durations_ms=durations, signature="", events=())
    drawn = geometry.segments(line)
    if drawn and any(d > 0 for d in durations):
        assert drawn[-1].x + drawn[-1].width <= geometry.WIDTH + 1
    assert all(segment.width > 0 for segment in drawn)


@given(
    st.lists(st.integers(0, 1000), min_size=1, max_size=40),
    st.floats(0.01, 100),
    st.floats(0, 5000),
    st.one_of(st.none(), st.floats(0.01, 1e5)),
    st.integers(0, 500),
)
def test_histogram_keeps_bars_and_lines_inside(
    counts: list[int], start: float, in_force: float, needed: float | None, missing: int
) -> None:
    """Whatever the delays are, both lines and all bars are on the axis."""
    edges = tuple(start * 1.2**i for i in range(len(counts) + 1))
    values: dict[str, Any] = {"environment": "", "service": "", "route": "", "verdict": "delay", "n": 1}
    distribution = Distribution(
        **values,
        edges_ms=edges,
        counts=tuple(counts),
        n_missing=missing,
        p50_ms=1.0,
        p99_ms=1.0,
        in_force_ms=in_force if in_force > 0.01 else 0.0,
        needed_ms=needed,
        needed_is_bound=True,
    )
    drawn = geometry.histogram(distribution)
    assert all(bar.x >= 0 and bar.x + bar.width <= drawn.axis_end + 1 for bar in drawn.bars)
    assert all(0 <= bar.height <= geometry.HISTOGRAM_HEIGHT for bar in drawn.bars)
    assert all(0 <= line.x <= drawn.axis_end for line in drawn.lines)


def _themes() -> dict[str, dict[str, str]]:
    """The colours of each theme as the style sheet declares them, the dark ones over the light."""
    style = STYLE.read_text(encoding="utf-8")
    blocks = re.findall(r'(:root(?:\[data-theme="dark"\])?) \{([^}]*)\}', style)
    tokens = [dict(re.findall(r"--([\w-]+): (#[0-9a-f]{3,6});", block)) for _, block in blocks[:2]]
    return {"light": tokens[0], "dark": {**tokens[0], **tokens[1]}}


def _luminance(colour: str) -> float:
    digits = colour.lstrip("#")
    digits = digits if len(digits) == 6 else "".join(2 * digit for digit in digits)
    channels = [int(digits[i : i + 2], 16) / 255 for i in (0, 2, 4)]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def _contrast(one: str, other: str) -> float:
    high, low = sorted((_luminance(one), _luminance(other)), reverse=True)
    return (high + 0.05) / (low + 0.05)


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_text_has_enough_contrast(theme: str) -> None:
    """WCAG AA: 4.5 for every colour of text on every ground it stands on."""
    colours = _themes()[theme]
    words = ("ink", "soft", "accent", "change", "fix", "fine", "unknown")
    pairs = {(word, "paper") for word in words} | {("ink", "wash"), ("ink", "accent-wash")}
    pairs |= {("on-state", state) for state in ("pending", "connected", "ready", "error", "idle")}
    poor = {pair: _contrast(*(colours[name] for name in pair)) for pair in pairs}
    assert {pair: ratio for pair, ratio in poor.items() if ratio < 4.5} == {}


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_marks_of_figures_have_enough_contrast(theme: str) -> None:
    """WCAG: 3 for bars and lines; state segments also carry their word."""
    colours = _themes()[theme]
    assert all(_contrast(colours[name], colours["paper"]) >= 3 for name in ("accent", "error", "change", "soft"))


def broken_template(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    """A template of the report asks for a name that nobody gave it."""
    engine = rendering.templates()
    loader = jinja2.ChoiceLoader(
        [jinja2.DictLoader({name: "{{ nobody.gave.this }}"}), engine.loader or jinja2.DictLoader({})]
    )
    broken = engine.overlay(loader=loader)
    monkeypatch.setattr(rendering, "templates", lambda: broken)


def test_html_still_stands_when_one_template_is_broken(report: Report, monkeypatch: pytest.MonkeyPatch) -> None:
    """It says which part is missing and why; the others and the data are there."""
    broken_template(monkeypatch, "report_patterns.html.j2")
    text = render_html(report)
    assert "This part cannot be drawn (report_patterns): UndefinedError" in text
    assert "All recommendations" in text
    assert 'id="report-data"' in text


def test_markdown_still_stands_when_one_template_is_broken(report: Report, monkeypatch: pytest.MonkeyPatch) -> None:
    """The same in the comment."""
    broken_template(monkeypatch, "report_changes.md.j2")
    text = render_markdown(report)
    assert "This part cannot be drawn (changes)" in text
    assert "## Races that were found" in text


def test_mail_still_stands_when_its_template_is_broken(report: Report, monkeypatch: pytest.MonkeyPatch) -> None:
    """Text and attachment go out, and the body says what is wrong."""
    broken_template(monkeypatch, "mail.html.j2")
    message = email.message_from_string(render_mail(report), email.message.EmailMessage, policy=email.policy.default)
    bodies = [part.get_content() for part in message.walk() if part.get_content_type() == "text/html"]
    assert "This part cannot be drawn (mail)" in bodies[0]
    assert "All recommendations" in bodies[1]


def test_mail_shows_hostile_names_as_text(report: Report) -> None:
    """In its HTML, and no line break gets into its subject."""
    message = email.message_from_string(render_mail(report), email.message.EmailMessage, policy=email.policy.default)
    body = next(part for part in message.walk() if part.get_content_type() == "text/html").get_content()
    assert "<b>chat" not in body
    assert "<script>" not in body


def test_surfaces_stay_small_when_names_are_enormous(handshakes: Any, catalogue: Catalogue, window: Window) -> None:
    """A path and a service of hundreds of thousands of characters each."""
    for i in range(20):
        handshakes.add("CAGRX!RE", 5.0 + i, route="/" + "x" * 200_000, service="\u202e" + "y" * 200_000)
    handshakes.write()
    classify(handshakes.database, catalogue, window)
    report = gather(handshakes.database, catalogue, window, now=NOW)
    assert len(render_html(report).encode()) <= HTML_BYTES_MAX
    assert len(render_markdown(report)) < MARKDOWN_CHARACTERS_MAX
    assert len(render_mail(report)) < 3 * HTML_BYTES_MAX


def test_html_shows_the_fix_in_code_and_the_statements(report: Report) -> None:
    """The tested example of the pattern, and what the figures were read with."""
    text = render_html(report)
    assert "Has it no more" in text
    assert "await websocket.close(4409, &#34;no small talk&#34;)\n            return" in text
    assert "readiness_times.sql" in text


def test_report_says_what_its_figures_rest_on(report: Report) -> None:
    """Hours, sampling, spans that never came."""
    quality = dict(report.quality)
    assert quality["hours in which a handshake began"] == "1 of 168"
    assert quality["of these drawn by the sampling (only they count in rates and bounds)"] == "431, each for 1 at most"


def test_report_tells_what_it_meant_for_users(report: Report) -> None:
    """The week, and the seconds that the last change saved, in the forms that people read."""
    (week,) = report.value["weeks"]
    assert (week["week"], week["handshakes"]) == ("2026-W47", 431.0)
    assert "114 s of users' time saved over 200 connections" in render_html(report)
    assert "Connections hit" in render_markdown(report)


def test_report_counts_alerts_and_how_long_they_lasted(
    handshakes: Any, catalogue: Catalogue, window: Window, make_alert: Any
) -> None:
    """Two episodes that are over, one that is not, and one that never fired."""
    handshakes.add()
    handshakes.write()
    fired = window.since + timedelta(hours=1)
    for hour, lasted_minutes in ((1, 10), (2, 20)):
        at = window.since + timedelta(hours=hour)
        make_alert(state="resolved", active_since=at, fired_at=at, resolved_at=at + timedelta(minutes=lasted_minutes))
    make_alert(state="firing", active_since=fired + timedelta(hours=5), fired_at=fired + timedelta(hours=5))
    make_alert(state="pending", active_since=fired + timedelta(hours=6))
    report = gather(handshakes.database, catalogue, window, now=NOW)
    (alert,) = report.alerts
    assert (alert.fired, alert.firing, alert.mean_s) == (3, 1, 900.0)
    assert "3, 1 still firing" in render_html(report)
