"""A real serve in the open: tokens, TLS, origins, slow clients, limits, signals, and what it writes down."""

from __future__ import annotations

import datetime as dt
import json
import pathlib
import signal
import socket
import ssl
import time
from collections.abc import Callable
from typing import Any

import grpc
import httpx
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from google.rpc import error_details_pb2, status_pb2

from acceptfirst_collector.grpc_service import SERVICE

EXPORT = f"/{SERVICE}/Export"
PATIENCE_S = 60.0

#: The real server whose time-outs a test can wait for.
HASTY = """
import pathlib, sys
import chdb
from acceptfirst_collector.access import pace, punctual
from acceptfirst_collector.server import run
from acceptfirst_collector.settings import CollectorSettings
pace.GRACE_SECONDS = 0.5
punctual.HEAD_SECONDS_MAX = 0.5
run(CollectorSettings(data_dir=pathlib.Path(sys.argv[4]), port=0, grpc_port=0, cors_origins=("https://ok.example",)))
"""
TOKENS = "backends ingest ingest-token\ngrafana read read-token\nops admin admin-token\n"


def bearer(token: str) -> dict[str, str]:
    """The header."""
    return {"Authorization": f"Bearer {token}"}


@pytest.fixture(scope="module")
def hasty(serve_starter: Any) -> Any:
    """One serve process with short time-outs and one allowed origin."""
    return serve_starter(code=HASTY)


@pytest.fixture
def guarded(start_serve: Any, tmp_path: pathlib.Path) -> Any:
    """A serve with three tokens, each with one scope, that logs in JSON."""
    path = tmp_path / "tokens"
    path.write_text(TOKENS)
    return start_serve("--token-file", str(path), "--log-format", "json")


def test_each_token_opens_what_its_scope_allows(guarded: Any, make_request: Callable[..., bytes]) -> None:
    """401 without one, 403 with another's; the same over gRPC; and a line for each change."""
    url = guarded.url
    asked: dict[str, Callable[[str], int]] = {
        "traces": lambda token: guarded.post(make_request("a"), **bearer(token)).status_code,
        "read": lambda token: httpx.get(f"{url}/api/v1/patterns", headers=bearer(token)).status_code,
        "policy": lambda token: httpx.get(f"{url}/api/v1/policy/testing", headers=bearer(token)).status_code,
        "job": lambda token: httpx.post(f"{url}/api/v1/jobs/classify", headers=bearer(token), timeout=60).status_code,
    }
    found = {what: [ask(f"{who}-token") for who in ("ingest", "read", "admin", "no")] for what, ask in asked.items()}
    assert found == {
        "traces": [200, 403, 403, 401],
        "read": [403, 200, 200, 401],
        "policy": [200, 200, 200, 401],
        "job": [403, 403, 200, 401],
    }
    with grpc.insecure_channel(guarded.grpc_address) as channel:
        call = channel.unary_unary(EXPORT)
        assert call(make_request("b"), metadata=[("authorization", "Bearer ingest-token")]) == b""
        with pytest.raises(grpc.RpcError) as refused:
            call(make_request("b"), metadata=[("authorization", "Bearer read-token")])
    assert refused.value.code() is grpc.StatusCode.PERMISSION_DENIED
    entries = [json.loads(line) for line in guarded.stop().splitlines()]
    audits = [entry["audit"] for entry in entries if "audit" in entry]
    assert [(each["caller"], each["action"], each["status"]) for each in audits] == [
        ("ops", "POST /api/v1/jobs/classify", 200)
    ]
    assert not [entry for entry in entries if "-token" in json.dumps(entry)]


def test_tokens_are_changed_by_a_signal(
    guarded: Any, make_request: Callable[..., bytes], tmp_path: pathlib.Path
) -> None:
    """SIGHUP: the new one holds, the old one doesn't, and nobody was disconnected for it."""
    (tmp_path / "tokens").write_text("new-token\n")
    guarded.process.send_signal(signal.SIGHUP)
    deadline = time.monotonic() + PATIENCE_S
    while (answer := guarded.post(make_request("a"), **bearer("new-token"))).status_code != 200:
        assert time.monotonic() < deadline, answer.status_code
        time.sleep(0.05)
    assert guarded.post(make_request("a"), **bearer("ingest-token")).status_code == 401


def test_token_comes_from_the_environment(
    start_serve: Any, monkeypatch: pytest.MonkeyPatch, make_request: Callable[..., bytes]
) -> None:
    """Where no file is wanted."""
    monkeypatch.setenv("ACCEPTFIRST_TOKEN", "from-the-environment")
    serve = start_serve()
    assert serve.post(make_request("a")).status_code == 401
    assert serve.post(make_request("a"), **bearer("from-the-environment")).status_code == 200


def test_settings_are_read_again_at_a_signal(
    start_serve: Any, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch, make_request: Callable[..., bytes]
) -> None:
    """A rate limit that is written into the file holds after SIGHUP; a mistake in the file changes nothing."""
    file = tmp_path / "settings.toml"
    file.write_text("rate_limit = 0\n")
    monkeypatch.setenv("ACCEPTFIRST_CONFIG", str(file))
    serve = start_serve()
    file.write_text('rate_limit = 0.5\ncors_origins = "*"\n')
    serve.process.send_signal(signal.SIGHUP)
    deadline = time.monotonic() + PATIENCE_S
    while (answer := serve.post(make_request("a"))).status_code != 429:
        assert time.monotonic() < deadline
    assert int(answer.headers["Retry-After"]) >= 1
    assert status_pb2.Status.FromString(answer.content).code == 8
    file.write_text("rate_limt = 100\n")
    serve.process.send_signal(signal.SIGHUP)
    with grpc.insecure_channel(serve.grpc_address) as channel:
        call = channel.unary_unary(EXPORT)
        with pytest.raises(grpc.RpcError) as refused:
            [call(make_request("a")) for _ in range(5)]
    details = dict(refused.value.trailing_metadata())["grpc-status-details-bin"]
    assert refused.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
    assert status_pb2.Status.FromString(details).details[0].Unpack(error_details_pb2.RetryInfo())
    said = serve.stop()
    assert "these hold after a restart: cors_origins" in said
    assert "do you mean rate_limit?" in said


def test_slow_connections_do_not_stop_a_good_one(hasty: Any, make_request: Callable[..., bytes]) -> None:
    """A thousand, each with half a head or half a body; a good request is taken meanwhile."""
    address = ("127.0.0.1", httpx.URL(hasty.url).port)
    slow = [socket.create_connection(address) for _ in range(1000)]
    try:
        for position, connection in enumerate(slow):
            head = b"POST /v1/traces HTTP/1.1\r\nHost: 127.0.0.1\r\n"
            body = b"Content-Type: application/x-protobuf\r\nContent-Length: 50000\r\n\r\nxx"
            connection.sendall(head + (body if position % 2 else b""))
        assert hasty.post(make_request("good")).status_code == 200
        for connection in slow:
            connection.settimeout(PATIENCE_S)
        heads, bodies = slow[0].recv(9999), slow[1].recv(9999)
    finally:
        for connection in slow:
            connection.close()
    assert heads == b"", "a late head gets no answer: its client must send it again"
    assert bodies.startswith(b"HTTP/1.1 503 ")
    assert b"retry-after: " in bodies.lower()
    assert b"connection: close" in bodies.lower()


def test_later_request_whose_head_stalls_is_closed(hasty: Any) -> None:
    """The time-out holds for each request of a connection, not only for the first."""
    with socket.create_connection(("127.0.0.1", httpx.URL(hasty.url).port), timeout=PATIENCE_S) as connection:
        connection.sendall(b"GET /healthz HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
        assert connection.recv(9999).startswith(b"HTTP/1.1 200")
        connection.sendall(b"GET /heal")
        while received := connection.recv(9999):
            assert b"HTTP/1.1" not in received


@pytest.mark.parametrize("path", ["/healthz", "/api/v1/patterns", "/v1/traces", "/metrics", "/nothing"])
def test_every_answer_has_the_headers_that_browsers_need(hasty: Any, path: str) -> None:
    """Good or bad, and without the name of the server."""
    headers = httpx.get(hasty.url + path).headers
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert headers["X-Frame-Options"] == "DENY"
    assert "default-src 'none'" in headers["Content-Security-Policy"]
    assert "server" not in headers


def _preflight(url: str, origin: str) -> httpx.Response:
    asked = {"Origin": origin, "Access-Control-Request-Method": "POST"}
    asked["Access-Control-Request-Headers"] = "content-type,authorization"
    return httpx.options(f"{url}/v1/traces", headers=asked)


def test_preflight_of_an_allowed_origin_is_answered(hasty: Any, make_request: Callable[..., bytes]) -> None:
    """With what it may send; the request itself is then taken, and its answer may be read."""
    answer = _preflight(hasty.url, "https://ok.example")
    assert answer.status_code == 200
    assert answer.headers["Access-Control-Allow-Origin"] == "https://ok.example"
    taken = hasty.post(make_request("a"), Origin="https://ok.example")
    assert (taken.status_code, taken.headers["Access-Control-Allow-Origin"]) == (200, "https://ok.example")


def test_other_origins_get_nothing(hasty: Any, make_request: Callable[..., bytes]) -> None:
    """No header that a browser would take for a yes, and a refusal as a Status."""
    assert "Access-Control-Allow-Origin" not in _preflight(hasty.url, "https://evil.example").headers
    refused = hasty.post(make_request("a"), Origin="https://evil.example")
    assert refused.status_code == 403
    assert "--cors-origins" in status_pb2.Status.FromString(refused.content).message


def test_preflight_needs_no_token(start_serve: Any, tmp_path: pathlib.Path) -> None:
    """Browsers send none with it."""
    (tmp_path / "tokens").write_text(TOKENS)
    serve = start_serve("--token-file", str(tmp_path / "tokens"), "--cors-origins", "https://ok.example")
    assert _preflight(serve.url, "https://ok.example").status_code == 200
    assert _preflight(serve.url, "https://evil.example").status_code in {401, 403}


def test_page_that_renames_its_host_gets_nothing(serve: Any) -> None:
    """A name that was turned to 127.0.0.1 is not this machine's own; the policy can't be changed from it."""
    for method, path in (("GET", "/api/v1/patterns"), ("POST", "/api/v1/policy/testing/rollback")):
        answer = httpx.request(method, serve.url + path, headers={"Host": "evil.example"})
        assert answer.status_code == 403
    form = httpx.post(f"{serve.url}/api/v1/policy/testing/rollback", headers={"Origin": "https://evil.example"})
    assert form.status_code == 403


def _certificate(folder: pathlib.Path) -> tuple[pathlib.Path, pathlib.Path]:
    """Make a certificate of our own for localhost; gives it and its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    now = dt.datetime.now(dt.UTC)
    certificate = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(days=1))
        .not_valid_after(now + dt.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    paths = folder / "certificate.pem", folder / "key.pem"
    paths[0].write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    private = serialization.PrivateFormat.PKCS8
    paths[1].write_bytes(key.private_bytes(serialization.Encoding.PEM, private, serialization.NoEncryption()))
    return paths


def test_tls_holds_for_http_for_grpc_and_for_its_own_worker(
    start_serve: Any, tmp_path: pathlib.Path, make_request: Callable[..., bytes]
) -> None:
    """One certificate for both; the job reads through the API with exactly this one believed."""
    certificate, key = _certificate(tmp_path)
    serve = start_serve("--tls-cert", str(certificate), "--tls-key", str(key))
    port = httpx.URL(serve.url).port
    trust = ssl.create_default_context(cafile=str(certificate))
    with httpx.Client(base_url=f"https://localhost:{port}", verify=trust, timeout=60) as client:
        headers = {"Content-Type": "application/x-protobuf"}
        assert client.post("/v1/traces", content=make_request("a"), headers=headers).status_code == 200
        job = client.post("/api/v1/jobs/recommend", json={"environment": "production"})
        assert (job.status_code, job.json()["recommendations"]) == (200, [])
    credentials = grpc.ssl_channel_credentials(certificate.read_bytes())
    with grpc.secure_channel(f"localhost:{serve.grpc_address.partition(':')[2]}", credentials) as channel:
        assert channel.unary_unary(EXPORT)(make_request("b"), timeout=30) == b""


def test_tls_asks_clients_for_a_certificate_when_told_to(start_serve: Any, tmp_path: pathlib.Path) -> None:
    """Without one the handshake fails; with one of the right authority all is open."""
    certificate, key = _certificate(tmp_path)
    files = ("--tls-cert", str(certificate), "--tls-key", str(key), "--tls-client-ca", str(certificate))
    serve = start_serve(*files)
    url = f"https://localhost:{httpx.URL(serve.url).port}/healthz"
    trust = ssl.create_default_context(cafile=str(certificate))
    with pytest.raises(httpx.HTTPError):
        httpx.get(url, verify=trust)
    trust.load_cert_chain(certificate, key)
    assert httpx.get(url, verify=trust).status_code == 200


def test_serve_ends_in_time_when_its_store_hangs(start_serve: Any, make_request: Callable[..., bytes]) -> None:
    """What is acknowledged waits in the log; a supervisor need not kill it."""
    code = HASTY.replace("pace.GRACE", "import time\nfrom acceptfirst_store.database import Database\n"
        "Database.insert_requests = lambda *_: time.sleep(600)\n"
        "import acceptfirst_collector.server as server\nserver.END_SECONDS_MAX = 2.0\npace.GRACE")  # fmt: skip
    serve = start_serve(code=code)
    assert serve.post(make_request("a")).status_code == 200
    said = serve.stop()
    assert serve.process.returncode == 0
    assert "waits in the log for the next start" in said
