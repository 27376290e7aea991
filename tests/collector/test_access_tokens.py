"""Tokens: what a file may hold, how one is found, and how a file is changed under a running collector."""

from __future__ import annotations

import hashlib
import hmac
import pathlib

import pytest

from acceptfirst_collector.access import tokens as tokens_module
from acceptfirst_collector.access.admission import is_local, needed_scopes
from acceptfirst_collector.access.tokens import ALL_SCOPES, Scope, TokenFileError, TokenKeeper, read_tokens

DIGEST = hashlib.sha256(b"from-a-hash").hexdigest()


@pytest.fixture
def path(tmp_path: pathlib.Path) -> pathlib.Path:
    """Where the test writes its tokens."""
    return tmp_path / "tokens"


def test_file_names_tokens_with_their_scopes(path: pathlib.Path) -> None:
    """In plain or as a digest, comments and blank lines between; admin may read."""
    path.write_text(f"# who scopes token\n\nbackends ingest sha256:{DIGEST}\nops admin plain-token\nalone\n")
    found = {token.name: token.scopes for token in read_tokens(path)}
    assert found == {"backends": {Scope.INGEST}, "ops": {Scope.ADMIN, Scope.READ}, "token": ALL_SCOPES}


@pytest.mark.parametrize("given", ["from-a-hash", "plain-token", "fixed"])
def test_keeper_finds_a_token_however_it_is_kept(path: pathlib.Path, given: str) -> None:
    """Hashed in the file, in plain in the file, from the environment."""
    path.write_text(f"a ingest sha256:{DIGEST}\nb read plain-token\n")
    assert TokenKeeper("fixed", path).find(given) is not None


@pytest.mark.parametrize("given", ["", "wrong", DIGEST, f"sha256:{DIGEST}", "plain-toke", "plain-token "])
def test_keeper_finds_no_token_that_is_not_one(path: pathlib.Path, given: str) -> None:
    """Least of all the digest itself."""
    path.write_text(f"a ingest sha256:{DIGEST}\nb read plain-token\n")
    assert TokenKeeper("", path).find(given) is None


def test_keeper_keeps_no_token_in_plain(path: pathlib.Path) -> None:
    """Neither as an attribute nor in its repr."""
    path.write_text("b read plain-token\n")
    keeper = TokenKeeper("fixed-token", path)
    assert "plain-token" not in repr(vars(keeper))
    assert "fixed-token" not in repr(vars(keeper))


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "there is none"),
        ("# only a comment", "there is none"),
        ("two words", "line 1; got 2 words"),
        ("a nonsense token", "expected scopes of ingest, read, admin"),
        ("a ingest sha256:abc", "expected 64 hex digits"),
        ("a! ingest token", "expected a name"),
        ("caf\u00e9", "printable ASCII"),
    ],
)
def test_file_that_can_not_be_used_says_which_line(path: pathlib.Path, text: str, words: str) -> None:
    """And never what stands in it."""
    path.write_text(text)
    with pytest.raises(TokenFileError, match=words) as refused:
        read_tokens(path)
    assert "abc" not in str(refused.value).replace(str(path), "")


def test_keeper_notices_a_changed_file(path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a signal: the new token holds, the old one doesn't."""
    monkeypatch.setattr(tokens_module, "LOOK_SECONDS", 0.0)
    path.write_text("old-token")
    keeper = TokenKeeper("", path)
    path.write_text("new-token-that-is-longer")
    assert keeper.find("new-token-that-is-longer") is not None
    assert keeper.find("old-token") is None


def test_keeper_keeps_its_tokens_when_the_new_file_is_wrong(
    path: pathlib.Path, caplog: pytest.LogCaptureFixture
) -> None:
    """A slip must not lock everybody out; the log says so."""
    path.write_text("old-token")
    keeper = TokenKeeper("", path)
    path.write_text("two words")
    keeper.reload()
    assert keeper.find("old-token") is not None
    assert "the tokens stay as they are" in caplog.text


def test_keeper_still_asks_for_a_token_when_its_file_is_gone(path: pathlib.Path) -> None:
    """A missing file must not open the door."""
    path.write_text("old-token")
    keeper = TokenKeeper("", path)
    path.unlink()
    keeper.reload()
    assert keeper.are_required
    assert keeper.find("anything") is None


def test_every_token_is_compared_however_early_one_fits(path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """So that the time tells nothing."""
    path.write_text("a read one\nb read two\nc read three\n")
    keeper = TokenKeeper("", path)
    compared: list[bytes] = []
    compare = hmac.compare_digest

    def count(left: bytes, right: bytes) -> bool:
        compared.append(left)
        return compare(left, right)

    monkeypatch.setattr(hmac, "compare_digest", count)
    for given in ("one", "nothing"):
        compared.clear()
        keeper.find(given)
        assert len(compared) == 4  # three of the file, and this process's own


@pytest.mark.parametrize(
    ("method", "path", "scopes"),
    [
        ("POST", "/v1/traces", {"ingest"}),
        ("GET", "/api/v1/handshakes", {"read"}),
        ("GET", "/metrics", {"read"}),
        ("GET", "/", {"read"}),
        ("POST", "/api/v1/statements/x", {"read"}),
        ("GET", "/api/v1/policy/testing", {"ingest", "read"}),
        ("POST", "/api/v1/policy/testing/promote", {"admin"}),
        ("POST", "/api/v1/jobs/classify", {"admin"}),
        ("DELETE", "/api/v1/anything", {"admin"}),
        ("POST", "/something/new", {"admin"}),
    ],
)
def test_each_request_needs_its_scope(method: str, path: str, scopes: set[str]) -> None:
    """What is not known to only read needs admin."""
    assert needed_scopes(method, path) == scopes


@pytest.mark.parametrize(
    ("host", "expected"),
    [
        ("localhost:4318", True),
        ("127.0.0.1", True),
        ("127.9.9.9:1", True),
        ("[::1]:4318", True),
        ("evil.example", False),
        ("127.0.0.1.evil.example", False),
        ("", False),
        ("[", False),
    ],
)
def test_host_is_told_to_be_this_machine(host: str, expected: bool) -> None:
    """By its name or address, with or without a port."""
    assert is_local(host) is expected


def test_look_is_taken_once_a_second_at_most(path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The disk is not asked for each request."""
    path.write_text("token")
    keeper = TokenKeeper("", path)
    asked: list[pathlib.Path | None] = []
    monkeypatch.setattr(tokens_module, "_state", asked.append)
    for _ in range(100):
        keeper.find("token")
    assert len(asked) <= 1
