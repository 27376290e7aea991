"""Labels of an alert: they say which alert it is, so they never hold a value that changes.

Design constraints:

- routes and patterns come from outside: they may be megabytes long or hold characters that turn a line round, and they
  end in mails, chats and terminals. They are made harmless here, once, before anything is remembered or sent;
- two that were different stay different: what is cut off is replaced by a digest of the whole.
"""

from __future__ import annotations

import hashlib
import json
import unicodedata
from collections.abc import Mapping
from typing import Any, Final

from acceptfirst_analysis.alerts.rules import DIMENSIONS, Condition, Rule

LABEL_LENGTH_MAX: Final = 120
_DIGEST_LENGTH: Final = 8
_SHOWN_AS: Final = "\ufffd"


def safe_label(text: str) -> str:
    """A label's value without control, formatting and unassigned characters, of at most 120 characters."""
    if len(text) <= LABEL_LENGTH_MAX and text.isprintable():
        return text
    clean = "".join(_SHOWN_AS if unicodedata.category(c)[0] == "C" else c for c in text[: LABEL_LENGTH_MAX * 2])
    if len(text) <= LABEL_LENGTH_MAX:
        return clean
    digest = hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:_DIGEST_LENGTH]
    return f"{clean[: LABEL_LENGTH_MAX - _DIGEST_LENGTH - 2]}…#{digest}"


def labels_of(rule: Rule, condition: Condition, row: Mapping[str, Any]) -> dict[str, str]:
    """The labels of one row of a rule's answer; those without a value are left out.

    Args:
        rule: whose statement answered.
        condition: with whose parameters.
        row: has the dimensions; a missing one counts as empty.
    """
    labels = {"alertname": rule.name, "rule": rule.id, "severity": rule.severity, "window": condition.window}
    labels |= {name: safe_label(str(row.get(name) or "")) for name in DIMENSIONS}
    return {name: value for name, value in labels.items() if value}


def fingerprint_of(labels: Mapping[str, str]) -> str:
    """16 hex digits that stand for a set of labels."""
    return hashlib.sha256(json.dumps(sorted(labels.items())).encode()).hexdigest()[:16]
