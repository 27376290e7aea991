"""Silences that people set while the collector runs: who, what, until when, why; and who lifted them.

They stand beside those of the alerts file, which is the place for the ones that last. A step is a row that nobody
changes, so what was silent when can be told afterwards.
"""

from __future__ import annotations

import dataclasses
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final, Protocol

from acceptfirst_analysis.alerts.evaluate import StatementReader
from acceptfirst_analysis.alerts.rules import all_rules
from acceptfirst_analysis.alerts.settings import AlertSettings, Silence

TABLE: Final = "alert_silences"
LABELS: Final = ("rule", "environment", "service", "route", "pattern")
LONGEST: Final = timedelta(days=30)
"""Longer ones belong into the alerts file, where others see them."""
SHOWN_MAX: Final = 500

_TEXT_MAX: Final = 300
_LASTING: Final = re.compile(r"([1-9][0-9]{0,4})([mhd])")
_UNITS: Final = {"m": timedelta(minutes=1), "h": timedelta(hours=1), "d": timedelta(days=1)}
_KEYS: Final = (*LABELS, "for", "until", "reason", "by")
_ID: Final = re.compile(r"[0-9a-f]{12}")
_LATEST: Final = datetime(2200, 1, 1, tzinfo=UTC)


class SilenceError(ValueError):
    """A silence that can't be set or lifted; says what was expected and what came."""


class SilenceStore(StatementReader, Protocol):
    """Where they are kept: an open ``Database`` is one."""

    def insert_rows(self, table: str, rows: Sequence[Mapping[str, Any]]) -> None:
        """Insert rows that all have the keys of the first."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class KeptSilence:
    """One that somebody set.

    Attributes:
        id: twelve hex digits.
        silence: what it silences until when, and why.
        set_at: when it was set.
        by: who set it.
        lifted_at: when it was ended before its time; ``None`` where it was not.
        lifted_by: who ended it.
        lift_reason: why.
    """

    id: str
    silence: Silence
    set_at: datetime
    by: str
    lifted_at: datetime | None = None
    lifted_by: str = ""
    lift_reason: str = ""

    @property
    def ended_at(self) -> datetime:
        """When it ends, or ended."""
        return min(self.silence.until, self.lifted_at) if self.lifted_at else self.silence.until

    def to_json(self, at: datetime) -> dict[str, Any]:
        """As the API and ``--json`` show it."""
        return {
            "id": self.id,
            "active": self.set_at <= at < self.ended_at,
            **{name: getattr(self.silence, name) for name in LABELS},
            "reason": self.silence.reason,
            "by": self.by,
            "set_at": self.set_at.isoformat(),
            "until": self.silence.until.isoformat(),
            "lifted_at": self.lifted_at.isoformat() if self.lifted_at else None,
            "lifted_by": self.lifted_by or None,
            "lift_reason": self.lift_reason or None,
        }


def kept_silences(reader: StatementReader, *, since: datetime, until: datetime = _LATEST) -> tuple[KeptSilence, ...]:
    """Those that were on at some time of a range, the latest first.

    Args:
        reader: of the store.
        since: aware start.
        until: aware end, excluded.

    Raises:
        StoreError: the store can't be read.
    """
    asked = {"since": _text(since), "until": _text(until), "limit": SHOWN_MAX}
    return tuple(_kept(row) for row in reader.statement_rows("silences", asked))


def with_kept(settings: AlertSettings, reader: StatementReader, at: datetime) -> AlertSettings:
    """Settings with the silences that are on now, besides those of the file.

    Raises:
        StoreError: the store can't be read.
    """
    kept = kept_silences(reader, since=at)
    told = tuple(_told(each) for each in kept if each.set_at <= at < each.ended_at)
    return dataclasses.replace(settings, silences=(*settings.silences, *told))


def set_silence(store: SilenceStore, values: Mapping[str, Any], at: datetime) -> KeptSilence:
    """Keep a silence.

    Args:
        store: where.
        values: some of ``LABELS``; ``for`` (``30m``, ``2h``, ``7d``) or ``until`` (ISO 8601); ``reason``; ``by``.
        at: now, aware.

    Raises:
        SilenceError: it would silence everything, for ever, or nobody knows why.
        StoreError: the store can't be written.
    """
    if unknown := sorted(str(name)[:60] for name in values if name not in _KEYS):
        raise SilenceError(f"expected only {', '.join(_KEYS)}, but got {', '.join(unknown)[:200]}")
    labels = {name: _line(values, name) for name in LABELS}
    if not any(labels.values()):
        raise SilenceError(f"expected at least one of {', '.join(LABELS)}, since it would silence every alert")
    known = [rule.id for rule in all_rules()]
    if labels["rule"] and labels["rule"] not in known:
        raise SilenceError(f"expected rule to be one of {', '.join(known)}, but got {labels['rule']!r:.60}")
    made = KeptSilence(
        id=os.urandom(6).hex(),
        silence=Silence(until=_until(values, at), reason=_needed(values, "reason"), **labels),
        set_at=at,
        by=_needed(values, "by"),
    )
    store.insert_rows(TABLE, [_row(made, "set", at, made.by, made.silence.reason)])
    return made


def lift_silence(store: SilenceStore, id_: str, values: Mapping[str, Any], at: datetime) -> KeptSilence:
    """End a silence before its time.

    Args:
        store: where.
        id_: of the silence.
        values: ``by`` and ``reason``.
        at: now, aware.

    Raises:
        SilenceError: there is none with this id that is on.
        StoreError: the store can't be read or written.
    """
    if unknown := sorted(str(name)[:60] for name in values if name not in ("by", "reason")):
        raise SilenceError(f"expected only by, reason, but got {', '.join(unknown)[:200]}")
    by, reason = _needed(values, "by"), _line(values, "reason")
    on = [each for each in kept_silences(store, since=at) if at < each.ended_at]
    found = next((each for each in on if each.id == id_), None) if _ID.fullmatch(id_) else None
    if found is None:
        ids = ", ".join(each.id for each in on[:20]) or "none"
        raise SilenceError(f"expected the id of a silence that is on ({ids}), but got {id_!r:.60}")
    store.insert_rows(TABLE, [_row(found, "lift", at, by, reason)])
    return dataclasses.replace(found, lifted_at=at, lifted_by=by, lift_reason=reason)


def _told(kept: KeptSilence) -> Silence:
    """With who and until when in its reason, since that is what stands beside an alert."""
    silence = kept.silence
    reason = f"{silence.reason} ({kept.by}, until {silence.until:%Y-%m-%d %H:%M} UTC)"
    return dataclasses.replace(silence, until=kept.ended_at, reason=reason)


def _until(values: Mapping[str, Any], at: datetime) -> datetime:
    lasting, until = _line(values, "for"), _line(values, "until")
    if bool(lasting) == bool(until):
        raise SilenceError("expected either for, such as 2h, or until, such as 2026-12-01T08:00:00Z")
    end = at + _lasting(lasting) if lasting else _instant(until)
    if not at < end <= at + LONGEST:
        raise SilenceError(f"expected it to end within the next {LONGEST.days} days, but got {lasting or until!r:.60}")
    return end


def _lasting(text: str) -> timedelta:
    found = _LASTING.fullmatch(text)
    if found is None:
        raise SilenceError(f"expected for to be such as 30m, 2h or 7d, but got {text!r:.60}")
    return int(found[1]) * _UNITS[found[2]]


def _instant(text: str) -> datetime:
    try:
        found = datetime.fromisoformat(text)
        return found.astimezone(UTC) if found.tzinfo else found.replace(tzinfo=UTC)
    except (ValueError, OverflowError):
        raise SilenceError(f"expected until to be such as 2026-12-01T08:00:00Z, but got {text!r:.60}") from None


def _needed(values: Mapping[str, Any], name: str) -> str:
    text = _line(values, name)
    if not text:
        raise SilenceError(f"expected {name}: it is kept with the silence")
    return text


def _line(values: Mapping[str, Any], name: str) -> str:
    given = values.get(name, "")
    if not isinstance(given, str) or len(given) > _TEXT_MAX:
        raise SilenceError(f"expected {name} to be a text of at most {_TEXT_MAX} characters, but got {given!r:.60}")
    return " ".join(given.encode("utf-8", "replace").decode().split())


def _row(kept: KeptSilence, step: str, at: datetime, actor: str, reason: str) -> dict[str, Any]:
    labels = {name: getattr(kept.silence, name) for name in LABELS}
    done = {"id": kept.id, "step": step, "happened_at": at, "actor": actor, "reason": reason}
    return {**done, **labels, "until": kept.silence.until}


def _kept(row: Mapping[str, Any]) -> KeptSilence:
    labels = {name: str(row[name]) for name in LABELS}
    return KeptSilence(
        id=str(row["id"]),
        silence=Silence(until=row["until"], reason=str(row["reason"]), **labels),
        set_at=row["set_at"],
        by=str(row["actor"]),
        lifted_at=row["lifted_at"] if row["lifted_at"].timestamp() > 0 else None,
        lifted_by=str(row["lifted_by"]),
        lift_reason=str(row["lift_reason"]),
    )


def _text(at: datetime) -> str:
    return at.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S.%f")
