"""The page as a program sees it: what it says, how large it is, what it allows, and who may read it."""

from __future__ import annotations

import json
import re
import time
from typing import Any

import httpx
import pytest

PAGE_BYTES_MAX = 100_000
PATIENCE_S = 30.0


def log_in(collector: Any, token: str, **headers: str) -> httpx.Response:
    """Send the form."""
    answer: httpx.Response = httpx.post(
        f"{collector.url}/login", data={"token": token}, headers=headers, trust_env=False
    )
    return answer


def text_with(collector: Any, path: str, wanted: str) -> str:
    """A page as soon as it says something: its parts may be some seconds old."""
    until = time.monotonic() + PATIENCE_S
    while wanted not in (text := str(collector.get(path).text)) and time.monotonic() < until:
        time.sleep(0.2)
    assert wanted in text
    return text


def newest(collector: Any, route: str) -> str:
    """The id of the newest connection of a route."""
    (row,) = collector.get("/api/v1/handshakes", params={"route": route, "limit": 1}).json()["handshakes"]
    return str(row["connection_id"])


def test_page_tells_how_to_instrument_when_nothing_is_stored(empty_collector: Any) -> None:
    """The lines to paste, and no number that nobody measured."""
    text = empty_collector.get("/").text
    assert "acceptfirst.instrument(app)" in text
    assert "Nothing has arrived yet." in text
    assert f"OTEL_EXPORTER_OTLP_ENDPOINT={empty_collector.url} " in text
    assert "handshakes a minute" not in text


def test_page_says_first_what_is_the_matter(collector: Any) -> None:
    """What is stuck comes before what raced, in one sentence."""
    text = collector.get("/", params={"environment": "production"}).text
    sentence = re.search(r'class="verdict".*?</span><span>(.*?)</span>', text, re.DOTALL)
    assert sentence is not None
    assert sentence[1].startswith("1 handshake has been open for over 30 s. 3 races in 15 minutes: received after")


def test_page_counts_races_as_the_report_does(collector: Any) -> None:
    """Before the classifier ran, and after it: once a connection and pattern."""
    shown = re.compile(r"Received after the application itself had ended.*?</span>(\d+)</td>", re.DOTALL)
    before = shown.search(collector.get("/", params={"environment": "production"}).text)
    found = collector.client.post(f"{collector.url}/api/v1/jobs/classify", timeout=60).json()
    after = shown.search(collector.get("/", params={"environment": "production"}).text)
    assert before is not None
    assert after is not None
    assert (before[1], after[1]) == ("3", "3")
    assert "receive_after_local_close" in json.dumps(found)


def test_page_knows_an_environment_by_its_other_names(collector: Any) -> None:
    """A link written by hand says prod."""
    assert 'href="/?environment=production&amp;racing=1"' in collector.get("/", params={"environment": "Prod"}).text


def test_page_shows_one_environment_when_it_is_asked_for(collector: Any) -> None:
    """The other one's handshakes are not there, nor in its numbers."""
    text = collector.get("/", params={"environment": "staging"}).text
    assert "Nothing races, nothing is stuck: 20 handshakes in 15 minutes." in text
    assert "/ws/moderated" not in text


def test_page_stays_small_when_it_is_full(collector: Any) -> None:
    """Fifty rows, a style sheet and a script."""
    assets = [collector.get(f"/assets/{name}").content for name in ("page.css", "page.js")]
    page = collector.get("/").content
    assert page.count(b'<li><a href="/connections/') >= 50
    assert len(page) + sum(map(len, assets)) <= PAGE_BYTES_MAX


@pytest.mark.parametrize("path", ["/", "/patterns", "/reports", "/connections/0", "/patterns/nothing"])
def test_page_allows_only_its_own_files(collector: Any, path: str) -> None:
    """No inline script or style stands in it, and the policy would stop one."""
    answer = collector.get(path)
    policy = answer.headers["content-security-policy"]
    assert policy.startswith("default-src 'none'; script-src 'self'; style-src 'self';")
    assert "unsafe" not in policy
    assert re.search(r"<style|<script(?![^>]* src=)|\son\w+=|\sstyle=", answer.text) is None
    assert re.findall(r'(?:href|src|action)="(?!/|#|data:,)[^"]*"', answer.text) == []


def test_connection_page_tells_cause_and_fix(collector: Any) -> None:
    """With the process's own words about where it happened."""
    text = collector.get(f"/connections/{newest(collector, '/ws/moderated')}").text
    assert "close(4409) at chat.py:35" in text
    assert "let one task own the close" in text
    assert "receive refused by the framework" in text
    assert "CAGRX!RE" in text


@pytest.mark.parametrize("wanted", ["0" * 32, "not-an-id", "%3Cb%3E", "a" * 5000])
def test_unknown_connection_is_answered_by_a_page(collector: Any, wanted: str) -> None:
    """In words, with 404."""
    answer = collector.get(f"/connections/{wanted}")
    assert (answer.status_code, answer.headers["content-type"]) == (404, "text/html; charset=utf-8")
    assert "No such connection" in answer.text


def test_pattern_page_lists_who_showed_it(collector: Any) -> None:
    """The newest first, each with its own page."""
    text = collector.get("/patterns/receive_after_local_close").text
    assert f"/connections/{newest(collector, '/ws/moderated')}" in text
    assert "let one task own the close" in text


def test_pattern_that_nobody_knows_is_answered_by_a_page(collector: Any) -> None:
    """404, in words."""
    answer = collector.get("/patterns/%3Cscript%3E")
    assert (answer.status_code, "<script>" in answer.text) == (404, False)


def test_page_shows_policy_and_canary(collector: Any) -> None:
    """What holds, what is tried on how many, and who did it."""
    settings = {"version": "try-7", "gate": "hold", "readiness_mode": "event"}
    policy = {"schema_version": 1, "environment": "staging", **settings}
    account = {"by": "<b>alice</b>", "reason": "cold starts"}
    for step, values in (("propose", {"policy": policy}), ("promote", {"share": 0.1})):
        url = f"{collector.url}/api/v1/policy/staging/{step}"
        answer = collector.client.post(url, json={**values, **account})
        assert answer.status_code == 200, answer.text
    text = text_with(collector, "/?environment=staging", "for 10 % of connections")
    assert "&lt;b&gt;alice&lt;/b&gt;" in text


def test_page_shows_how_a_canary_does(fresh_collector: Any) -> None:
    """Both sides in numbers, since the canary got its share, and that nobody has judged it yet."""
    policy = {"schema_version": 1, "environment": "production", "version": "try-8", "gate": "hold"}
    for step, values in (("propose", {"policy": policy}), ("promote", {"share": 0.2})):
        url = f"{fresh_collector.url}/api/v1/policy/production/{step}"
        fresh_collector.client.post(url, json={**values, "by": "alice", "reason": "cold starts"}).raise_for_status()
    tried = {"acceptfirst.policy.arm": "canary", "acceptfirst.policy.version": "try-8"}
    for more in (tried, {}):
        fresh_collector.settle(fresh_collector.handshake(age_s=-2, more=more))
    fresh_collector.client.post(f"{fresh_collector.url}/api/v1/jobs/alerts", timeout=60).raise_for_status()
    text = text_with(fresh_collector, "/", "Since then, over all routes")
    sides = re.findall(r'<th scope="row">(canary|in force)</th><td class="number">(\d+)</td>', text)
    assert sides == [("canary", "1"), ("in force", "1")]
    assert "A sequential test looks at it each minute" in text


def test_page_shows_only_what_raced_when_it_is_asked_to(collector: Any) -> None:
    """By a link, so without script too; the events go on with the same choice."""
    assert 'href="/?environment=&amp;racing=1"' in collector.get("/").text
    text = collector.get("/", params={"racing": "1"}).text
    lanes = re.search(r'<ol class="lanes">(.*?)</ol>', text, re.DOTALL)
    assert lanes is not None
    assert (lanes[1].count("<li>"), lanes[1].count("/ws/moderated</bdi>")) == (3, 3)
    assert 'data-events="/events?environment=&amp;racing=1"' in text
    with collector.client.stream("GET", f"{collector.url}/events?racing=1") as answer:
        data = next(line for line in answer.iter_lines() if line.startswith("data: "))
    parts = {part["name"]: part["html"] for part in json.loads(data.removeprefix("data: "))}
    assert parts["lanes"].count("<li>") == 3


def test_page_says_what_the_last_day_meant_for_users(collector: Any) -> None:
    """Share that got ready, connections that were hit, and the time that they cost."""
    text = collector.get("/", params={"environment": "production"}).text
    value = dict(re.findall(r'<tr><th scope="row">([^<]*)</th><td class="number">([^<]*)</td>', text))
    assert value["handshakes"] == "45"
    assert value["reached ready"] == f"{100 * 43 / 45:.3g} %"
    assert (value["connections hit"], value["users hit"]) == ("3", "not known")
    assert value["users\N{RIGHT SINGLE QUOTATION MARK} time lost"] == "15 s"


def test_page_shows_a_recommendation_with_its_evidence(collector: Any) -> None:
    """As soon as one was made."""
    url = f"{collector.url}/api/v1/jobs/recommend"
    answer = collector.client.post(url, json={"environment": "staging"}, timeout=100)
    assert answer.status_code == 200, answer.text
    rationale = answer.json()["recommendations"][0]["rationale"].split(":")[0].split("'")[0]
    assert "20 handshakes, 0 of them never ready" in text_with(collector, "/?environment=staging", rationale)


def test_events_bring_the_parts(collector: Any) -> None:
    """All of them at first, each with its digest."""
    with collector.client.stream("GET", f"{collector.url}/events") as answer:
        assert answer.headers["content-type"].startswith("text/event-stream")
        data = next(line for line in answer.iter_lines() if line.startswith("data: "))
    parts = json.loads(data.removeprefix("data: "))
    assert {part["name"] for part in parts} == {
        "status",
        "lanes",
        "open",
        "alerts",
        "races",
        "value",
        "advice",
        "policy",
    }
    assert all(part["digest"] and "<section" in part["html"] for part in parts)


def test_page_cuts_and_shows_what_is_long_or_invisible(collector: Any) -> None:
    """A megabyte of path and an override of the writing direction: the page stays small, and both can be seen."""
    route, error = "/ws/\u202egnp.exe/" + "x" * 1_000_000, {"error.type": "م" * 200_000}
    connection = collector.handshake(route=route, environment="long", last=error)
    collector.settle(connection)
    pages = [collector.get(path) for path in ("/?environment=long", f"/connections/{connection}")]
    assert all(len(page.content) < PAGE_BYTES_MAX for page in pages)
    assert all("⟨U+202E⟩gnp.exe" in page.text and "\u202e" not in page.text for page in pages)
    assert "<bdi>ممم" in pages[1].text


# -- who may read it ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", ["/", "/patterns", "/reports", f"/connections/{'0' * 32}"])
def test_page_asks_for_the_token_when_serve_has_one(guarded_collector: Any, path: str) -> None:
    """401 and a form; a program with the header gets the page."""
    answer = httpx.get(guarded_collector.url + path, trust_env=False)
    assert (answer.status_code, 'name="token"' in answer.text) == (401, True)
    assert 'name="token"' not in guarded_collector.get(path).text


def test_login_gives_a_cookie_that_scripts_and_other_sites_do_not_get(guarded_collector: Any) -> None:
    """HttpOnly, SameSite, and not the token itself."""
    answer = log_in(guarded_collector, guarded_collector.token)
    cookie = answer.headers["set-cookie"]
    assert answer.status_code == 303
    assert "HttpOnly" in cookie
    assert "SameSite=strict" in cookie
    assert guarded_collector.token not in cookie


@pytest.mark.parametrize("token", ["", "wrong", "tökén", "x" * 5000, "a\r\nb"])
def test_login_is_refused_when_the_token_is_wrong(guarded_collector: Any, token: str) -> None:
    """With the form again, and no cookie."""
    answer = log_in(guarded_collector, token)
    assert answer.status_code in (401, 413)
    assert "set-cookie" not in answer.headers
    assert "not a token of this collector" in answer.text


def test_login_is_refused_when_the_form_is_another_sites(guarded_collector: Any) -> None:
    """Nobody is logged in, or out, by a page that they happen to look at."""
    answer = log_in(guarded_collector, guarded_collector.token, **{"Sec-Fetch-Site": "cross-site"})
    assert (answer.status_code, "set-cookie" in answer.headers) == (403, False)


def test_cookie_opens_the_page_and_nothing_else(guarded_collector: Any) -> None:
    """Not the API, not the intake, and no change of anything."""
    log_in_answer = log_in(guarded_collector, guarded_collector.token)
    with httpx.Client(base_url=guarded_collector.url, cookies=log_in_answer.cookies, trust_env=False) as client:
        assert client.get("/").status_code == 200
        assert client.get("/api/v1/handshakes").status_code == 401
        assert client.post("/v1/traces", content=b"").status_code == 401
        assert client.post("/").status_code == 401
        client.post("/logout")
    assert httpx.get(guarded_collector.url, cookies=log_in_answer.cookies, trust_env=False).status_code == 401


def test_events_are_refused_when_nobody_is_logged_in(guarded_collector: Any) -> None:
    """In one line; a browser stops asking by itself."""
    assert httpx.get(f"{guarded_collector.url}/events", trust_env=False).status_code == 401
