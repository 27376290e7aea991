"""The policy endpoint of a real serve process: asked by backends, changed by people, kept in the store."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import httpx
import pytest

from acceptfirst.policy import Policy, default_policy, policy_from_document, policy_to_document
from acceptfirst.policy.source import source_of

PATH = "/api/v1/policy/testing"
V1 = replace(default_policy("testing"), version="v1", handshake_timeout_ms=150.0)
V2 = replace(V1, version="v2", routes={"/chat": replace(V1, version="v2", readiness_mode="event", gate="hold")})


@pytest.fixture(scope="module")
def url(serve: Any) -> str:
    """Where the collector of this module listens."""
    return str(serve.url)


@pytest.fixture(autouse=True)
def nothing_under_way(url: str) -> Iterator[None]:
    """Each test begins and ends without a change of its own under way or in force."""
    yield
    while httpx.post(f"{url}{PATH}/rollback").status_code == 200:
        pass


def change(url: str, action: str, **values: Any) -> httpx.Response:
    """Ask for a change."""
    return httpx.post(f"{url}{PATH}/{action}", json=values)


def propose(url: str, policy: Policy) -> httpx.Response:
    """Propose a policy."""
    return change(url, "propose", policy=policy_to_document(policy), by="ann", reason="slow bots")


def in_force(url: str) -> Policy:
    """What a backend is given, read as a backend reads it."""
    return policy_from_document(httpx.get(url + PATH).content, "testing", "serve")


def test_serve_gives_the_default_until_something_is_promoted(url: str) -> None:
    """With an ETag like any other; the backend's own reader takes it for what it is."""
    answer = httpx.get(f"{url}/api/v1/policy/staging")

    assert (answer.status_code, source_of(url, "staging").read()) == (200, default_policy("staging"))
    again = httpx.get(f"{url}/api/v1/policy/staging", headers={"If-None-Match": answer.headers["ETag"]})
    assert again.status_code == 304


def test_rollback_of_the_first_canary_reaches_a_backend(url: str) -> None:
    """It is told what holds again; a 404 would leave it with the canary, as the last good policy."""
    propose(url, V1)
    change(url, "promote", share=0.5)
    backend = source_of(url, "testing")
    tried = backend.read()
    change(url, "rollback")

    assert (tried is not None and tried.canary is not None, backend.read()) == (True, default_policy("testing"))


def test_promoted_policy_is_given_to_the_backends(url: str) -> None:
    """By the library's own reader, routes included; again only when it has changed."""
    propose(url, V2)
    change(url, "promote")
    source = source_of(url, "testing")

    assert (source.read(), source.read()) == (V2, None)


def test_serve_answers_304_to_whoever_has_the_policy(url: str) -> None:
    """By ETag, weak or in a list; 200 with the new one once it has changed."""
    propose(url, V1)
    change(url, "promote")
    etag = httpx.get(url + PATH).headers["ETag"]
    for given in (etag, f"W/{etag}", f'"other", {etag}', "*"):
        answer = httpx.get(url + PATH, headers={"If-None-Match": given})
        assert (answer.status_code, answer.content) == (304, b"")
    propose(url, V2)
    change(url, "promote")

    assert httpx.get(url + PATH, headers={"If-None-Match": etag}).status_code == 200


def test_canary_is_given_then_promoted(url: str) -> None:
    """A share first, a greater one, all."""
    propose(url, V1)
    shares = []
    for share in (0.1, 0.5):
        change(url, "promote", share=share)
        canary = in_force(url).canary
        assert canary is not None
        shares.append((canary.share, canary.policy.version))
    change(url, "promote")

    assert shares == [(0.1, "v1"), (0.5, "v1")]
    assert in_force(url) == V1


def test_rollback_gives_the_policy_before(url: str) -> None:
    """And then the one before that, up to the default."""
    for policy in (V1, V2):
        propose(url, policy)
        change(url, "promote")
    versions = []
    for _ in range(2):
        change(url, "rollback")
        versions.append(in_force(url).version)

    assert versions == ["v1", "default"]


def test_each_step_is_kept_with_who_when_and_why(url: str) -> None:
    """In policy_events; what holds now is in policies."""
    propose(url, V1)
    change(url, "promote", share=0.25, by="bob", reason="a quarter first", evidence={"n": 7})
    answer = httpx.post(
        f"{url}/api/v1/statements/policy_history", json={"parameters": {"environment": "testing", "limit": 2}}
    )
    rows = answer.json()["rows"]

    assert [(row["action"], row["version"], row["share"], row["actor"], row["reason"]) for row in rows] == [
        ("promote", "v1", 0.25, "bob", "a quarter first"),
        ("propose", "v1", 0.0, "ann", "slow bots"),
    ]
    assert json.loads(rows[0]["evidence"]) == {"n": 7}


def test_serve_says_what_a_change_led_to(url: str) -> None:
    """Enough to go on with."""
    propose(url, V1)
    answer = change(url, "promote", share=0.2).json()

    answer.pop("revision")
    assert answer == {
        "schema_version": 1, "environment": "testing", "in_force": "default", "candidate": "v1", "stage": "canary",
        "share": 0.2,
    }  # fmt: skip


@pytest.mark.parametrize("name", ["test", "CI"])
def test_serve_knows_the_other_names_of_an_environment(url: str, name: str) -> None:
    """As everything else does."""
    propose(url, V1)
    change(url, "promote")

    assert httpx.get(f"{url}/api/v1/policy/{name}").json()["version"] == "v1"


@pytest.mark.parametrize("action", ["propose", "promote", "rollback"])
def test_second_change_conflicts(url: str, action: str) -> None:
    """409, with what is under way or missing."""
    if action == "propose":
        propose(url, V1)
        answer = propose(url, V2)
    else:
        answer = change(url, action)

    assert answer.status_code == 409
    assert "expected" in answer.json()["message"]


def test_promotion_of_another_version_conflicts(url: str) -> None:
    """Who says what it means to promote promotes nothing else."""
    propose(url, V1)
    answer = change(url, "promote", version="v2")

    assert (answer.status_code, in_force_version(url)) == (409, None)


def in_force_version(url: str) -> str | None:
    """The version that backends are given, ``None`` where it is the default or none."""
    answer = httpx.get(url + PATH)
    version = answer.json().get("version")
    return None if version == "default" else version


STEEP = policy_to_document(replace(V1, handshake_timeout_ms=20.0))
LONG = {**policy_to_document(V1), "delay_ladder_ms": [300]}


@pytest.mark.parametrize(
    ("action", "values", "message"),
    [
        ("propose", {}, "expected a policy"),
        ("propose", {"policy": []}, "expected a table"),
        ("propose", {"policy": {**policy_to_document(V1), "dealy": 1}}, "but got dealy"),
        ("propose", {"policy": policy_to_document(default_policy("staging"))}, "expected the policy of testing"),
        ("propose", {"policy": LONG}, "from 0 to 250, but got 300"),
        ("propose", {"policy": STEEP}, "no step down of more than 20%"),
        ("propose", {"policy": policy_to_document(V1), "whom": "x"}, "but got whom"),
        ("promote", {"share": "a lot"}, "expected share to be a number"),
        ("promote", {"by": 7}, "expected by to be a text"),
        ("promote", {"by": "\ud800"}, "expected by to be a text"),
        ("rollback", {"reason": "x" * 1001}, "expected reason to be a text of at most 1000"),
        ("rollback", {"evidence": []}, "expected evidence to be an object"),
        ("rollback", {"evidence": {"n": float("nan")}}, "NaN, which is no JSON"),
    ],
)
def test_wrong_change_is_refused_with_what_was_expected(
    url: str, action: str, values: dict[str, Any], message: str
) -> None:
    """400, and nothing is stored."""
    answer = httpx.post(f"{url}{PATH}/{action}", content=json.dumps(values))

    assert (answer.status_code, answer.json()["schema_version"]) == (400, 1)
    assert message in answer.json()["message"]


@pytest.mark.parametrize(
    ("content", "status"), [(b"{", 400), (b"[]", 400), (b"\xff", 400), (b"[" * 100_000, 400), (b" " * (2 << 20), 413)]
)
def test_hostile_body_is_refused(url: str, content: bytes, status: int) -> None:
    """Not read to its end, not answered with a traceback."""
    assert httpx.post(f"{url}{PATH}/propose", content=content).status_code == status


def test_unknown_environment_is_a_bad_request(url: str) -> None:
    """Not a 404, which backends take for a collector that has no policies."""
    assert httpx.get(f"{url}/api/v1/policy/mars").status_code == 400


def test_policy_survives_a_restart_with_its_etag(start_serve: Any) -> None:
    """What was promoted is on the disk, and nobody has to fetch it again."""
    first = start_serve()
    propose(first.url, V1)
    change(first.url, "promote", share=0.3)
    before = httpx.get(first.url + PATH)
    first.kill()
    second = start_serve()
    after = httpx.get(second.url + PATH)

    assert (after.content, after.headers["ETag"]) == (before.content, before.headers["ETag"])
    assert change(second.url, "promote").json()["in_force"] == "v1"


def test_policy_asks_for_the_token(start_serve: Any, tmp_path: Any) -> None:
    """To read as to change; the backend's reader sends it."""
    (tmp_path / "token").write_text("sesame")
    guarded = start_serve("--token-file", str(tmp_path / "token"))
    headers = {"Authorization": "Bearer sesame"}

    assert httpx.get(guarded.url + PATH).status_code == 401
    assert change(guarded.url, "rollback").status_code == 401
    assert httpx.get(guarded.url + PATH, headers=headers).status_code == 200
