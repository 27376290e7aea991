"""The image and the composition, as far as they can be checked without an engine to run them."""

from __future__ import annotations

import http.server
import os
import re
import subprocess
import sys
import threading
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

import acceptfirst
from acceptfirst_cli.application import build

ROOT = Path(__file__).resolve().parents[2]
COMPOSE: dict[str, Any] = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
DOCKERFILE = (ROOT / "Dockerfile").read_text()
PINNED = re.compile(r"^[\w./-]+:\d+\.\d+(\.\d+)?[\w.-]*$")

each_service = pytest.mark.parametrize("service", SERVICES.values(), ids=SERVICES.keys())


def from_lines() -> list[str]:
    """The images that the Dockerfile begins from."""
    return re.findall(r"^FROM (\S+)", DOCKERFILE, re.MULTILINE)


@each_service
def test_service_names_an_exact_version(service: dict[str, Any]) -> None:
    """Never latest: what was tried is what runs."""
    assert PINNED.match(service["image"])


def test_dockerfile_begins_from_exact_versions() -> None:
    """Both stages, and from the same one."""
    assert len(from_lines()) == 2
    assert all(PINNED.match(image) for image in from_lines())
    assert len(set(from_lines())) == 1


def test_our_image_carries_the_version_of_the_distribution() -> None:
    """A release moves both."""
    assert SERVICES["collector"]["image"] == f"acceptfirst:{acceptfirst.__version__}"


@each_service
def test_service_is_published_on_the_loopback_only(service: dict[str, Any]) -> None:
    """Whoever wants more has to write it down."""
    assert all(str(port).startswith("127.0.0.1:") for port in service.get("ports", []))


@each_service
def test_service_has_a_health_check_and_restarts(service: dict[str, Any]) -> None:
    """So that others can wait for it."""
    assert service["healthcheck"]["test"]
    assert service["restart"] == "unless-stopped"


@each_service
def test_service_has_no_rights_that_it_does_not_need(service: dict[str, Any]) -> None:
    """A read-only file system, no capabilities, none to gain."""
    assert (service["read_only"], service["cap_drop"]) == (True, ["ALL"])
    assert "no-new-privileges:true" in service["security_opt"]


@each_service
def test_service_mounts_only_what_is_there(service: dict[str, Any]) -> None:
    """A volume that is declared, or a file of the repository."""
    for mount in service.get("volumes", []):
        source = mount.split(":")[0]
        assert source in COMPOSE["volumes"] or (ROOT / source).exists()


@each_service
def test_service_uses_only_secrets_that_git_ignores(service: dict[str, Any]) -> None:
    """Each is declared, and its file can't be committed by mistake."""
    ignored = (ROOT / ".gitignore").read_text().splitlines()
    for name in service.get("secrets", []):
        assert f"{Path(COMPOSE['secrets'][name]['file']).parent.name}/" in ignored


def test_collector_command_exists_with_its_flags() -> None:
    """The verb and each flag are the command line's."""
    verb, *rest = SERVICES["collector"]["command"]
    command: Any = build().get_command(None, verb)
    known = {name for parameter in command.params for name in parameter.opts}
    assert {word for word in rest if word.startswith("--")} <= known


def test_collector_asks_for_a_token_where_it_listens_beyond_its_host() -> None:
    """Read from the secret, and never --insecure."""
    command = SERVICES["collector"]["command"]
    assert command[command.index("--token-file") + 1] == f"/run/secrets/{SERVICES['collector']['secrets'][0]}"
    assert "--insecure" not in command


def test_collector_runs_as_a_user_without_rights() -> None:
    """In the last stage, and no later line changes it back."""
    assert re.findall(r"^USER (\S+)", DOCKERFILE, re.MULTILINE) == ["10001:10001"]


def test_dockerfile_copies_every_package_of_the_wheel() -> None:
    """A package that is added must reach the image too."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    folders = {
        str(Path(package).parent) for package in project["tool"]["hatch"]["build"]["targets"]["wheel"]["packages"]
    }
    copied = {path for line in re.findall(r"^COPY ([^-\n].*) \S+$", DOCKERFILE, re.MULTILINE) for path in line.split()}
    assert folders <= copied
    assert all((ROOT / path).exists() for path in copied)


def test_dockerignore_lets_through_what_is_copied() -> None:
    """What the engine does not get can't be copied."""
    let_through = {line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")}
    copied = {path for line in re.findall(r"^COPY ([^-\n].*) \S+$", DOCKERFILE, re.MULTILINE) for path in line.split()}
    assert {path.split("/")[0] for path in copied} <= let_through


class Answering(http.server.BaseHTTPRequestHandler):
    """Answers every probe with its server's status."""

    status = 200

    def do_GET(self) -> None:
        """Answer."""
        self.send_response(self.status if self.path == "/readyz" else 404)
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class calls it so
        """Say nothing."""


@pytest.fixture
def port(request: pytest.FixtureRequest) -> Iterator[int]:
    """The port of a server that answers with the status that is asked for."""
    handler = type("Status", (Answering,), {"status": request.param})
    with http.server.HTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield server.server_port
        server.shutdown()
        thread.join()


@pytest.mark.parametrize(("port", "is_healthy"), [(200, True), (503, False)], indirect=["port"])
def test_health_check_tells_ready_from_not_ready(port: int, *, is_healthy: bool) -> None:
    """The very command, but for the port."""
    _, _, option, code = SERVICES["collector"]["healthcheck"]["test"]
    command = [sys.executable, option, code.replace("4318", str(port))]
    done = subprocess.run(command, check=False, capture_output=True, env=os.environ | {"no_proxy": "127.0.0.1"})
    assert (done.returncode == 0) is is_healthy


def test_dockerfile_and_composition_check_health_alike() -> None:
    """One command, so that `docker run` and `docker compose` agree."""
    assert SERVICES["collector"]["healthcheck"]["test"][3] in DOCKERFILE
