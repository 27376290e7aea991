"""Which hosts may be talked to, and that the address that was checked is the one that is connected to."""

from __future__ import annotations

import asyncio
import socket
from typing import Any

import pytest

from acceptfirst_analysis.alerts.notify.addresses import AddressGuard, AddressRefusedError, is_public


def address_of(host: str, *allowed: str) -> str:
    """Where the guard lets one connect to."""
    return asyncio.run(AddressGuard(allowed).address_of(host, 80))


@pytest.mark.parametrize(
    "text",
    [
        "127.0.0.1",
        "10.1.2.3",
        "172.16.0.1",
        "192.168.1.1",
        "169.254.169.254",
        "100.64.0.1",
        "0.0.0.0",  # noqa: S104 - an address to be refused, nothing is bound
        "224.0.0.1",
        "255.255.255.255",
        "::1",
        "::",
        "fe80::1%eth0",
        "fd00::1",
        "::ffff:127.0.0.1",
        "64:ff9b::7f00:1",
        "2002:7f00:1::",
        "ff02::1",
    ],
)
def test_address_inside_is_not_public(text: str) -> None:
    """In whatever clothes it comes: mapped, translated, tunnelled."""
    assert not is_public(text)


@pytest.mark.parametrize("text", ["1.1.1.1", "2606:4700:4700::1111"])
def test_address_outside_is_public(text: str) -> None:
    """Otherwise nobody could be told at all."""
    assert is_public(text)


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "2130706433", "0x7f.1", "127.1"])
def test_host_with_an_address_inside_is_refused(host: str) -> None:
    """However it is written, the look-up decides."""
    with pytest.raises(AddressRefusedError, match="not public"):
        address_of(host)


def test_host_that_is_listed_may_be_inside() -> None:
    """An Alertmanager is a neighbour."""
    assert address_of("LOCALHOST", "localhost") in {"127.0.0.1", "::1"}


def test_host_that_is_not_listed_is_refused_wherever_it_is() -> None:
    """A list of names is the whole list; no look-up is made."""
    with pytest.raises(AddressRefusedError, match="allowed_hosts"):
        address_of("hooks.example.com", "alertmanager")


def test_name_with_one_address_inside_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """Which one would be used is left to chance otherwise."""

    async def both(*arguments: Any, **options: Any) -> list[Any]:
        return [(socket.AF_INET, 0, 0, "", (text, 80)) for text in ("1.1.1.1", "10.0.0.1")]

    async def ask() -> str:
        monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", both)
        return await AddressGuard(()).address_of("two.example", 80)

    with pytest.raises(AddressRefusedError, match=r"10\.0\.0\.1"):
        asyncio.run(ask())
