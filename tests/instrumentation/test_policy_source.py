"""Files and collectors that misbehave: the last good policy holds, and trouble is told once."""

from __future__ import annotations

import contextlib
import gc
import json
import logging
import os
import socket
import threading
import time
from collections.abc import Callable, Hashable, Iterator
from dataclasses import dataclass, field, replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from acceptfirst.policy import CollectorPolicy, Policy, PolicyError, policy_to_document
from acceptfirst.policy.feed import BACKOFF_INTERVALS_MAX, INTERVAL_VARIABLE, Feed, feed_of
from acceptfirst.policy.source import FileSource, NothingStored, source_of

GOOD = Policy(environment="testing", version="v1")
SECRET = "hush-hush"  # noqa: S105 - what must not be told
BETTER = replace(GOOD, version="v2", handshake_timeout_ms=150.0)


def document(policy: Policy) -> bytes:
    """What a collector sends."""
    return json.dumps(policy_to_document(policy)).encode()


def toml(version: str, environment: str = "testing") -> str:
    """A policy file."""
    return f'schema_version = 1\n[{environment}]\nversion = "{version}"\n'


Answer = Callable[["Collector", BaseHTTPRequestHandler], None]


@dataclass
class Collector:
    """A real HTTP server that answers as it is told, and remembers what it was asked."""

    answer: Answer
    url: str = ""
    asked: list[tuple[str, dict[str, str]]] = field(default_factory=list)
    released: threading.Event = field(default_factory=threading.Event)

    def headers(self) -> dict[str, str]:
        """The headers of the last request, names in lower case."""
        return {name.lower(): value for name, value in self.asked[-1][1].items()}

    def serves(self, policy: Policy, etag: str | None = None) -> None:
        """Answer with a policy from now on; 304 to whoever has it, where it has an ETag."""

        def answer(_: Collector, request: BaseHTTPRequestHandler) -> None:
            if etag is not None and request.headers["If-None-Match"] == etag:
                reply(request, 304)
            else:
                reply(request, 200, document(policy), **({"ETag": etag} if etag else {}))

        self.answer = answer


def reply(request: BaseHTTPRequestHandler, status: int, body: bytes = b"", **headers: str) -> None:
    """One answer."""
    request.send_response(status)
    for name, value in {"Content-Length": str(len(body)), **headers}.items():
        request.send_header(name.replace("_", "-"), value)
    request.end_headers()
    request.wfile.write(body)


@pytest.fixture
def collector() -> Iterator[Collector]:
    """A collector on a free port of the loopback."""
    collector = Collector(lambda _, request: reply(request, 200, document(GOOD)))

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            collector.asked.append((self.path, dict(self.headers)))
            with contextlib.suppress(ConnectionError):  # the client had enough
                collector.answer(collector, self)

        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the name is the base class's
            """Nothing on standard error."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        collector.url = f"http://127.0.0.1:{server.server_port}"
        try:
            yield collector
        finally:
            collector.released.set()
            server.shutdown()
            thread.join()


def source(collector: Collector, **options: Any) -> Any:
    """The collector as a source of testing's policy."""
    return source_of(CollectorPolicy(collector.url, **{"timeout_s": 1.0, **options}), "testing")


# -- a collector that is well ------------------------------------------------------------------------------------------


def test_source_asks_for_its_environment_and_sends_its_token(collector: Collector) -> None:
    """The path is the contract's, the token a bearer's."""
    assert source(collector, token=SECRET).read() == GOOD
    assert collector.asked[0][0] == "/api/v1/policy/testing"
    assert collector.headers()["authorization"] == f"Bearer {SECRET}"


@pytest.mark.parametrize(
    ("path", "asked"),
    [
        ("", "/api/v1/policy/testing"),
        ("/", "/api/v1/policy/testing"),
        ("/behind/a/proxy/", "/behind/a/proxy/api/v1/policy/testing"),
        ("/api/v1/policy/testing", "/api/v1/policy/testing"),
    ],
)
def test_source_completes_a_collectors_address(collector: Collector, path: str, asked: str) -> None:
    """The address of a policy is taken as it is."""
    collector.url += path
    source(collector).read()

    assert collector.asked[0][0] == asked


def test_source_sends_no_token_when_there_is_none(collector: Collector, monkeypatch: pytest.MonkeyPatch) -> None:
    """Not even an empty one."""
    monkeypatch.delenv("ACCEPTFIRST_TOKEN", raising=False)
    source(collector).read()

    assert "authorization" not in collector.headers()


def test_source_takes_its_token_from_the_environment(collector: Collector, monkeypatch: pytest.MonkeyPatch) -> None:
    """Asked for each time: a new one holds at once."""
    asking = source(collector)
    for token in ("one", "two"):
        monkeypatch.setenv("ACCEPTFIRST_TOKEN", token)
        asking.read()
        assert collector.headers()["authorization"] == f"Bearer {token}"


def test_source_takes_its_token_from_a_file(
    collector: Collector, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """The same file that the commands take."""
    (tmp_path / "token").write_text("from-a-file\n")
    monkeypatch.setenv("ACCEPTFIRST_TOKEN_FILE", str(tmp_path / "token"))
    source(collector).read()

    assert collector.headers()["authorization"] == "Bearer from-a-file"


def test_source_says_that_nothing_has_changed_when_the_etag_holds(collector: Collector) -> None:
    """The second answer is a 304 without a body."""
    collector.serves(GOOD, etag='"1"')
    asking = source(collector)

    assert (asking.read(), asking.read()) == (GOOD, None)
    assert collector.headers()["if-none-match"] == '"1"'


def test_source_forgets_the_etag_of_a_policy_that_it_could_not_use(collector: Collector) -> None:
    """A 304 to a bad answer would make it good."""
    asking = source(collector)
    collector.answer = lambda _, request: reply(request, 200, b"{}", ETag='"bad"')
    for _ in range(2):
        with pytest.raises(PolicyError):
            asking.read()

    assert "if-none-match" not in collector.headers()


# -- a collector that is not -------------------------------------------------------------------------------------------


def half_a_body(_: Collector, request: BaseHTTPRequestHandler) -> None:
    """Fewer bytes than were promised."""
    whole = document(GOOD)
    request.send_response(200)
    request.send_header("Content-Length", str(len(whole)))
    request.end_headers()
    request.wfile.write(whole[: len(whole) // 2])


def half_a_chunk(_: Collector, request: BaseHTTPRequestHandler) -> None:
    """A chunked body that ends inside a chunk."""
    request.protocol_version = "HTTP/1.1"
    request.send_response(200)
    request.send_header("Transfer-Encoding", "chunked")
    request.end_headers()
    request.wfile.write(b"1000\r\n" + document(GOOD))


def without_end(_: Collector, request: BaseHTTPRequestHandler) -> None:
    """As many bytes as are taken, and no length."""
    request.send_response(200)
    request.end_headers()
    for _unused in range(64):
        request.wfile.write(b" " * (1 << 16))


def drip(collector: Collector, request: BaseHTTPRequestHandler) -> None:
    """A byte now and then, each in time, the whole never."""
    request.send_response(200)
    request.end_headers()
    while not collector.released.wait(0.1):
        request.wfile.write(b" ")
        request.wfile.flush()


def hang(collector: Collector, request: BaseHTTPRequestHandler) -> None:
    """No answer at all."""
    collector.released.wait(60)


ILL: dict[str, tuple[Answer, str]] = {
    "hangs": (hang, "expected a policy, but got no answer: timed out"),
    "drips": (drip, "no answer: the answer was not complete after 1 s"),
    "fails": (lambda _, r: reply(r, 500, b"<html>"), "expected status 200 or 304, but got 500 'Internal Server Error'"),
    "is busy": (lambda _, r: reply(r, 503, b'{"message": "the store\\n is away"}'), "but got 503 'the store  is away'"),
    "half a body": (half_a_body, "but the answer broke off after"),
    "half a chunk": (half_a_chunk, "expected a policy, but got no answer: IncompleteRead"),
    "304 unasked": (lambda _, r: reply(r, 304), "expected status 200 or 304, but got 304"),
    "no JSON": (lambda _, r: reply(r, 200, b"<html>"), "expected a policy as JSON, but got"),
    "no UTF-8": (lambda _, r: reply(r, 200, b"\xff\xfe\xfd"), "expected a policy as JSON, but got"),
    "too deep": (lambda _, r: reply(r, 200, b"[" * 100_000), "expected a policy as JSON, but got"),
    "a list": (lambda _, r: reply(r, 200, b"[]"), "expected a table, but got"),
    "other JSON": (lambda _, r: reply(r, 200, b'{"a": 1}'), "expected schema_version = 1, but got None"),
    "too large": (lambda _, r: reply(r, 200, b" " * (1 << 20) + document(GOOD)), "expected at most 1048576 bytes"),
    "without end": (without_end, "expected at most 1048576 bytes"),
    "redirects": (lambda _, r: reply(r, 302, Location="http://127.0.0.1:1/"), r"got a redirect \(302\)"),
    "locked": (lambda _, r: reply(r, 401), "got status 401; set ACCEPTFIRST_TOKEN or"),
    "another site": (lambda _, r: reply(r, 404, b"<html>not here"), "but got 404 'Not Found'"),
    "breaks a guardrail": (
        lambda _, r: reply(r, 200, document(GOOD).replace(b"10.0]", b"500.0]")),
        "a number from 0 to 250, but got 500",
    ),
    "another environment": (
        lambda _, r: reply(r, 200, document(Policy(environment="staging"))),
        "expected the policy of testing, but got 'staging'",
    ),
}


@pytest.mark.parametrize("kind", ILL)
def test_source_says_what_it_expected_and_what_came(collector: Collector, kind: str) -> None:
    """And where; never a traceback, never the token."""
    collector.answer, message = ILL[kind]
    with pytest.raises(PolicyError, match=message) as refused:
        source(collector, token=SECRET).read()

    assert not isinstance(refused.value, NothingStored)
    assert f"{collector.url}/api/v1/policy/testing" in str(refused.value)
    assert "hush" not in str(refused.value)


def test_source_says_that_nobody_listens() -> None:
    """A port that was closed again."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    with pytest.raises(PolicyError, match="expected a policy, but got no answer"):
        source_of(f"http://127.0.0.1:{port}", "testing").read()


def test_source_does_not_follow_a_redirect(collector: Collector) -> None:
    """A token goes where the user said, and nowhere else."""
    collector.answer = lambda _, request: reply(request, 307, Location=f"{collector.url}/elsewhere")
    with pytest.raises(PolicyError):
        source(collector, token=SECRET).read()

    assert len(collector.asked) == 1


def test_source_tells_no_policy_from_no_collector(collector: Collector) -> None:
    """A 404 in the collector's own words."""
    collector.answer = lambda _, request: reply(request, 404, b'{"message": "no policy of testing is stored"}')
    with pytest.raises(NothingStored, match="no policy of testing is stored"):
        source(collector).read()


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("http://", "that can't be read"),
        ("http://host:99999", "that can't be read"),
        ("http://user:hush@host", "without a password"),
        ("http://host/?token=hush", "without query"),
        ("http://host/a b", "without query, fragment and blanks"),
        ("http://host/\r\nX-Evil: hush", "without query, fragment and blanks"),
        ("https://[::1", "that can't be read"),
    ],
)
def test_url_that_can_not_be_one_is_refused_at_once(url: str, message: str) -> None:
    """Without repeating what may be a secret."""
    with pytest.raises(PolicyError, match=message) as refused:
        source_of(url, "testing")

    assert "hush" not in str(refused.value)


def test_token_with_blanks_is_refused_without_being_told(collector: Collector) -> None:
    """It would split the header."""
    with pytest.raises(PolicyError, match="in one word of ASCII") as refused:
        source(collector, token=f"{SECRET}\r\nX-Evil: 1").read()

    assert "hush" not in str(refused.value)
    assert collector.asked == []


def test_token_is_not_in_the_representation() -> None:
    """Settings end up in logs."""
    assert "hush" not in repr(CollectorPolicy("http://host", token=SECRET))


# -- a file ------------------------------------------------------------------------------------------------------------


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A policy file with version v1."""
    file = tmp_path / "policy.toml"
    file.write_text(toml("v1"))
    return file


def feed(path: Path) -> Feed:
    """A feed of the file, which has read it once."""
    fed = Feed(FileSource(path, "testing"), "testing", 30.0)
    fed.read()
    return fed


def version(fed: Feed) -> str:
    """Of the policy that holds."""
    assert fed.policy is not None
    return fed.policy.version


def read_twice(fed: Feed) -> None:
    """What has changed holds when it has been seen twice."""
    fed.read()
    fed.read()


def test_feed_takes_a_file_that_was_written_anew(path: Path) -> None:
    """In place."""
    fed = feed(path)
    path.write_text(toml("v2"))
    read_twice(fed)

    assert version(fed) == "v2"


def test_feed_takes_a_file_that_was_replaced(path: Path) -> None:
    """Atomically, as a careful deployment does it."""
    fed = feed(path)
    new = path.with_suffix(".new")
    new.write_text(toml("v2"))
    new.replace(path)
    read_twice(fed)

    assert version(fed) == "v2"


def test_feed_takes_a_change_that_size_and_times_do_not_show(path: Path) -> None:
    """As many bytes, in the same inode, with the times of before."""
    fed = feed(path)
    before = path.stat()
    with path.open("r+") as file:
        file.write(toml("v9"))
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    read_twice(fed)

    assert version(fed) == "v9"


def test_feed_keeps_its_policy_when_a_file_was_only_touched(path: Path) -> None:
    """The very same object: nothing is swapped."""
    fed = feed(path)
    held = fed.policy
    os.utime(path)
    fed.read()

    assert fed.policy is held


def half_written(path: Path) -> None:
    """Cut off within a word."""
    path.write_text('schema_version = 1\n[testing]\nversion = "v')


def outside_the_guardrail(path: Path) -> None:
    """A delay that stalls."""
    path.write_text(toml("v3") + "delay_ladder_ms = [500]\n")


def turned_into_a_pipe(path: Path) -> None:
    """Who opens it waits for ever."""
    path.unlink()
    os.mkfifo(path)


def far_too_long(path: Path) -> None:
    """Something else has been copied there."""
    path.write_text(toml("v3") + "#" * (1 << 20))


BREAK: dict[str, tuple[Callable[[Path], Any], str]] = {
    "half written": (half_written, "expected a readable TOML policy, but got"),
    "empty": (lambda path: path.write_text(""), "expected schema_version = 1, but got None"),
    "no text": (lambda path: path.write_bytes(b"\xff\xfe"), "expected a readable TOML policy, but got"),
    "deleted": (lambda path: path.unlink(), "No such file"),
    "a pipe": (turned_into_a_pipe, "no regular file"),
    "too long": (far_too_long, "expected at most 1048576 bytes, but got more"),
    "guardrail": (outside_the_guardrail, "a number from 0 to 250, but got 500"),
}


@pytest.mark.parametrize("kind", BREAK)
def test_feed_keeps_the_last_good_policy_when_the_file_breaks(
    path: Path, kind: str, caplog: pytest.LogCaptureFixture
) -> None:
    """What came is told once, however often it is read; then its end, once."""
    fed = feed(path)
    break_it, message = BREAK[kind]
    break_it(path)
    with caplog.at_level(logging.WARNING, "acceptfirst"):
        for _ in range(3):
            fed.read()
        assert version(fed) == "v1"
        path.unlink(missing_ok=True)
        path.write_text(toml("v4"))
        for _ in range(3):
            fed.read()

    told = [record.getMessage() for record in caplog.records]
    assert version(fed) == "v4"
    assert len(told) == 2
    assert message in told[0]
    assert "version v1 holds" in told[0]
    assert "can be used again" in told[1]


def test_feed_recovers_when_the_old_file_comes_back(path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """The same bytes as before the trouble are good news, too."""
    fed = feed(path)
    half_written(path)
    read_twice(fed)
    path.write_text(toml("v1"))
    caplog.clear()
    with caplog.at_level(logging.WARNING, "acceptfirst"):
        fed.read()

    assert ["can be used again" in record.getMessage() for record in caplog.records] == [True]


def test_feed_tells_each_change_of_trouble(path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Another trouble is news."""
    fed = feed(path)
    with caplog.at_level(logging.WARNING, "acceptfirst"):
        for break_it in (half_written, lambda path: path.unlink(), half_written):
            break_it(path)
            fed.read()
            fed.read()

    assert len(caplog.records) == 3


def test_file_is_found_when_the_process_has_changed_its_directory(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A relative path means what it meant when the application was instrumented."""
    monkeypatch.chdir(path.parent)
    relative = FileSource(path.name, "testing")
    monkeypatch.chdir("/")

    assert relative.read() is not None


# -- the thread --------------------------------------------------------------------------------------------------------


def eventually(holds: Callable[[], bool]) -> None:
    """Wait until something holds."""
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline and not holds():
        time.sleep(0.01)
    assert holds()


def own_threads() -> list[threading.Thread]:
    """The threads that read policies."""
    return [thread for thread in threading.enumerate() if thread.name == "acceptfirst-policy"]


def test_feed_reads_in_the_background_and_swaps(collector: Collector) -> None:
    """From the first policy to the second."""
    fed = Feed(source(collector), "testing", 0.1)
    fed.start()
    eventually(lambda: fed.policy == GOOD)
    collector.serves(BETTER, etag='"2"')

    eventually(lambda: fed.policy == BETTER)


def test_feed_keeps_the_last_good_policy_when_the_collector_goes_and_comes_back(collector: Collector) -> None:
    """500, then well again."""
    fed = Feed(source(collector), "testing", 0.1)
    fed.start()
    eventually(lambda: fed.policy == GOOD)
    collector.answer, _ = ILL["fails"]
    asked = len(collector.asked)
    eventually(lambda: len(collector.asked) > asked + 1)
    assert fed.policy == GOOD
    collector.serves(BETTER)

    eventually(lambda: fed.policy == BETTER)


def test_feed_says_once_at_info_that_no_policy_is_stored(
    collector: Collector, caplog: pytest.LogCaptureFixture
) -> None:
    """It is no trouble: a collector without a policy is how everybody begins; nor is its end a recovery."""
    fed = Feed(source(collector), "testing", 30.0)
    collector.answer = lambda _, request: reply(request, 404, b'{"message": "no policy of testing is stored"}')
    with caplog.at_level(logging.INFO, "acceptfirst"):
        pauses = [fed.read() for _ in range(3)]
        collector.serves(GOOD)
        fed.read()

    assert [(record.levelno, "is stored" in record.getMessage()) for record in caplog.records] == [
        (logging.INFO, True),
        (logging.INFO, False),
    ]
    assert all(27 <= pause <= 33 for pause in pauses)


def test_feed_keeps_its_policy_when_the_collector_has_lost_it(collector: Collector) -> None:
    """A store that was made anew is no reason to change what holds."""
    fed = Feed(source(collector), "testing", 30.0)
    fed.read()
    collector.answer = lambda _, request: reply(request, 404, b'{"message": "nothing is stored"}')
    fed.read()

    assert fed.policy == GOOD


def test_feed_asks_less_and_less_often_while_the_collector_is_away(collector: Collector) -> None:
    """A second, doubled each time, up to four intervals; well again it is one interval, more or less."""
    fed = Feed(source(collector), "testing", 30.0)
    collector.answer, _ = ILL["fails"]
    pauses = [fed.read() for _ in range(12)]
    collector.serves(GOOD)
    well = fed.read()

    for number, pause in enumerate(pauses):
        expected = min(2.0**number, 30.0 * BACKOFF_INTERVALS_MAX)
        assert 0.9 * expected <= pause <= 1.1 * expected
    assert 27 <= well <= 33


def test_feed_looks_at_a_broken_file_soon_and_never_later_than_usual(path: Path) -> None:
    """Half-written files are whole a second later."""
    fed = feed(path)
    half_written(path)
    pauses = [fed.read() for _ in range(12)]

    assert pauses[0] <= 1.1
    assert max(pauses) <= 33


def test_pauses_of_a_fleet_are_spread(path: Path) -> None:
    """Workers that were started at once do not ask at once for ever."""
    fed = feed(path)

    assert len({fed.read() for _ in range(20)}) > 15


def test_feed_has_one_thread_however_often_it_is_started(path: Path) -> None:
    """Each connection may ask for it."""
    before = len(own_threads())
    fed = feed(path)
    for _ in range(10):
        fed.start()

    assert len(own_threads()) == before + 1
    del fed


def test_thread_ends_when_nobody_holds_its_feed(path: Path) -> None:
    """An application that was taken down takes its reader along."""
    before = set(own_threads())
    fed = feed(path)
    fed.start()
    [thread] = set(own_threads()) - before
    del fed
    gc.collect()

    thread.join(30)
    assert not thread.is_alive()


def test_thread_is_a_daemon(path: Path) -> None:
    """The interpreter does not wait for it."""
    before = set(own_threads())
    fed = feed(path)
    fed.start()

    assert [thread.daemon for thread in set(own_threads()) - before] == [True]
    del fed


def test_two_who_name_one_source_share_a_feed(path: Path, collector: Collector) -> None:
    """Also when they name it differently; another environment is another feed."""
    url = collector.url
    assert feed_of(path, "testing") is feed_of(str(path), "testing")
    assert feed_of(url, "testing") is feed_of(f"{url}/", "testing")
    assert feed_of(path, "testing") is not feed_of(path, "staging")
    assert feed_of(url, "testing") is not feed_of(CollectorPolicy(url, token=SECRET), "testing")


class Broken:
    """A source with a bug of ours."""

    place = "nowhere"
    is_local = True
    key: Hashable = "broken"

    def read(self) -> Policy | None:
        """Fail as nobody foresaw."""
        raise ZeroDivisionError


def test_feed_goes_on_when_a_source_fails_in_an_unforeseen_way(caplog: pytest.LogCaptureFixture) -> None:
    """Counted as a failure of ours, logged once."""
    from acceptfirst import failsafe  # noqa: PLC0415 - the counter that the fixture checks after each test

    fed = Feed(Broken(), "testing", 30.0)
    with caplog.at_level(logging.ERROR, "acceptfirst"):
        assert fed.read() <= fed.read()

    assert failsafe.failures.pop("Source.read") == 2
    assert len(caplog.records) == 1


@pytest.mark.parametrize(("text", "longest_s"), [("0.5", 0.55), ("soon", 33), ("0", 33), ("-1", 33), ("nan", 33)])
def test_interval_is_taken_from_the_environment(
    path: Path, monkeypatch: pytest.MonkeyPatch, text: str, longest_s: float
) -> None:
    """One that makes no sense is logged, and 30 s hold."""
    monkeypatch.setenv(INTERVAL_VARIABLE, text)
    pause = Feed(FileSource(path, "testing"), "testing").read()

    assert longest_s / 1.1 * 0.9 <= pause <= longest_s
