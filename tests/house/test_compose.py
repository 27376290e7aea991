"""The images and the composition, as far as they can be checked without an engine to run them."""

from __future__ import annotations

import http.server
import os
import re
import shutil
import subprocess
import sys
import threading
import tomllib
import xml.etree.ElementTree as ET
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

import acceptfirst
from acceptfirst_analysis.alerts.settings import load_alert_settings
from acceptfirst_cli.application import build
from acceptfirst_cli.configuration import read_file, require_valid
from acceptfirst_store.address import StoreAddress

ROOT = Path(__file__).resolve().parents[2]
COMPOSE: dict[str, Any] = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
DOCKERFILE = (ROOT / "Dockerfile").read_text()
PINNED = re.compile(r"^[\w./-]+:v?\d+\.\d+(\.\d+)?[\w.-]*$")
OURS = {"collector", "chat", "crowd"}

each_service = pytest.mark.parametrize("service", SERVICES.values(), ids=SERVICES.keys())


def stages() -> dict[str, str]:
    """Name of each of the Dockerfile's stages → what it begins from."""
    return {name: base for base, name in re.findall(r"^FROM (\S+) AS (\S+)", DOCKERFILE, re.MULTILINE)}


def copied() -> set[str]:
    """What the Dockerfile copies from the repository."""
    return {path for line in re.findall(r"^COPY ([^-\n].*) \S+$", DOCKERFILE, re.MULTILINE) for path in line.split()}


# -- services ----------------------------------------------------------------------------------------------------------


@each_service
def test_service_names_an_exact_version(service: dict[str, Any]) -> None:
    """Never latest: what was tried is what runs."""
    assert PINNED.match(service["image"])


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


@pytest.mark.parametrize("name", SERVICES)
def test_service_does_not_run_as_root(name: str) -> None:
    """Ours by the image, the others by the composition."""
    user = "10001:10001" if name in OURS else SERVICES[name]["user"]
    assert int(user.split(":")[0]) > 0


@each_service
def test_service_mounts_only_what_is_there(service: dict[str, Any]) -> None:
    """A volume that is declared, or a file of the repository, which is not written to."""
    for mount in service.get("volumes", []):
        source, _, rest = mount.partition(":")
        assert source in COMPOSE["volumes"] or ((ROOT / source).exists() and rest.endswith(":ro"))


@each_service
def test_service_uses_only_secrets_that_git_ignores(service: dict[str, Any]) -> None:
    """Each is declared, and its file can't be committed by mistake."""
    ignored = (ROOT / ".gitignore").read_text().splitlines()
    for name in service.get("secrets", []):
        assert f"{Path(COMPOSE['secrets'][name]['file']).parent.name}/" in ignored


@each_service
def test_service_has_no_secret_in_its_environment(service: dict[str, Any]) -> None:
    """What is called a password or a token is the name of a file."""
    for name, value in service.get("environment", {}).items():
        if re.search(r"PASSWORD|TOKEN|SECRET", name):
            assert str(value).startswith("/run/secrets/")


@each_service
def test_service_waits_for_those_that_it_needs(service: dict[str, Any]) -> None:
    """Until they are well, not until they have begun; and they come up with it."""
    for name, need in service.get("depends_on", {}).items():
        assert need["condition"] == "service_healthy"
        assert set(SERVICES[name].get("profiles", service.get("profiles", []))) >= set(service.get("profiles", []))


def test_database_is_reached_by_nobody_outside() -> None:
    """No port of the host, and a network without a way out."""
    assert "ports" not in SERVICES["clickhouse"]
    assert SERVICES["clickhouse"]["networks"] == ["store"]
    assert COMPOSE["networks"]["store"]["internal"] is True


def test_every_volume_network_and_secret_is_used() -> None:
    """What is left over would be made for nothing."""
    used = {mount.partition(":")[0] for service in SERVICES.values() for mount in service.get("volumes", [])}
    assert set(COMPOSE["volumes"]) <= used
    for kind in ("networks", "secrets"):
        assert set(COMPOSE[kind]) == {name for service in SERVICES.values() for name in service.get(kind, [])}


def test_default_start_is_store_collector_and_grafana() -> None:
    """The rest comes with its profile."""
    assert {name for name, service in SERVICES.items() if "profiles" not in service} == {
        "clickhouse",
        "collector",
        "grafana",
    }
    assert {profile for service in SERVICES.values() for profile in service.get("profiles", [])} == {"demo", "alerts"}


# -- what they are given -----------------------------------------------------------------------------------------------


def test_grafana_is_given_boards_rules_and_data_source() -> None:
    """Each where Grafana's provisioning looks for it."""
    mounts = dict(mount.removesuffix(":ro").split(":") for mount in SERVICES["grafana"]["volumes"])
    targets = set(mounts.values())
    assert {"/etc/grafana/provisioning/dashboards", "/etc/grafana/provisioning/alerting"} <= targets
    [provider] = yaml.safe_load((ROOT / "dashboards/provisioning/dashboards/acceptfirst.yaml").read_text())["providers"]
    assert mounts["./dashboards/grafana"] == provider["options"]["path"]


def test_grafanas_data_source_is_the_one_of_the_rules() -> None:
    """The same uid and plugin as in the shipped file, and its password from a secret that Grafana has."""
    [shipped] = yaml.safe_load((ROOT / "dashboards/provisioning/datasources/acceptfirst.yaml").read_text())[
        "datasources"
    ]
    [ours] = yaml.safe_load((ROOT / "deploy/grafana-datasource.yaml").read_text())["datasources"]
    assert (ours["uid"], ours["type"], ours["jsonData"]["traces"]) == (
        shipped["uid"],
        shipped["type"],
        shipped["jsonData"]["traces"],
    )
    secret = re.fullmatch(r"\$__file\{/run/secrets/(\w+)\}", ours["secureJsonData"]["password"])
    assert secret is not None
    assert secret[1] in SERVICES["grafana"]["secrets"]
    assert ours["type"] in SERVICES["grafana"]["environment"]["GF_PLUGINS_PREINSTALL_SYNC"]


def test_clickhouse_users_are_those_that_the_others_log_in_as() -> None:
    """One that writes, one that reads only; and no user without a password."""
    users = ET.fromstring((ROOT / "deploy/clickhouse-users.xml").read_text()).find("users")  # noqa: S314 - a file of ours
    assert users is not None
    [source] = yaml.safe_load((ROOT / "deploy/grafana-datasource.yaml").read_text())["datasources"]
    assert {user.tag for user in users if "remove" not in user.attrib} == {
        "acceptfirst",
        source["jsonData"]["username"],
    }
    assert [user.tag for user in users if "remove" in user.attrib] == ["default"]
    reader = users.find("grafana_reader")
    assert reader is not None
    assert all((query.text or "").startswith("GRANT SELECT ON") for query in reader.iter("query"))


def test_alerts_file_names_services_of_the_composition() -> None:
    """And is one that the collector can read."""
    settings = load_alert_settings(ROOT / "deploy/alerts.toml")
    assert set(settings.allowed_hosts) <= {name for name, s in SERVICES.items() if s.get("profiles") == ["alerts"]}
    assert {receiver.kind for receiver in settings.receivers} == {"alertmanager", "email"}


def test_alertmanager_takes_its_configuration() -> None:
    """Debian's amtool reads it."""
    if (program := shutil.which("amtool")) is None:
        if os.environ.get("ACCEPTFIRST_TEST_REQUIRE") == "1":
            pytest.fail("amtool is not installed: apt-get install prometheus-alertmanager")
        pytest.skip("amtool is not installed: apt-get install prometheus-alertmanager")
    command = [program, "check-config", str(ROOT / "deploy/alertmanager.yml")]
    assert subprocess.run(command, capture_output=True, check=False).returncode == 0


@pytest.fixture
def secrets(tmp_path: Path) -> Path:
    """What the script makes, in a copy of the repository's folder of it."""
    (tmp_path / "deploy").mkdir()
    shutil.copy(ROOT / "deploy/make-secrets", tmp_path / "deploy")
    subprocess.run([str(tmp_path / "deploy/make-secrets")], check=True, capture_output=True)
    return tmp_path / "secrets"


def test_script_makes_every_secret(secrets: Path) -> None:
    """Each of the composition's, readable in a container, in a folder that nobody else can enter."""
    wanted = {Path(secret["file"]).name for secret in COMPOSE["secrets"].values()}
    assert wanted <= {path.name for path in secrets.iterdir()}
    assert all((path.stat().st_mode & 0o777) == 0o644 for path in secrets.iterdir())
    assert (secrets.stat().st_mode & 0o777) == 0o700


def test_script_keeps_the_secrets_that_are_there(secrets: Path) -> None:
    """A second run changes none: the database has the passwords already."""
    before = {path.name: path.read_text() for path in secrets.iterdir()}
    subprocess.run([str(secrets.parent / "deploy/make-secrets")], check=True, capture_output=True)
    assert {path.name: path.read_text() for path in secrets.iterdir()} == before


def test_collector_logs_in_with_the_password_that_clickhouse_knows(secrets: Path) -> None:
    """And the configuration is one that `serve` takes."""
    file = read_file(secrets / "acceptfirst_config")
    require_valid(file, build().get_command(None, "serve"))
    address = StoreAddress.parse(file.values["store"])
    passwords = ET.fromstring((secrets / "clickhouse_passwords").read_text())  # noqa: S314 - made just now
    assert (address.user, address.host) == ("acceptfirst", "clickhouse")
    assert passwords.findtext("collector_password") == address.password
    assert passwords.findtext("reader_password") == (secrets / "clickhouse_reader_password").read_text()


# -- ours --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", sorted(OURS))
def test_our_image_carries_the_version_of_the_distribution(name: str) -> None:
    """A release moves all, and each is built from a stage that is there."""
    assert SERVICES[name]["image"].endswith(f":{acceptfirst.__version__}")
    assert SERVICES[name]["build"]["target"] in stages()


def test_collector_command_exists_with_its_flags() -> None:
    """The verb and each flag are the command line's."""
    verb, *rest = SERVICES["collector"]["command"]
    command: Any = build().get_command(None, verb)
    known = {name for parameter in command.params for name in parameter.opts}
    assert {word for word in rest if word.startswith("--")} <= known


def test_collector_variables_are_settings() -> None:
    """A variable that nobody reads would be a setting that never holds."""
    options = build().get_command(None, "serve").params
    known = {option.envvar for option in options if getattr(option, "envvar", None)} | {"ACCEPTFIRST_CONFIG"}
    assert set(SERVICES["collector"]["environment"]) <= known


def test_collector_asks_for_a_token_where_it_listens_beyond_its_host() -> None:
    """Read from the secret, and never --insecure."""
    command = SERVICES["collector"]["command"]
    assert command[command.index("--token-file") + 1] == "/run/secrets/collector_token"
    assert "collector_token" in SERVICES["collector"]["secrets"]
    assert "--insecure" not in command


@pytest.mark.parametrize(
    ("module", "words"),
    [
        ("acceptfirst_chat", SERVICES["chat"]["command"][0].split("acceptfirst_chat ")[1].split()),
        ("acceptfirst_chat.crowd", SERVICES["crowd"]["command"]),
    ],
)
def test_demo_commands_exist_with_their_flags(module: str, words: list[str]) -> None:
    """As their help lists them."""
    done = subprocess.run([sys.executable, "-m", module, "--help"], check=True, capture_output=True, text=True)
    assert {word for word in words if word.startswith("--")} <= set(re.findall(r"--[\w-]+", done.stdout))


# -- the Dockerfile ----------------------------------------------------------------------------------------------------


def test_dockerfile_begins_from_one_exact_version() -> None:
    """Whatever is not a stage of its own."""
    bases = {base for base in stages().values() if base not in stages()}
    assert len(bases) == 1
    assert all(PINNED.match(base) for base in bases)


def test_images_run_as_a_user_without_rights() -> None:
    """Both, and no later line changes it back."""
    assert re.findall(r"^USER (\S+)", DOCKERFILE, re.MULTILINE) == ["10001:10001", "10001:10001"]


def test_images_hold_nothing_of_the_build() -> None:
    """Only the environment that was installed is copied into them."""
    for name in ("demo", "collector"):
        stage = DOCKERFILE.split(f" AS {name}\n")[1].split("\nFROM ")[0]
        assert re.findall(r"^COPY (.*)$", stage, re.MULTILINE) == [
            f"--from=build-{name} /opt/acceptfirst /opt/acceptfirst"
        ]


def test_dockerfile_copies_every_package_of_the_wheel() -> None:
    """A package that is added must reach the image too."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    folders = {
        str(Path(package).parent) for package in project["tool"]["hatch"]["build"]["targets"]["wheel"]["packages"]
    }
    assert folders <= copied()
    assert all((ROOT / path).exists() for path in copied())


def test_dockerignore_lets_through_what_is_copied() -> None:
    """What the engine does not get can't be copied."""
    let_through = {line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")}
    assert {path.split("/")[0] for path in copied()} <= let_through


# -- health ------------------------------------------------------------------------------------------------------------


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


@pytest.mark.parametrize(("age_s", "is_healthy"), [(10, True), (400, False), (None, False)])
def test_health_check_of_the_crowd_wants_a_recent_round(
    tmp_path: Path, age_s: float | None, *, is_healthy: bool
) -> None:
    """The very command, but for the place of its file."""
    beat = tmp_path / "beat"
    if age_s is not None:
        beat.touch()
        os.utime(beat, (beat.stat().st_mtime - age_s,) * 2)
    _, _, option, code = SERVICES["crowd"]["healthcheck"]["test"]
    command = [sys.executable, option, code.replace("/tmp/beat", str(beat))]  # noqa: S108 - a path in a container
    assert (subprocess.run(command, check=False, capture_output=True).returncode == 0) is is_healthy


def test_dockerfile_and_composition_check_health_alike() -> None:
    """One command, so that `docker run` and `docker compose` agree."""
    assert SERVICES["collector"]["healthcheck"]["test"][3] in DOCKERFILE
