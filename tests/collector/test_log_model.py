"""The log against the simplest thing that could be right: a list, and a number that says how much of it is stored."""

from __future__ import annotations

import pathlib
import shutil
import tempfile

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from acceptfirst_collector.log.layout import Record
from acceptfirst_collector.log.request_log import Limits, RequestLog


class LogAgainstList(RuleBasedStateMachine):
    """Appends, reads, stores, reopens and tears, in any order."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="acceptfirst-log-"))
        self.limits = Limits(segment_bytes_max=200)
        self.log = RequestLog(self.folder, self.limits)
        self.appended: list[bytes] = []
        self.stored = 0
        self.in_hand: list[Record] = []

    @rule(payloads=st.lists(st.binary(max_size=80), min_size=1, max_size=5))
    def append(self, payloads: list[bytes]) -> None:
        """Several requests at once, as one group or several."""
        futures = [self.log.append(b"d" * 16, payload) for payload in payloads]
        for future in futures:
            future.result()
        self.appended += payloads

    @rule(bytes_max=st.integers(1, 300))
    def read(self, bytes_max: int) -> None:
        """Reading goes on where it stopped."""
        records = self.log.read(bytes_max)
        start = self.stored + len(self.in_hand)
        assert [record.payload for record in records] == self.appended[start : start + len(records)]
        assert records or start == len(self.appended)
        self.in_hand += records

    @rule(intended=st.booleans())
    def store(self, intended: bool) -> None:
        """What is in hand reaches the store, and the checkpoint says so."""
        if not self.in_hand:
            return
        if intended:
            self.log.intend(self.in_hand[0].sequence, self.in_hand[-1].sequence)
        self.log.mark_stored(self.in_hand)
        self.log.settle()
        self.stored += len(self.in_hand)
        self.in_hand = []

    @rule(torn=st.binary(max_size=60))
    def crash(self, torn: bytes) -> None:
        """The process ends, perhaps in the middle of a write; what is in hand was not stored."""
        self.log.close()
        segments = sorted(self.folder.glob("*.log"))
        with segments[-1].open("ab") as file:
            file.write(b"\x01" * min(len(torn), 35))
        self.log = RequestLog(self.folder, self.limits)
        self.in_hand = []

    @invariant()
    def backlog_is_what_is_not_stored(self) -> None:
        """An empty backlog and nothing left to store are the same."""
        assert (self.log.backlog_bytes == 0) == (self.stored == len(self.appended))

    def teardown(self) -> None:
        """Remove the log."""
        self.log.close()
        shutil.rmtree(self.folder)


TestLogAgainstList = LogAgainstList.TestCase
TestLogAgainstList.settings = settings(max_examples=25, stateful_step_count=20, deadline=None)
