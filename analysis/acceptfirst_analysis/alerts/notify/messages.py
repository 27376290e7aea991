"""What receivers are given: Alertmanager's API v2, its webhook v4, Slack's incoming webhook, and a mail.

Sources: ``api/v2/openapi.yaml`` of prometheus/alertmanager (postableAlerts), its configuration page (webhook_config),
and Slack's reference of message attachments and of what must be escaped.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from email.message import EmailMessage
from typing import Any, Final

from acceptfirst_analysis.alerts.episode import Episode
from acceptfirst_analysis.alerts.notify.plan import Delivery
from acceptfirst_analysis.alerts.settings import AlertSettings

ALERTS_PER_MESSAGE_MAX: Final = 50
STILL_FIRING_FOR: Final = timedelta(minutes=5)
"""An Alertmanager that hears nothing more for this long takes the alert for over."""

_ZERO: Final = "0001-01-01T00:00:00Z"
_COLOURS: Final = {"critical": "#d13212", "warning": "#e8a33d", "info": "#5b7fa6"}
_GOOD: Final = "#2e7d32"


def alertmanager_alerts(delivery: Delivery, settings: AlertSettings, at: datetime) -> list[dict[str, Any]]:
    """The body of ``POST /api/v2/alerts``."""
    return [
        {
            "labels": dict(episode.labels),
            "annotations": _annotations(episode, settings),
            "startsAt": _text(episode.fired_at or episode.active_since),
            "endsAt": _text(episode.resolved_at or at + STILL_FIRING_FOR),
            "generatorURL": settings.external_url,
        }
        for episode in delivery.episodes
    ]


def webhook_message(delivery: Delivery, settings: AlertSettings) -> dict[str, Any]:
    """A message of version 4, as receivers of Alertmanager's webhooks know it."""
    shown = delivery.episodes[:ALERTS_PER_MESSAGE_MAX]
    return {
        "version": "4",
        "groupKey": _group_key(delivery),
        "truncatedAlerts": len(delivery.episodes) - len(shown),
        "status": "firing" if delivery.is_firing else "resolved",
        "receiver": delivery.receiver.name,
        "groupLabels": {name: value for name, value in delivery.group if value},
        "commonLabels": _common([dict(episode.labels) for episode in shown]),
        "commonAnnotations": _common([_annotations(episode, settings) for episode in shown]),
        "externalURL": settings.external_url,
        "alerts": [_webhook_alert(episode, settings) for episode in shown],
    }


def slack_message(delivery: Delivery, settings: AlertSettings) -> dict[str, Any]:
    """A message for Slack and what understands its webhooks (Mattermost, Rocket.Chat)."""
    shown = delivery.episodes[:ALERTS_PER_MESSAGE_MAX]
    attachments: list[dict[str, Any]] = [
        {
            "color": _GOOD if episode.is_over else _COLOURS[episode.labels["severity"]],
            "fallback": slack_escaped(_headline(episode)),
            "title": slack_escaped(_headline(episode)),
            "text": slack_escaped(f"{episode.description}\nRunbook: {runbook_of(episode, settings)}"),
            "ts": int((episode.resolved_at or episode.fired_at or episode.active_since).timestamp()),
        }
        for episode in shown
    ]
    return {"text": slack_escaped(_subject(delivery)), "attachments": attachments}


def mail_message(delivery: Delivery, settings: AlertSettings, at: datetime) -> EmailMessage:
    """A mail in plain text; the messages of one group stand in one thread."""
    message = EmailMessage()
    thread = hashlib.sha256(_group_key(delivery).encode()).hexdigest()[:24]
    moment = at.astimezone(UTC).strftime("%Y%m%dT%H%M%S")
    message["Subject"] = _subject(delivery)
    message["From"] = delivery.receiver.sender
    message["To"] = ", ".join(delivery.receiver.to)
    message["Date"] = at.astimezone(UTC)
    message["Message-ID"] = f"<{thread}.{moment}@acceptfirst>"
    message["References"] = f"<{thread}@acceptfirst>"
    message["Auto-Submitted"] = "auto-generated"
    shown = delivery.episodes[:ALERTS_PER_MESSAGE_MAX]
    parts = [
        f"{_headline(episode)}\n{episode.description}\nSince {_text(episode.fired_at or episode.active_since)}"
        + (f", over at {_text(episode.resolved_at)}" if episode.resolved_at else "")
        + f"\nRunbook: {runbook_of(episode, settings)}\n"
        for episode in shown
    ]
    if left := len(delivery.episodes) - len(shown):
        parts.append(f"and {left} more\n")
    message.set_content("\n".join([*parts, settings.external_url]))
    return message


def runbook_of(episode: Episode, settings: AlertSettings) -> str:
    """Where the runbook of an alert is."""
    return f"{settings.runbook_base.rstrip('/')}/{episode.rule_id}.md"


def slack_escaped(text: str) -> str:
    """The three characters that mean something to Slack; a route that says <!channel> calls nobody."""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def _webhook_alert(episode: Episode, settings: AlertSettings) -> dict[str, Any]:
    return {
        "status": "resolved" if episode.is_over else "firing",
        "labels": dict(episode.labels),
        "annotations": _annotations(episode, settings),
        "startsAt": _text(episode.fired_at or episode.active_since),
        "endsAt": _text(episode.resolved_at) if episode.resolved_at else _ZERO,
        "generatorURL": settings.external_url,
        "fingerprint": episode.fingerprint,
    }


def _annotations(episode: Episode, settings: AlertSettings) -> dict[str, str]:
    return {
        "summary": episode.summary,
        "description": episode.description,
        "value": "no data" if episode.value is None else f"{episode.value:.4g}",
        "runbook_url": runbook_of(episode, settings),
    }


def _headline(episode: Episode) -> str:
    state = "RESOLVED" if episode.is_over else episode.labels["severity"].upper()
    return f"[{state}] {episode.rule_id} {episode.summary}"


def _subject(delivery: Delivery) -> str:
    firing = sum(not episode.is_over for episode in delivery.episodes)
    state = f"firing: {firing}" if firing else "resolved"
    group = " ".join(value for _, value in delivery.group if value)
    return f"[AcceptFirst] {state}, {group}" if group else f"[AcceptFirst] {state}"


def _group_key(delivery: Delivery) -> str:
    pairs = ", ".join(f'{name}="{value}"' for name, value in delivery.group)
    return f"{{}}:{{{pairs}}}"


def _common(dicts: Sequence[dict[str, str]]) -> dict[str, str]:
    if not dicts:
        return {}
    first, *others = dicts
    return {name: value for name, value in first.items() if all(other.get(name) == value for other in others)}


def _text(instant: datetime) -> str:
    return instant.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
