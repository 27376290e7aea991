"""What the spans of connections say: which races, whether waiting helps, how long, and whether a change worked.

For a notebook, ``load`` gives what is stored as typed DataFrames:

    frames = acceptfirst_analysis.load("chdb:///path/to/db", since="7d")
    frames.handshakes.groupby("route")["ready_ms"].quantile(0.99)
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from acceptfirst_analysis.frames import Frames

__all__ = ["load"]


def load(
    source: str, *, environment: str = "", since: str = "", until: str = "", token: str = "", rows_max: int = 1_000_000
) -> Frames:
    """Handshakes, patterns and recommendations of a range as typed DataFrames.

    Args:
        source: a store (``chdb:///path``, ``clickhouse://…``) or a running ``serve`` (``http://…``).
        environment: only of this one; all of them if empty.
        since: ISO 8601 or an age such as ``7d``; from the beginning if empty.
        until: the same; now if empty.
        token: bearer token of that ``serve``, if it wants one.
        rows_max: of each frame; more is an error, since a part of the rows would look like all of them.

    Returns:
        The three frames; see ``acceptfirst_analysis.frames.Frames`` for their columns.

    Raises:
        WindowError: when the range can't be understood.
        StoreError: when the store can't be read.
        TooManyRowsError: when there are more rows than asked for.
    """
    # pandas is 60 MB, and most of this package works without it, some of it in the collector's process.
    from acceptfirst_analysis.frames import load_frames  # noqa: PLC0415 - see above

    return load_frames(source, environment=environment, since=since, until=until, token=token, rows_max=rows_max)
