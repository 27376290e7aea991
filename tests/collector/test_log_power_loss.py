"""The log on a disk that keeps only what was synced: power may be lost at any moment, also while the log recovers.

Files are real, and so is the log. Every call that syncs is a moment at which power may be lost; what the disk then
holds is made of what was synced, and of any part of what was not: each name old or new, each file cut anywhere behind
what was synced, or filled with zeros. The store is a dictionary by token, as durable as its own syncs make it.
"""

from __future__ import annotations

import dataclasses
import hashlib
import os
import pathlib
import shutil
import tempfile
import uuid
from collections.abc import Callable
from typing import Any
from unittest import mock

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from acceptfirst_collector.log.layout import Record
from acceptfirst_collector.log.request_log import Limits, RequestLog

LIMITS = Limits(segment_bytes_max=200, seen_seconds=1e9)


@dataclasses.dataclass(frozen=True)
class Moment:
    """What was there when power was lost: files as the process saw them, what of them was synced, and the store."""

    seen: dict[str, bytes]
    names: dict[str, int]
    contents: dict[int, bytes]
    store: dict[str, list[bytes]]


class Disk:
    """A folder of real files whose syncs are watched; `moments` are those since `forget`."""

    def __init__(self, folder: pathlib.Path, store: dict[str, list[bytes]]) -> None:
        self.folder = folder
        self.store = store
        self._pinned = pathlib.Path(tempfile.mkdtemp(prefix="acceptfirst-pinned-"))
        self._names: dict[str, int] = {}
        self._contents: dict[int, bytes] = {}
        self.moments: list[Moment] = []
        self._real = (os.fsync, os.fdatasync)
        os.fsync, os.fdatasync = self._watch(os.fsync), self._watch(os.fdatasync)

    def _watch(self, sync: Callable[[int], None]) -> Any:
        def watched(descriptor: int) -> None:
            self.moments.append(self.now())
            sync(descriptor)
            found = pathlib.Path(f"/proc/self/fd/{descriptor}").readlink()
            if found == self.folder:
                self._names = {path.name: self._pin(path) for path in self.folder.iterdir()}
            else:
                self._contents[self._pin(found)] = found.read_bytes()
            self.moments.append(self.now())

        return watched

    def _pin(self, path: pathlib.Path) -> int:
        """Keep an inode from being given away again: what was synced of it may come back."""
        inode = path.stat().st_ino
        pin = self._pinned / str(inode)
        if not pin.exists():
            os.link(path, pin)
        return inode

    def now(self) -> Moment:
        """Look at everything as it is."""
        seen = {path.name: path.read_bytes() for path in self.folder.iterdir()}
        return Moment(seen, dict(self._names), dict(self._contents), dict(self.store))

    def lose_power(self, moment: Moment, draw: Callable[[st.SearchStrategy[Any]], Any]) -> None:
        """Put the folder into a state that the disk may have been left in."""
        left: dict[str, bytes] = {}
        for name in sorted({*moment.seen, *moment.names}):
            synced = moment.contents.get(moment.names[name], b"") if name in moment.names else None
            latest = moment.seen.get(name)
            outcomes = [synced, latest]
            if latest is not None and synced is not None and latest.startswith(synced):
                cut = draw(st.integers(len(synced), len(latest)))
                outcomes += [latest[:cut], latest[:cut] + bytes(len(latest) - cut)]
            elif latest is not None and synced is None:
                outcomes += [b"", latest[: draw(st.integers(0, len(latest)))]]
            survived = draw(st.sampled_from(outcomes))
            if survived is not None:
                left[name] = survived
        for path in list(self.folder.iterdir()):
            path.unlink()
        self._names, self._contents = {}, {}
        for name, content in left.items():
            path = self.folder / name
            path.write_bytes(content)
            self._names[name] = self._pin(path)
            self._contents[self._names[name]] = content
        self.store.clear()
        self.store.update(moment.store)

    def close(self) -> None:
        """Let syncs be what they were."""
        os.fsync, os.fdatasync = self._real
        shutil.rmtree(self._pinned)


class LogAndPowerLoss(RuleBasedStateMachine):
    """Clients, a writer and a disk; power is lost in the middle of whatever is being done."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="acceptfirst-log-"))
        self.store: dict[str, list[bytes]] = {}
        self.disk = Disk(self.folder, self.store)
        self.sent: list[bytes] = []
        self.acknowledged: set[bytes] = set()
        # The length of the checkpoint depends on the digits of its checksum, hence on the log's id.
        self.id = mock.patch("uuid.uuid4", return_value=uuid.UUID(int=7))
        self.id.start()
        self.log = RequestLog(self.folder, LIMITS)

    @rule(sizes=st.lists(st.integers(0, 80), min_size=1, max_size=4), data=st.data(), dies=st.booleans())
    def append(self, sizes: list[int], data: st.DataObject, *, dies: bool) -> None:
        """Requests come; those that were answered before power was lost are obligations."""
        self.disk.moments.clear()
        payloads = [f"{len(self.sent) + i}:".encode() + b"x" * size for i, size in enumerate(sizes)]
        self.sent += payloads
        digests = [hashlib.blake2b(payload, digest_size=16).digest() for payload in payloads]
        with self.log._journal._changed:  # they form one group, in every run of the same example
            futures = [self.log.append(digest, payload) for digest, payload in zip(digests, payloads, strict=True)]
        for future in futures:
            future.result()
        if dies:
            self._die(data)
        else:
            self.acknowledged.update(payloads)

    @rule(bytes_max=st.integers(1, 300), data=st.data(), dies=st.booleans(), settles=st.booleans())
    def store_some(self, bytes_max: int, data: st.DataObject, *, dies: bool, settles: bool) -> None:
        """The writer moves a batch: the intended one if there is one, else whatever comes next."""
        self.disk.moments.clear()
        self._move(bytes_max)
        if settles:
            self.log.settle()
        if dies:
            self.disk.moments.append(self.disk.now())
            self._die(data)

    def _move(self, bytes_max: int) -> bool:
        if self.log.intent is not None:
            records = self.log.read(1 << 30, self.log.intent[1])
        else:
            records = self.log.read(bytes_max)
        if not records:
            return False
        self.log.intend(records[0].sequence, records[-1].sequence)
        self._insert(records)
        self.disk.moments.append(self.disk.now())
        self.log.mark_stored(records)
        return True

    def _insert(self, records: list[Record]) -> None:
        """A token that the store knows adds nothing; the same range must never come with other bytes."""
        digest = hashlib.blake2b(b"".join(record.payload for record in records)).hexdigest()
        token = f"{self.log.log_id}:{records[0].sequence}-{records[-1].sequence}:{digest}"
        self.store.setdefault(token, [record.payload for record in records])

    def _die(self, data: st.DataObject) -> None:
        """Lose power at one of the moments of the step, then perhaps again while the log recovers."""
        for _ in range(data.draw(st.integers(1, 2))):
            moment = data.draw(st.sampled_from(self.disk.moments))
            self.log.close()
            self.disk.lose_power(moment, data.draw)
            self.disk.moments.clear()
            self.log = RequestLog(self.folder, LIMITS)
            self.disk.moments.append(self.disk.now())

    @invariant()
    def nothing_is_stored_twice_or_invented(self) -> None:
        """What is in the store was sent, and is there once."""
        stored = [payload for payloads in self.store.values() for payload in payloads]
        assert len(stored) == len(set(stored))
        assert set(stored) <= set(self.sent)

    @invariant()
    def what_was_acknowledged_is_known_by_its_digest(self) -> None:
        """A client that never saw the answer may send it again, also after all that."""
        if self.acknowledged:
            newest = max(self.acknowledged, key=self.sent.index)
            digest = hashlib.blake2b(newest, digest_size=16).digest()
            live = [known for segment in self.log._journal.segments for known in segment.digests]
            assert digest in {*self.log.recovered_digests, *live}

    def teardown(self) -> None:
        """Drain: everything that was acknowledged is in the store."""
        while self._move(1 << 20):
            pass
        stored = {payload for payloads in self.store.values() for payload in payloads}
        self.log.close()
        self.disk.close()
        self.id.stop()
        shutil.rmtree(self.folder)
        assert self.acknowledged <= stored
        self.nothing_is_stored_twice_or_invented()


TestLogAndPowerLoss = LogAndPowerLoss.TestCase
TestLogAndPowerLoss.settings = settings(max_examples=60, stateful_step_count=15, deadline=None)
