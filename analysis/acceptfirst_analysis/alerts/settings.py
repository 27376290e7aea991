"""Who is told of alerts, what is silenced: a TOML file of the operator, checked when it is read.

Example::

    allowed_hosts = ["alertmanager", "hooks.example.com"]

    [[receivers]]
    name = "pager"
    kind = "alertmanager"
    url = "http://alertmanager:9093"

    [[receivers]]
    name = "chat"
    kind = "slack"
    url_file = "/run/secrets/slack_url"
    severities = ["critical", "warning"]

    [[receivers]]
    name = "mail"
    kind = "email"
    host = "smtp.example.com"
    sender = "acceptfirst@example.com"
    to = ["team@example.com"]

    [[silences]]
    rule = "AF-04"
    environment = "staging"
    until = 2026-12-01T00:00:00Z
    reason = "load test"
"""

from __future__ import annotations

import dataclasses
import tomllib
import typing
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final, Literal, TypeVar
from urllib.parse import urlsplit

from acceptfirst_analysis.alerts.rules import Rule, rules_without

Kind = Literal["alertmanager", "webhook", "slack", "email"]
Tls = Literal["starttls", "tls", "none"]

KINDS: Final = typing.get_args(Kind)
TLS: Final = typing.get_args(Tls)
SEVERITIES: Final = ("critical", "warning", "info")
GROUP_LABELS: Final = ("alertname", "environment", "service", "route", "pattern", "severity")
_EMAIL_ONLY: Final = ("host", "sender", "to")

_T = TypeVar("_T")


class AlertSettingsError(ValueError):
    """The file can't be used; says what was expected and what came."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Receiver:
    """Somebody who is told.

    Attributes:
        name: unique; deliveries are remembered by it.
        kind: how it is told.
        url: of an Alertmanager (without a path of the API) or a webhook.
        url_file: holds the URL, where it is a secret.
        token_file: holds a bearer token that is sent along.
        severities: of the alerts that it is told of.
        host: of a mail server.
        port: of a mail server.
        tls: how its connection is protected.
        username: for it; empty for none.
        password_file: holds the password.
        sender: address that mails come from.
        to: addresses that mails go to.
    """

    name: str
    kind: Kind
    url: str = field(default="", repr=False)
    url_file: str = ""
    token_file: str = ""
    severities: tuple[str, ...] = SEVERITIES
    host: str = ""
    port: int = 587
    tls: Tls = "starttls"
    username: str = ""
    password_file: str = ""
    sender: str = ""
    to: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Silence:
    """Alerts that nobody is to be told of until some time; an empty label fits all.

    Attributes:
        until: aware.
        reason: shown beside the alert.
        rule: id of a rule.
        environment: label.
        service: label.
        route: label.
        pattern: label.
    """

    until: datetime
    reason: str
    rule: str = ""
    environment: str = ""
    service: str = ""
    route: str = ""
    pattern: str = ""

    def fits(self, labels: Mapping[str, str], at: datetime) -> bool:
        """Whether it holds for an alert at an instant."""
        names = ("rule", "environment", "service", "route", "pattern")
        return at < self.until and all(getattr(self, name) in ("", labels.get(name, "")) for name in names)


@dataclass(frozen=True, slots=True, kw_only=True)
class AlertSettings:
    """Everything about alerts that an operator decides.

    Attributes:
        allowed_hosts: the only hosts that are told anything; empty: any host with a public address.
        group_by: labels; alerts that share their values are told in one message.
        repeat_s: an alert that goes on is told again after this long (Alertmanager repeats by itself).
        timeout_s: for one receiver, from the look-up of its name to its answer.
        external_url: where people reach this collector; stands in messages.
        runbook_base: where the runbooks are; the file's name is put behind it.
        disabled: ids of rules that are not asked.
        receivers: who is told.
        silences: what they are not told.
        base: the rules as the configuration sets them; those of this version if empty. No setting of the file.
    """

    allowed_hosts: tuple[str, ...] = ()
    group_by: tuple[str, ...] = ("alertname", "environment")
    repeat_s: float = 4 * 3600.0
    timeout_s: float = 10.0
    external_url: str = ""
    runbook_base: str = "docs/runbooks"
    disabled: tuple[str, ...] = ()
    receivers: tuple[Receiver, ...] = ()
    silences: tuple[Silence, ...] = ()
    base: tuple[Rule, ...] = field(default=(), repr=False, metadata={"is_in_file": False})

    @property
    def rules(self) -> tuple[Rule, ...]:
        """The rules that are asked."""
        return rules_without(self.disabled, self.base)

    def silenced_by(self, labels: Mapping[str, str], at: datetime) -> str:
        """The reason of the first silence that holds for an alert; empty if none does."""
        return next((silence.reason or "silenced" for silence in self.silences if silence.fits(labels, at)), "")


def load_alert_settings(path: Path) -> AlertSettings:
    """Read the file.

    Raises:
        AlertSettingsError: it can't be read, or something in it can't be used.
    """
    try:
        values = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise AlertSettingsError(f"the alerts file {path} can't be read: {error.strerror}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise AlertSettingsError(f"expected TOML in {path}, but got: {error}") from error
    try:
        return alert_settings(values)
    except AlertSettingsError as error:
        raise AlertSettingsError(f"{path}: {error}") from error


def alert_settings(values: Mapping[str, Any]) -> AlertSettings:
    """Settings from what the file says.

    Raises:
        AlertSettingsError: naming what can't be used.
    """
    tables = {"receivers": (_receiver, Receiver), "silences": (_silence, Silence)}
    read: dict[str, Any] = dict(values)
    for name, (check, kind) in tables.items():
        given = read.get(name, [])
        if not isinstance(given, list) or not all(isinstance(item, dict) for item in given):
            raise AlertSettingsError(f"expected [[{name}]] to be tables, but got {given!r:.100}")
        read[name] = tuple(
            check(_made(kind, item, f"{name}[{i}]"), f"{name}[{i}]")  # type: ignore[operator]  # each check takes its own kind
            for i, item in enumerate(given)
        )
    settings = _made(AlertSettings, read, "the file")
    _require_subset("group_by", settings.group_by, GROUP_LABELS)
    names = [receiver.name for receiver in settings.receivers]
    if len(set(names)) != len(names):
        raise AlertSettingsError(f"expected each receiver to have a name of its own, but got {', '.join(names)}")
    if not 0 < settings.timeout_s <= 60 or settings.repeat_s < 60:  # noqa: PLR2004 - said in the message
        raise AlertSettingsError("expected timeout_s above 0 and at most 60, and repeat_s of at least 60")
    try:
        _ = settings.rules
    except ValueError as error:
        raise AlertSettingsError(f"disabled: {error}") from error
    return settings


def _made(kind: type[_T], values: Mapping[str, Any], place: str) -> _T:
    outside = {f.name for f in dataclasses.fields(kind) if not f.metadata.get("is_in_file", True)}  # type: ignore[arg-type]  # always a dataclass of ours
    hints = {name: hint for name, hint in typing.get_type_hints(kind).items() if name not in outside}
    if unknown := sorted(set(values) - set(hints)):
        raise AlertSettingsError(f"{place}: expected only {', '.join(hints)}, but got {', '.join(unknown)[:200]}")
    needed = [f.name for f in dataclasses.fields(kind) if f.default is f.default_factory is dataclasses.MISSING]  # type: ignore[arg-type]  # always a dataclass of ours
    if missing := [name for name in needed if name not in values]:
        raise AlertSettingsError(f"{place}: expected {', '.join(missing)}, but it is missing")
    return kind(**{name: _value(value, hints[name], f"{place}: {name}") for name, value in values.items()})


def _value(value: Any, hint: Any, place: str) -> Any:
    if typing.get_origin(hint) is tuple:
        if not isinstance(value, list | tuple):
            raise AlertSettingsError(f"expected {place} to be a list, but got {value!r:.100}")
        if typing.get_args(hint)[0] is str and not all(isinstance(item, str) for item in value):
            raise AlertSettingsError(f"expected {place} to be a list of texts, but got {value!r:.100}")
        return tuple(value)
    if typing.get_origin(hint) is Literal:
        _require_subset(place, (value,), typing.get_args(hint))
        return value
    if hint is datetime:
        if not isinstance(value, datetime):
            raise AlertSettingsError(
                f"expected {place} to be a time such as 2026-12-01T00:00:00Z, but got {value!r:.100}"
            )
        return value if value.tzinfo else value.replace(tzinfo=UTC)
    wanted = (int, float) if hint is float else hint
    if isinstance(value, bool) or not isinstance(value, wanted):
        raise AlertSettingsError(f"expected {place} to be a {hint.__name__}, but got {value!r:.100}")
    return value


def _receiver(receiver: Receiver, place: str) -> Receiver:
    _require_subset(f"{place}: severities", receiver.severities, SEVERITIES)
    if receiver.kind == "email":
        if missing := [name for name in _EMAIL_ONLY if not getattr(receiver, name)]:
            raise AlertSettingsError(f"{place}: expected {', '.join(missing)} for a receiver by e-mail")
        return receiver
    if bool(receiver.url) == bool(receiver.url_file):
        raise AlertSettingsError(f"{place}: expected either url or url_file")
    if receiver.url:
        require_http(receiver.url, place)
    return receiver


def require_http(url: str, place: str) -> None:
    """Check that a URL is one that can be posted to; what it says is not repeated, it may be a secret.

    Raises:
        AlertSettingsError: when it is none.
    """
    try:
        parts = urlsplit(url)
        is_usable = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        is_usable = False
    if not is_usable:
        raise AlertSettingsError(f"{place}: expected a URL that begins with http:// or https:// and names a host")


def _silence(silence: Silence, place: str) -> Silence:
    if not any((silence.rule, silence.environment, silence.service, silence.route, silence.pattern)):
        raise AlertSettingsError(f"{place}: expected at least one of rule, environment, service, route, pattern")
    return silence


def _require_subset(place: str, given: tuple[Any, ...], known: tuple[str, ...]) -> None:
    if unknown := [item for item in given if item not in known]:
        raise AlertSettingsError(f"expected {place} to be of {', '.join(known)}, but got {unknown[0]!r:.100}")
