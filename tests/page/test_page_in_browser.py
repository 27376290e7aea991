"""The page in a real browser: it can be read by everybody, stays fresh, and runs nobody else's code."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from playwright.sync_api import expect

SHOWN = ("/", "/?environment=staging", "/patterns", "/patterns/receive_after_local_close", "/reports", "/connections/0")
PATIENCE_MS = 30_000


def newest(collector: Any, route: str) -> str:
    """The id of the newest connection of a route."""
    (row,) = collector.get("/api/v1/handshakes", params={"route": route, "limit": 1}).json()["handshakes"]
    return str(row["connection_id"])


@pytest.mark.parametrize("path", SHOWN)
def test_axe_finds_nothing_when_a_page_is_shown(
    collector: Any, open_page: Any, accessibility_problems: Callable[[Any], list[str]], path: str
) -> None:
    """Each page with data, light and dark."""
    assert accessibility_problems(open_page(collector.url + path)) == []


def test_axe_finds_nothing_when_a_connection_is_shown(
    collector: Any, open_page: Any, accessibility_problems: Callable[[Any], list[str]]
) -> None:
    """One with a race, its timeline and its facts."""
    page = open_page(f"{collector.url}/connections/{newest(collector, '/ws/moderated')}")
    page.evaluate("document.querySelectorAll('details').forEach(each => { each.open = true; })")
    assert accessibility_problems(page) == []


def test_axe_finds_nothing_when_nothing_is_stored(
    empty_collector: Any, open_page: Any, accessibility_problems: Callable[[Any], list[str]]
) -> None:
    """The first thing that anybody sees."""
    assert accessibility_problems(open_page(empty_collector.url)) == []


def test_axe_finds_nothing_when_the_token_is_asked_for(
    guarded_collector: Any, open_page: Any, accessibility_problems: Callable[[Any], list[str]]
) -> None:
    """The form, also after a wrong token."""
    page = open_page(guarded_collector.url)
    page.get_by_label("Token").fill("wrong")
    page.get_by_role("button", name="Log in").click()
    expect(page.get_by_role("alert")).to_be_visible()
    assert accessibility_problems(page) == []


@pytest.mark.parametrize("path", SHOWN)
def test_page_fits_when_the_window_is_narrow_or_wide(collector: Any, open_page: Any, path: str) -> None:
    """Nothing sticks out to the side."""
    page = open_page(collector.url + path)
    for width in (390, 768, 1440):
        page.set_viewport_size({"width": width, "height": 900})
        assert page.evaluate("document.documentElement.scrollWidth") <= width


def test_page_shows_everything_when_there_is_no_script(collector: Any, open_page: Any) -> None:
    """Drawn by the server; a reload keeps it fresh, and a link stops that."""
    page = open_page(collector.url, script=False)
    assert page.locator(".lanes li").count() > 40
    assert page.locator("meta[http-equiv=refresh]").count() == 1
    page.get_by_role("link", name="Pause").click()
    assert page.locator("meta[http-equiv=refresh]").count() == 0
    expect(page.get_by_role("link", name="Resume")).to_be_visible()


def test_page_shows_a_new_handshake_without_a_reload(collector: Any, open_page: Any) -> None:
    """It is sent while somebody looks, and comes to be seen."""
    page = open_page(collector.url)
    page.evaluate("window.untouched = true")
    connection = collector.handshake(age_s=0.5)
    link = page.locator(f'a[href="/connections/{connection}"]')
    expect(link).to_have_count(1, timeout=PATIENCE_MS)
    assert page.evaluate("window.untouched") is True


def test_empty_page_fills_when_the_first_handshake_comes(fresh_collector: Any, open_page: Any) -> None:
    """Whoever waits for it need not reload."""
    page = open_page(fresh_collector.url)
    expect(page.get_by_role("heading", name="Instrument an application")).to_be_visible()
    connection = fresh_collector.handshake(age_s=0.5)
    expect(page.locator(f'a[href="/connections/{connection}"]')).to_have_count(1, timeout=PATIENCE_MS)


def test_page_stands_still_when_it_is_paused(collector: Any, open_page: Any) -> None:
    """Paused it shows nothing new; resumed it does."""
    page = open_page(collector.url)
    page.get_by_role("button", name="Pause").click()
    connection = collector.handshake(age_s=0.5)
    collector.settle(connection)
    other = open_page(collector.url)  # somebody else sees it at once
    expect(other.locator(f'a[href="/connections/{connection}"]')).to_have_count(1, timeout=PATIENCE_MS)
    assert page.locator(f'a[href="/connections/{connection}"]').count() == 0
    page.get_by_role("button", name="Resume").click()
    expect(page.locator(f'a[href="/connections/{connection}"]')).to_have_count(1, timeout=PATIENCE_MS)


def test_page_keeps_the_focus_when_a_part_is_replaced(collector: Any, open_page: Any) -> None:
    """Whoever walks through the rows by keyboard is not thrown back to the top."""
    page = open_page(collector.url)
    link = page.locator(".lanes a").first
    target = link.get_attribute("href")
    link.focus()
    connection = collector.handshake(age_s=0.5)
    expect(page.locator(f'a[href="/connections/{connection}"]')).to_have_count(1, timeout=PATIENCE_MS)
    assert page.evaluate("document.activeElement.getAttribute('href')") == target


def test_page_can_be_walked_by_keyboard(collector: Any, open_page: Any) -> None:
    """The first stop leads past the head; every row can be opened with Enter."""
    page = open_page(collector.url)
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.textContent") == "Skip to the content"
    page.keyboard.press("Enter")
    assert page.evaluate("document.activeElement.id") == "main"
    page.locator(".lanes a").first.focus()
    page.keyboard.press("Enter")
    page.wait_for_url("**/connections/*")


def test_page_remembers_the_theme_that_was_chosen(collector: Any, open_page: Any) -> None:
    """Dark by choice stays dark on the next page."""
    page = open_page(collector.url)
    page.get_by_role("button", name="Dark").click()
    page.get_by_role("link", name="Races").first.click()
    page.wait_for_url("**/patterns")
    expect(page.locator("html")).to_have_attribute("data-theme", "dark")


def test_page_asks_nobody_else_for_anything(collector: Any, open_page: Any) -> None:
    """Every request goes to the collector."""
    page = open_page("about:blank")
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.goto(collector.url, wait_until="load")
    page.goto(f"{collector.url}/connections/{newest(collector, '/ws/moderated')}", wait_until="load")
    assert asked
    assert [url for url in asked if not url.startswith((collector.url, "data:,"))] == []


def test_page_runs_no_code_of_a_stranger(collector: Any, open_page: Any) -> None:
    """Script in a route, a service, a reason and an agent is shown as text, and nothing is even refused."""
    attack = '<img src=x onerror="window.owned=1"><script>window.owned=1</script>\'"><svg/onload=window.owned=1>'
    evidence = f"close(4000, '{attack}') by {attack}"
    connection = collector.handshake(
        route=f"/ws/{attack}",
        service=attack,
        environment=f"evil{attack}",
        race="receive_after_local_close",
        evidence=evidence,
        last={"error.type": attack, "acceptfirst.close.initiator": attack},
    )
    collector.settle(connection)
    page = open_page("about:blank")
    complaints: list[str] = []
    page.on("console", lambda message: complaints.append(message.text))
    page.on("pageerror", lambda error: complaints.append(str(error)))
    for path in ("/", f"/connections/{connection}", "/patterns/receive_after_local_close"):
        page.goto(collector.url + path, wait_until="load")
        expect(page.locator(f'a[href="/connections/{connection}"], h1 code').first).to_be_visible()
        assert page.evaluate("window.owned") is None
        assert page.evaluate("document.querySelectorAll('img, script:not([src])').length") == 0
    assert complaints == []


def test_somebody_with_the_token_can_log_in_and_out(guarded_collector: Any, open_page: Any) -> None:
    """By the form; the live page then also stays fresh."""
    page = open_page(guarded_collector.url)
    page.get_by_label("Token").fill(guarded_collector.token)
    page.get_by_role("button", name="Log in").click()
    expect(page.get_by_role("button", name="Log out")).to_be_visible()
    connection = guarded_collector.handshake(age_s=0.5)
    expect(page.locator(f'a[href="/connections/{connection}"]')).to_have_count(1, timeout=PATIENCE_MS)
    page.get_by_role("button", name="Log out").click()
    expect(page.get_by_label("Token")).to_be_visible()
