"""Sends messages: all receivers at once, each with its own time limit, none in another's way."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Final

import aiosmtplib
import httpx

from acceptfirst_analysis.alerts.notify.addresses import AddressGuard, AddressRefusedError, GuardedTransport
from acceptfirst_analysis.alerts.notify.certificates import disbelief
from acceptfirst_analysis.alerts.notify.messages import (
    alertmanager_alerts,
    mail_message,
    slack_message,
    webhook_message,
)
from acceptfirst_analysis.alerts.notify.plan import Delivery
from acceptfirst_analysis.alerts.settings import AlertSettings, AlertSettingsError, Receiver, require_http

ALERTMANAGER_PATH: Final = "/api/v2/alerts"
_REASON_LENGTH_MAX: Final = 300


class DeliveryError(Exception):
    """A receiver that did not take a message; says what it answered."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a delivery went.

    Attributes:
        delivery: which.
        error: empty if the receiver took it.
    """

    delivery: Delivery
    error: str

    @property
    def is_taken(self) -> bool:
        """Whether the receiver took it."""
        return not self.error


def send_all(planned: Sequence[Delivery], settings: AlertSettings, at: datetime) -> list[Outcome]:
    """Send messages, and wait for each at most as long as the settings say.

    Args:
        planned: what is due.
        settings: hosts, time limit.
        at: now.
    """
    return asyncio.run(_send_all(planned, settings, at)) if planned else []


async def _send_all(planned: Sequence[Delivery], settings: AlertSettings, at: datetime) -> list[Outcome]:
    guard = AddressGuard(settings.allowed_hosts)
    return await asyncio.gather(*(_sent(delivery, settings, guard, at) for delivery in planned))


async def _sent(delivery: Delivery, settings: AlertSettings, guard: AddressGuard, at: datetime) -> Outcome:
    try:
        async with asyncio.timeout(settings.timeout_s):
            await (_mail if delivery.receiver.kind == "email" else _post)(delivery, settings, guard, at)
    except TimeoutError:
        return Outcome(delivery, f"no answer within {settings.timeout_s:g} s")
    except (AddressRefusedError, DeliveryError, AlertSettingsError) as error:
        return Outcome(delivery, str(error))
    except (OSError, httpx.HTTPError, httpx.InvalidURL, aiosmtplib.SMTPException) as error:
        said = disbelief(error) if delivery.receiver.kind == "email" else ""
        return Outcome(delivery, (said or f"{type(error).__name__}: {error}")[:_REASON_LENGTH_MAX])
    return Outcome(delivery, "")


async def _post(delivery: Delivery, settings: AlertSettings, guard: AddressGuard, at: datetime) -> None:
    receiver = delivery.receiver
    token = _secret(receiver.token_file)
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    # Only the status is of interest: an answer's body may be without an end, and is never read.
    async with (
        httpx.AsyncClient(
            transport=GuardedTransport(guard), follow_redirects=False, timeout=settings.timeout_s
        ) as client,
        client.stream("POST", _url(receiver), json=_body(delivery, settings, at), headers=headers) as response,
    ):
        if response.is_redirect:
            raise DeliveryError(f"answered {response.status_code}; redirects are not followed: give the final address")
        if not response.is_success:
            raise DeliveryError(f"answered {response.status_code}")


def _body(delivery: Delivery, settings: AlertSettings, at: datetime) -> Any:
    if delivery.receiver.kind == "alertmanager":
        return alertmanager_alerts(delivery, settings, at)
    if delivery.receiver.kind == "slack":
        return slack_message(delivery, settings)
    return webhook_message(delivery, settings)


def _url(receiver: Receiver) -> str:
    url = receiver.url or _secret(receiver.url_file)
    require_http(url, f"receiver {receiver.name}")
    is_whole = receiver.kind != "alertmanager" or url.rstrip("/").endswith(ALERTMANAGER_PATH)
    return url if is_whole else url.rstrip("/") + ALERTMANAGER_PATH


async def _mail(delivery: Delivery, settings: AlertSettings, guard: AddressGuard, at: datetime) -> None:
    receiver = delivery.receiver
    address = await guard.address_of(receiver.host, receiver.port)
    client = aiosmtplib.SMTP(
        hostname=receiver.host,  # the name that a certificate is compared with; the address is the one that was checked
        sock=await _connected(address, receiver.port),
        local_hostname=socket.gethostname(),
        use_tls=receiver.tls == "tls",
        start_tls=receiver.tls == "starttls",
        username=receiver.username or None,
        password=_secret(receiver.password_file) or None,
        timeout=settings.timeout_s,
    )
    async with client:
        await client.send_message(mail_message(delivery, settings, at))


async def _connected(address: str, port: int) -> socket.socket:
    opened = socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET, socket.SOCK_STREAM)
    opened.setblocking(False)
    try:
        await asyncio.get_running_loop().sock_connect(opened, (address, port))
    except BaseException:
        opened.close()
        raise
    return opened


def _secret(path: str) -> str:
    if not path:
        return ""
    try:
        return Path(path).read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise AlertSettingsError(f"the secret {path} can't be read: {error}") from error
