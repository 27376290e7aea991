"""Keeps messages from being sent to where nobody meant them to go (server-side request forgery).

Design constraints:

- a host is allowed by its name; without a list of names, any host is that has only public addresses;
- the address that was checked is the one that is connected to: a name that answers differently the second time (DNS
  rebinding) gains nothing;
- redirects are never followed, wherever they lead: an answer of 3xx is a failure.
"""

from __future__ import annotations

import asyncio
import ipaddress
import socket
from collections.abc import Collection

import httpx

_Address = ipaddress.IPv4Address | ipaddress.IPv6Address


class AddressRefusedError(Exception):
    """A host that is not to be talked to; says why, and what to do."""


class AddressGuard:
    """Knows which hosts may be talked to.

    Args:
        allowed_hosts: their names or addresses; empty for any with public addresses only.
    """

    def __init__(self, allowed_hosts: Collection[str]) -> None:
        self._allowed = frozenset(_canonical(host) for host in allowed_hosts)

    async def address_of(self, host: str, port: int) -> str:
        """The address to connect to.

        Raises:
            AddressRefusedError: the host, or one of its addresses, is not allowed.
            OSError: the name can't be looked up.
        """
        is_listed = _canonical(host) in self._allowed
        if self._allowed and not is_listed:
            raise AddressRefusedError(
                f"expected one of allowed_hosts, but got {host!r:.100}; add it to the alerts file"
            )
        found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
        addresses = sorted({str(entry[4][0]) for entry in found}, key=lambda text: (":" in text, text))
        if not is_listed and (private := [text for text in addresses if not is_public(text)]):
            raise AddressRefusedError(
                f"{host!r:.80} has the address {private[0]}, which is not public: list it in allowed_hosts"
            )
        return addresses[0]


def is_public(text: str) -> bool:
    """Whether an address is one of the public Internet; one that carries another inside is judged by that too."""
    address: _Address = ipaddress.ip_address(text.split("%", maxsplit=1)[0])
    inner = [address, *_carried(address)]
    return all(each.is_global and not each.is_multicast and not each.is_reserved for each in inner)


def _carried(address: _Address) -> list[_Address]:
    if not isinstance(address, ipaddress.IPv6Address):
        return []
    teredo = address.teredo[1] if address.teredo else None
    return [each for each in (address.ipv4_mapped, address.sixtofour, teredo) if each is not None]


def _canonical(host: str) -> str:
    return host.strip().strip("[]").rstrip(".").lower()


class GuardedTransport(httpx.AsyncHTTPTransport):
    """Connects to the address that was checked, in the name that was meant (Host header, TLS certificate).

    Args:
        guard: checks each host.
    """

    def __init__(self, guard: AddressGuard) -> None:
        super().__init__(trust_env=False)
        self._guard = guard

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Send the request; errors as in ``AddressGuard.address_of``, and httpx's own."""
        url = request.url
        port = url.port or (443 if url.scheme == "https" else 80)
        address = await self._guard.address_of(url.host, port)
        request.extensions = {**request.extensions, "sni_hostname": url.host}
        request.url = url.copy_with(host=address)
        return await super().handle_async_request(request)
