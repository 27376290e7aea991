"""Where a store is: one value made from a DSN, so that nobody else parses one."""

from __future__ import annotations

import dataclasses
import os
import pathlib
import re
import urllib.parse

from acceptfirst_store.errors import AddressInvalid

DATABASE = "acceptfirst"
HTTP_PORT = 8123
HTTPS_PORT = 8443
CLUSTER_VARIABLE = "ACCEPTFIRST_CLUSTER"
EXPECTED = "chdb:///absolute/path, clickhouse://user:password@host:8123/acceptfirst or clickhouses://… for TLS"
_CLUSTER = re.compile(r"[A-Za-z0-9_.-]{0,64}")


@dataclasses.dataclass(frozen=True)
class StoreAddress:
    """An embedded store (`path` set) or a ClickHouse server (`host` set).

    `cluster` names the cluster that the server's tables are spread over; empty for a server alone.
    """

    path: pathlib.Path | None = None
    host: str = ""
    port: int = 0
    user: str = "default"
    password: str = dataclasses.field(default="", repr=False)
    secure: bool = False
    cluster: str = ""

    @classmethod
    def parse(cls, dsn: str) -> StoreAddress:
        """Read a DSN.

        Args:
            dsn: `chdb:///path`, `clickhouse://user:password@host:port/acceptfirst` or `clickhouses://…`.

        Returns:
            The address; an embedded path is absolute, a server has the cluster that `ACCEPTFIRST_CLUSTER` names.

        Raises:
            AddressInvalid: it is none of these; the message never repeats a password.
        """
        parts = urllib.parse.urlsplit(dsn)
        if parts.scheme == "chdb":
            return cls._embedded(parts)
        if parts.scheme in {"clickhouse", "clickhouses"}:
            return cls._server(parts)
        raise AddressInvalid(f"expected a store like {EXPECTED}; got the scheme {parts.scheme!r}")

    @classmethod
    def embedded(cls, path: pathlib.Path) -> StoreAddress:
        """Address the embedded store in a directory, relative to the working directory if need be."""
        return cls(path=path.absolute())

    @classmethod
    def _embedded(cls, parts: urllib.parse.SplitResult) -> StoreAddress:
        """Take only absolute paths: chDB puts a relative one into the root of the file system."""
        path = pathlib.PurePosixPath(urllib.parse.unquote(parts.path))
        if parts.netloc or not path.is_absolute() or path == pathlib.PurePosixPath("/"):
            raise AddressInvalid(
                f"expected chdb:///absolute/path with three slashes; got {parts.geturl()!r}; write the whole path"
            )
        return cls(path=pathlib.Path(path))

    @classmethod
    def _server(cls, parts: urllib.parse.SplitResult) -> StoreAddress:
        secure = parts.scheme == "clickhouses"
        if not parts.hostname:
            raise AddressInvalid(f"expected a host in the store's address, like {EXPECTED}; got none")
        if parts.path.strip("/") not in {"", DATABASE}:
            raise AddressInvalid(f"expected the database {DATABASE!r}; got {parts.path.strip('/')!r}; leave it out")
        try:
            port = parts.port or (HTTPS_PORT if secure else HTTP_PORT)
        except ValueError:
            raise AddressInvalid(f"expected a port from 1 to 65535 in the store's address, like {EXPECTED}") from None
        return cls(
            host=parts.hostname,
            port=port,
            user=urllib.parse.unquote(parts.username or "default"),
            password=urllib.parse.unquote(parts.password or ""),
            secure=secure,
            cluster=_cluster(),
        )

    def __str__(self) -> str:
        if self.path is not None:
            return f"chdb://{self.path}"
        return f"clickhouse{'s' if self.secure else ''}://{self.host}:{self.port}/{DATABASE}"


def _cluster() -> str:
    """Read the cluster's name from the environment; it goes into statements where no parameter can stand."""
    name = os.environ.get(CLUSTER_VARIABLE, "")
    if not _CLUSTER.fullmatch(name):
        raise AddressInvalid(
            f"expected a cluster's name in {CLUSTER_VARIABLE}: letters, digits, '_', '-' and '.'; got {name[:64]!r}"
        )
    return name
