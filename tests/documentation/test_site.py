"""The documentation builds into a site that needs no network, and a mistake in it is an error."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
DOCS = ROOT / "docs"
INDEX = "# Index\n\n## Pages\n\n- [first](first.md)\n\n"


def build(source: Path, target: Path) -> subprocess.CompletedProcess[str]:
    """Build it as `make site` does."""
    options = ["--quiet", "--fail-on-warning", "--keep-going", "-c", str(source / "docs"), "-d", str(target / "cache")]
    command = [sys.executable, "-m", "sphinx", *options, str(source), str(target / "site")]
    return subprocess.run(command, check=False, capture_output=True, text=True)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The site of this repository."""
    target = tmp_path_factory.mktemp("site")
    done = build(ROOT, target)
    assert (done.returncode, done.stderr) == (0, "")
    return target / "site"


class Loaded(HTMLParser):
    """What a browser fetches for a page by itself."""

    def __init__(self) -> None:
        super().__init__()
        self.addresses: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Keep the addresses of everything but links to follow."""
        self.addresses += [value or "" for name, value in attrs if name in {"src", "href", "srcset"} and tag != "a"]


def test_site_has_a_page_of_every_page(site: Path) -> None:
    """Nothing of docs/ is left out."""
    pages = {path.relative_to(ROOT).with_suffix(".html") for path in DOCS.rglob("*.md")}
    assert {page for page in pages if not (site / page).exists()} == set()


def test_site_asks_no_other_host_for_anything(site: Path) -> None:
    """No font, script, style or picture from elsewhere."""
    loaded = set()
    for path in site.rglob("*.html"):
        parser = Loaded()
        parser.feed(path.read_text(encoding="utf-8"))
        loaded |= set(parser.addresses)
    styles = "".join(path.read_text(encoding="utf-8") for path in site.rglob("*.css"))
    loaded |= set(re.findall(r"(?:@import|url\()\s*['\"]?([^'\")\s]+)", styles))
    assert {address for address in loaded if re.match(r"(https?:)?//", address)} == set()


def test_site_begins_with_the_index(site: Path) -> None:
    """Whoever opens it need not know where that is."""
    target = re.search(r"url=([^\"]+)", (site / "index.html").read_text(encoding="utf-8"))
    assert target
    assert (site / target[1]).exists()


def test_navigation_has_the_sections_of_the_index(site: Path) -> None:
    """The site and GitHub show one table of contents."""
    sections = re.findall(r"^## (.+)$", (DOCS / "README.md").read_text(encoding="utf-8"), re.MULTILINE)
    page = (site / "docs" / "README.html").read_text(encoding="utf-8")
    assert re.findall(r'class="caption-text">([^<]+)<', page) == sections


MISTAKES = {
    "page": ("See [it](gone.md).", "gone.md"),
    "anchor": ("See [it](README.md#no-such-part).", "no-such-part"),
    "picture": ("![it](gone.png)", "gone.png"),
    "code": ("```json\nnot json\n```", "lexing"),
}


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A repository with an index and one page, built by this one's settings."""
    source = tmp_path_factory.mktemp("small")
    (source / "docs").mkdir()
    shutil.copy(DOCS / "conf.py", source / "docs")
    shutil.copytree(DOCS / "site", source / "docs" / "site")
    (source / "docs" / "README.md").write_text(INDEX)
    (source / "docs" / "first.md").write_text("# First\n\n## A part\n\nText, see [there](#a-part).\n")
    return source


@pytest.fixture(scope="module")
def refused(small: Path, tmp_path_factory: pytest.TempPathFactory) -> subprocess.CompletedProcess[str]:
    """What its build says when every kind of mistake is in it."""
    source = tmp_path_factory.mktemp("broken") / "repository"
    shutil.copytree(small, source)
    with (source / "docs" / "first.md").open("a") as page:
        page.writelines(f"\n{text}\n" for text, _ in MISTAKES.values())
    (source / "docs" / "orphan.md").write_text("# Orphan\n")
    return build(source, source / "build")


def test_small_site_without_a_mistake_is_built(small: Path, tmp_path: Path) -> None:
    """What the next tests break."""
    done = build(small, tmp_path)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize("mistake", MISTAKES)
def test_site_is_refused_with_what_leads_nowhere(refused: subprocess.CompletedProcess[str], mistake: str) -> None:
    """A link, an anchor, a picture, or code that is none, each by what it says."""
    assert refused.returncode != 0
    assert MISTAKES[mistake][1] in refused.stderr.lower()


def test_site_is_refused_with_a_page_that_no_index_names(refused: subprocess.CompletedProcess[str]) -> None:
    """Nobody would find it."""
    assert "orphan.md: warning: document isn't included in any toctree" in refused.stderr.lower()
