"""A policy file that is read while it is written: half of it is never taken, also where half is a policy of its own."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest

from acceptfirst.policy.feed import Feed
from acceptfirst.policy.source import FileSource

BEFORE = """schema_version = 1
[testing]
version = "before"
"""
WHOLE = """schema_version = 1
[production]
handshake_timeout_ms = 5000
[testing]
version = "whole"
handshake_timeout_ms = 2000
delay_ladder_ms = [10, 20]
"""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A policy file."""
    file = tmp_path / "policy.toml"
    file.write_text(BEFORE)
    return file


@pytest.fixture
def feed(path: Path) -> Feed:
    """A feed of the file, which has read it once."""
    made = Feed(FileSource(path, "testing"), "testing", 30.0)
    made.read()
    return made


def version(feed: Feed) -> str:
    """Of the policy that holds."""
    assert feed.policy is not None
    return feed.policy.version


def test_first_reading_is_taken_at_once(feed: Feed) -> None:
    """Nothing held before: an application that starts does not wait for a second look."""
    assert version(feed) == "before"


@pytest.mark.parametrize("length", range(len(WHOLE)))
def test_feed_takes_no_half_of_a_policy_when_it_is_read_while_it_is_written(
    path: Path, feed: Feed, length: int
) -> None:
    """What held before holds until the whole is there, and has been seen twice."""
    path.write_text(WHOLE[:length])
    feed.read()
    held_meanwhile = version(feed)
    path.write_text(WHOLE)
    feed.read()
    held_before = version(feed)
    feed.read()

    assert (held_meanwhile, held_before) == ("before", "before")
    assert feed.policy is not None
    assert (feed.policy.version, feed.policy.handshake_timeout_ms) == ("whole", 2000)


def test_feed_looks_soon_at_a_file_that_has_just_changed(
    path: Path, feed: Feed, caplog: pytest.LogCaptureFixture
) -> None:
    """A second later, and without a word: nothing is wrong."""
    path.write_text(WHOLE[:50])
    with caplog.at_level(logging.INFO, "acceptfirst"):
        pause_s = feed.read()

    assert pause_s <= 1.1
    assert caplog.records == []
