"""Messages to real receivers: their form, that each is sent once, and that a bad receiver hurts nobody else."""

from __future__ import annotations

import dataclasses
import datetime as dt
import json
from collections.abc import Callable
from email.header import decode_header, make_header
from pathlib import Path
from typing import Any

import pytest

from acceptfirst_analysis.alerts.episode import Episode
from acceptfirst_analysis.alerts.labels import fingerprint_of
from acceptfirst_analysis.alerts.notify.plan import Delivery, deliveries
from acceptfirst_analysis.alerts.notify.send import Outcome, send_all
from acceptfirst_analysis.alerts.settings import AlertSettings, Receiver

NOW = dt.datetime(2026, 11, 25, 12, tzinfo=dt.UTC)
LOCAL = ("127.0.0.1",)


def alert(route: str = "/ws", **values: Any) -> Episode:
    """A firing alert about latency."""
    labels = {
        "alertname": "AcceptLatencyHigh",
        "rule": "AF-04",
        "severity": "warning",
        "environment": "production",
        "route": route,
    }
    firing = Episode(
        fingerprint=fingerprint_of(labels),
        labels=labels,
        state="firing",
        value=2.5,
        threshold=1.0,
        n=100,
        summary=f"production chat {route}: slow",
        description="Accept takes long.",
        active_since=NOW - dt.timedelta(minutes=10),
        last_active_at=NOW,
        fired_at=NOW,
        updated_at=NOW,
    )
    return dataclasses.replace(firing, **values)


def webhook(url: str, **values: Any) -> Receiver:
    """A receiver by webhook."""
    return Receiver(**{"name": "hook", "kind": "webhook", "url": url, **values})


def mail(host: str, port: int, **values: Any) -> Receiver:
    """A receiver by e-mail."""
    known = {"name": "mail", "sender": "acceptfirst@example.com", "to": ("team@example.com",)}
    return Receiver(**{**known, "kind": "email", "host": host, "port": port, **values})


def sent(receivers: tuple[Receiver, ...], *episodes: Episode, **settings: Any) -> list[Outcome]:
    """Tell the receivers of the alerts."""
    chosen = AlertSettings(**{"receivers": receivers, "allowed_hosts": LOCAL, **settings})
    return send_all(deliveries(episodes or [alert()], chosen, NOW), chosen, NOW)


def errors(outcomes: list[Outcome]) -> list[str]:
    """What went wrong, empty where nothing did."""
    return [outcome.error for outcome in outcomes]


# -- forms -------------------------------------------------------------------------------------------------------------


def test_webhook_is_sent_version_four(web_receiver: Callable[[], Any]) -> None:
    """With every key that receivers of Alertmanager's webhooks read."""
    receiver = web_receiver()
    assert errors(sent((webhook(receiver.url),), external_url="https://acceptfirst.example")) == [""]
    [message] = receiver.bodies
    assert {key: message[key] for key in ("version", "status", "receiver", "groupLabels", "truncatedAlerts")} == {
        "version": "4",
        "status": "firing",
        "receiver": "hook",
        "groupLabels": {"alertname": "AcceptLatencyHigh", "environment": "production"},
        "truncatedAlerts": 0,
    }
    assert set(message) >= {"groupKey", "commonLabels", "commonAnnotations", "externalURL"}
    [told] = message["alerts"]
    assert told["annotations"]["runbook_url"] == "docs/runbooks/AF-04.md"
    assert (told["startsAt"], told["endsAt"]) == ("2026-11-25T12:00:00.000Z", "0001-01-01T00:00:00Z")
    assert len(told["fingerprint"]) == 16


def test_webhook_is_sent_the_end(web_receiver: Callable[[], Any]) -> None:
    """With the time of it."""
    receiver = web_receiver()
    ended = alert(state="resolved", resolved_at=NOW, told_firing={"hook": NOW})
    sent((webhook(receiver.url),), ended)
    [message] = receiver.bodies
    assert (message["status"], message["alerts"][0]["endsAt"]) == ("resolved", "2026-11-25T12:00:00.000Z")


def test_webhook_of_many_alerts_says_how_many_it_left_out(web_receiver: Callable[[], Any]) -> None:
    """A message has an end."""
    receiver = web_receiver()
    sent((webhook(receiver.url),), *(alert(f"/{number}") for number in range(60)))
    [message] = receiver.bodies
    assert (len(message["alerts"]), message["truncatedAlerts"]) == (50, 10)


def test_webhook_is_given_its_token(web_receiver: Callable[[], Any], tmp_path: Path) -> None:
    """From a file, since it is a secret."""
    receiver = web_receiver()
    (tmp_path / "token").write_text("s3cret\n")
    sent((webhook(receiver.url, token_file=str(tmp_path / "token")),))
    assert receiver.headers[0]["Authorization"] == "Bearer s3cret"


def test_slack_text_calls_nobody_and_links_nowhere(web_receiver: Callable[[], Any]) -> None:
    """What a route says is text, not markup."""
    receiver = web_receiver()
    hostile = alert("/<!channel>&<https://evil.example|click>")
    assert errors(sent((webhook(receiver.url, kind="slack"),), hostile)) == [""]
    [message] = receiver.bodies
    told = json.dumps(message)
    assert "<" not in told
    assert ">" not in told
    assert "/&lt;!channel&gt;&amp;" in message["attachments"][0]["title"]


def test_mail_says_what_where_and_what_to_read(mail_server: Any) -> None:
    """In plain text, to every address, as a machine's mail."""
    receiver = mail("127.0.0.1", mail_server.port, tls="none", to=("one@example.com", "two@example.com"))
    assert errors(sent((receiver,), alert("/<script>чат"))) == [""]
    [came] = mail_server.mails
    text = came.get_payload(decode=True).decode()
    assert str(make_header(decode_header(came["Subject"]))) == "[AcceptFirst] firing: 1, AcceptLatencyHigh production"
    assert (came["To"], came["Auto-Submitted"]) == ("one@example.com, two@example.com", "auto-generated")
    assert came.get_content_type() == "text/plain"
    assert "production chat /<script>чат: slow" in text
    assert "docs/runbooks/AF-04.md" in text


# -- bad receivers -----------------------------------------------------------------------------------------------------


def test_receiver_that_hangs_stops_nobody_else(web_receiver: Callable[[], Any]) -> None:
    """The others have their message, and this one is given up."""
    hanging, fine = web_receiver(), web_receiver()
    hanging.hanging.set()
    receivers = (webhook(hanging.url, name="hanging"), webhook(fine.url, name="fine"))
    outcomes = sent(receivers, timeout_s=0.5)
    assert errors(outcomes) == ["no answer within 0.5 s", ""]
    assert len(fine.bodies) == 1


def test_receiver_that_fails_is_an_error_of_its_own(web_receiver: Callable[[], Any]) -> None:
    """An answer of 500, and nobody at the port."""
    failing, fine = web_receiver(), web_receiver()
    failing.status = 500
    receivers = (
        webhook(failing.url, name="failing"),
        webhook("http://127.0.0.1:9/", name="nobody"),
        webhook(fine.url, name="fine"),
    )
    failed, nobody, well = errors(sent(receivers))
    assert (failed, nobody.startswith("ConnectError"), well) == ("answered 500", True, "")


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_redirect_is_not_followed(web_receiver: Callable[[], Any], status: int) -> None:
    """Wherever it leads: a private address is what it would be good for."""
    public, private = web_receiver(), web_receiver()
    public.status, public.location = status, private.url
    [error] = errors(sent((webhook(public.url),)))
    assert f"answered {status}; redirects are not followed" in error
    assert private.bodies == []


def test_private_address_is_refused_unless_it_is_listed(web_receiver: Callable[[], Any]) -> None:
    """Nothing is sent."""
    receiver = web_receiver()
    [error] = errors(sent((webhook(receiver.url),), allowed_hosts=()))
    assert "not public" in error
    assert receiver.bodies == []


def test_mail_server_inside_is_refused_unless_it_is_listed(mail_server: Any) -> None:
    """The same rule for mail."""
    receiver = Receiver(
        name="mail",
        kind="email",
        host="localhost",
        port=mail_server.port,
        sender="a@example.com",
        to=("b@example.com",),
    )
    [error] = errors(sent((receiver,), allowed_hosts=()))
    assert "not public" in error


def test_mail_without_the_tls_that_was_asked_for_is_not_sent(mail_server: Any) -> None:
    """A server that offers none gets no mail in clear."""
    receiver = Receiver(
        name="mail",
        kind="email",
        host="127.0.0.1",
        port=mail_server.port,
        sender="a@example.com",
        to=("b@example.com",),
    )
    [error] = errors(sent((receiver,)))
    assert "STARTTLS" in error
    assert mail_server.mails == []


def test_secret_that_can_not_be_read_is_named(web_receiver: Callable[[], Any], tmp_path: Path) -> None:
    """And no message goes out without its token."""
    receiver = web_receiver()
    [error] = errors(sent((webhook(receiver.url, token_file=str(tmp_path / "none")),)))
    assert "can't be read" in error
    assert receiver.bodies == []


def test_host_header_keeps_the_name_when_the_address_is_connected_to(web_receiver: Callable[[], Any]) -> None:
    """Virtual hosts and certificates go by the name."""
    receiver = web_receiver()
    url = receiver.url.replace("127.0.0.1", "localhost")
    assert errors(sent((webhook(url),), allowed_hosts=("localhost",))) == [""]
    assert receiver.headers[0]["Host"].startswith("localhost:")


def test_nothing_due_is_nothing_sent() -> None:
    """Not even an event loop."""
    assert send_all([], AlertSettings(), NOW) == []


def test_delivery_is_firing_while_one_of_its_alerts_is() -> None:
    """The message's colour."""
    ended = alert(state="resolved", resolved_at=NOW)
    assert Delivery(webhook("http://127.0.0.1/"), (), (ended, alert("/b"))).is_firing
    assert not Delivery(webhook("http://127.0.0.1/"), (), (ended,)).is_firing
