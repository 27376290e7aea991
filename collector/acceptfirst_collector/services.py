"""What a running collector consists of, and the order in which it comes up and goes down.

Up: lock, store, migrations, log (recovered), writer, upkeep. Down: no more requests, writer drained, upkeep, log,
store, lock. What
could not be drained in time waits in the log for the next start.
"""

from __future__ import annotations

import dataclasses
import datetime as dt
import logging

from acceptfirst_collector.access.limits import ByteHold, Places, RateLimit
from acceptfirst_collector.access.tokens import TokenKeeper
from acceptfirst_collector.figures import StoreWatch
from acceptfirst_collector.forward import Forwarder
from acceptfirst_collector.job_history import JobHistory
from acceptfirst_collector.log.request_log import RequestLog
from acceptfirst_collector.metrics import CollectorMetrics
from acceptfirst_collector.otlp.resends import ResendWindow
from acceptfirst_collector.policy.ledger import PolicyLedger
from acceptfirst_collector.settings import CollectorSettings
from acceptfirst_collector.upkeep import StoreUpkeep
from acceptfirst_collector.writer import StoreWriter
from acceptfirst_store.database import open_database
from acceptfirst_store.errors import StoreError, StoreUnreachable
from acceptfirst_store.lock import StoreLock
from acceptfirst_store.migrations import migrate

#: Settings that a running collector takes over when it is told to reload.
CHANGEABLE = frozenset({"log_level", "log_format", "rate_per_second"})

logger = logging.getLogger(__name__)


class Services:
    """Everything that is open, for as long as it is; `url` is set once the server listens.

    Args:
        settings: what the collector was told.

    Raises:
        StoreHeld: another process uses the data directory or the embedded store.
        StoreError: the store or the data directory can't be used.
        TokenFileError: the token file can't be used.
    """

    def __init__(self, settings: CollectorSettings) -> None:
        self.settings = settings
        self.tokens = TokenKeeper(settings.token, settings.token_file)
        self.rate = RateLimit(settings.rate_per_second)
        self.places = Places(settings.reads_max)
        self.hold = ByteHold(settings.held_bytes_max)
        self.url = ""
        self.started_at = dt.datetime.now(dt.UTC)
        self.metrics = CollectorMetrics()
        self.job_history = JobHistory()
        self.forwarder = (
            Forwarder(settings.forward_otlp, settings.forward_headers, self.metrics) if settings.forward_otlp else None
        )
        self._log_lock = StoreLock(settings.log_dir)
        try:
            self.database = open_database(settings.store_address)
        except BaseException:
            self._log_lock.release()
            raise
        try:
            self._open()
        except BaseException:
            self.database.close()
            self._log_lock.release()
            raise

    def trouble(self) -> str:
        """Say why requests can't be taken now; empty if they can. Asks nothing of the store, so it costs nothing."""
        if not self.log.writable:
            return "the log can't be written"
        if self.log.backlog_full:
            return f"the store is behind by {self.log.backlog_bytes} bytes"
        return self.log.disk_trouble or self.writer.trouble

    def readiness_trouble(self) -> str:
        """Say why the collector is not ready; also asks the store whether it answers."""
        trouble = self.trouble()
        if trouble:
            return trouble
        try:
            self.database.rows("SELECT 1 AS answer")
        except StoreError as error:
            return str(error)
        return ""

    def apply(self, settings: CollectorSettings) -> None:
        """Take over what can change while it runs, and say what can't."""
        self.rate.per_second = settings.rate_per_second
        fixed = [
            field.name
            for field in dataclasses.fields(settings)
            if field.name not in CHANGEABLE and getattr(settings, field.name) != getattr(self.settings, field.name)
        ]
        if fixed:
            logger.warning("these hold after a restart: %s", ", ".join(fixed))

    def close(self) -> None:
        """Drain and close, in order; safe to call once only."""
        if not self.writer.stop(self.settings.drain_seconds_max):
            logger.warning("%d bytes wait in the log for the next start", self.log.backlog_bytes)
        self.upkeep.stop()
        self.log.close()
        self.store_watch.close()
        self.database.close()
        self._log_lock.release()

    def _open(self) -> None:
        for applied in migrate(self.database):
            logger.info("applied migration %s", applied)
        settings = self.settings
        try:
            self.log = RequestLog(settings.log_dir, settings.log_limits, self.metrics.log_sync.observe)
        except OSError as error:
            raise StoreUnreachable(f"the log {settings.log_dir} can't be opened: {error}") from error
        self.resends = ResendWindow(settings.resend_window_seconds)
        self.resends.remember_recovered(self.log.recovered_digests)
        self.writer = StoreWriter(
            self.log,
            self.database,
            settings.data_dir / "refused",
            settings.batch_bytes_max,
            settings.linger_seconds,
            observe_insert=self.metrics.store_insert.observe,
        )
        self.upkeep = StoreUpkeep(self.database, lambda: self.log.stored_through)
        self.store_watch = StoreWatch(self.database)
        self.policies = PolicyLedger(self.database)
        self.writer.start()
        self.upkeep.start()
