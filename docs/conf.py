"""Builds the site from the Markdown that GitHub shows, with Sphinx: `make site`.

The pages are written for GitHub: plain Markdown, relative links, an index of links in each folder's README. What a site
needs beyond that is made here: its navigation is the links of these indices, in their order, so that there is one and a
page that no index names is an error.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path, PurePosixPath
from typing import Final
from urllib.parse import unquote

from pygments.lexers.special import TextLexer
from sphinx.application import Sphinx

ROOT: Final = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "instrumentation"))  # the version, where the package is not installed

import acceptfirst  # noqa: E402 - after the path

project = "AcceptFirst"
version = release = acceptfirst.__version__
copyright = "the authors of AcceptFirst, Apache 2.0"  # noqa: A001 - Sphinx's name for it

extensions = ["myst_parser"]
root_doc = "docs/README"
include_patterns = [
    "README.md",
    "CONTRIBUTING.md",
    "CHANGELOG.md",
    "changelog.d/README.md",
    "dashboards/README.md",
    "docs/**.md",
    "examples/chat/README.md",
]
exclude_patterns = [".*", ".*/**", "build/**", "tests/**", "benchmarks/**", "**/node_modules/**"]
myst_heading_anchors = 4  # as GitHub makes them
myst_enable_extensions = ["attrs_inline"]
nitpicky = True

html_theme = "furo"
html_title = f"AcceptFirst {release}"
html_additional_pages = {"index": "start.html"}  # the site's address leads to the index of docs/
templates_path = ["site"]
html_show_sphinx = False
html_copy_source = False

LINK: Final = re.compile(r"(?<!!)\[[^\]]*\]\(([^)#\s]+)(?:#[^)]*)?\)")
PICTURE: Final = re.compile(
    r'<picture>\s*<source [^>]*srcset="([^"]+)">\s*<img alt="([^"]*)" src="([^"]+)">\s*</picture>'
)
FOLDER: Final = re.compile(r"(?<!!)\[([^\]]*)\]\(([^)#\s]+)\)")
FENCE: Final = re.compile(r"^( *)```.*?^\1```", re.MULTILINE | re.DOTALL)


def navigation(page: str, text: str) -> str:
    """The table of contents that an index's links make: those below its own folder, and for the root those beside it.

    Args:
        page: the index, as a path below the root of the repository.
        text: its Markdown.

    Returns:
        Directives for MyST, one for each section of the index that has links.
    """
    made, seen = [], {page}
    for section in re.split(r"^(?=## )", FENCE.sub("", text), flags=re.MULTILINE):
        targets = [_below_root(page, unquote(target)) for target in LINK.findall(section) if target.endswith(".md")]
        fresh = [target for target in dict.fromkeys(targets) if target not in seen and _is_named_by(page, target)]
        seen.update(fresh)
        if fresh:
            title = re.match(r"## (.+)", section)
            caption = [f":caption: {title[1]}"] if title and page == f"{root_doc}.md" else []
            entries = [f"/{target.removesuffix('.md')}" for target in fresh]
            made.append("\n".join(["```{toctree}", ":hidden:", *caption, "", *entries, "```"]))
    return "\n\n".join(made)


def _below_root(page: str, target: str) -> str:
    joined = (ROOT / PurePosixPath(page).parent / target).resolve()
    return joined.relative_to(ROOT).as_posix() if joined.is_relative_to(ROOT) else ""


def _is_named_by(page: str, target: str) -> bool:
    """Whether this index is the one that puts the page into the tree: the root's, else the one of its own folder."""
    folder = PurePosixPath(target).parent
    own = (folder / "README.md").as_posix()
    if page == f"{root_doc}.md":
        return target == own or not (ROOT / own).exists() or folder.as_posix() in {".", "docs"}
    return own == page


def adapt(app: Sphinx, page: str, source: list[str]) -> None:
    """Give an index its table of contents, and say in MyST what GitHub understands without."""
    del app
    text = PICTURE.sub(r"![\2](\1){.only-dark}\n![\2](\3){.only-light}", source[0])
    text = FOLDER.sub(lambda link: _folder_link(f"{page}.md", link[1], link[2]), text)
    if page.endswith("README"):
        text += "\n\n" + navigation(f"{page}.md", text) + "\n"
    source[0] = text


def _folder_link(page: str, words: str, target: str) -> str:
    """A link to a folder leads to its index; a folder of code has none, so its words stay."""
    folder = ROOT / _below_root(page, target)
    if "://" in target or not folder.is_dir():
        return f"[{words}]({target})"
    return f"[{words}]({target.rstrip('/')}/README.md)" if (folder / "README.md").exists() else words


def setup(app: Sphinx) -> None:
    """What Sphinx calls when it begins."""
    app.add_lexer("mermaid", TextLexer)
    app.add_lexer("promql", TextLexer)
    app.connect("source-read", adapt)
