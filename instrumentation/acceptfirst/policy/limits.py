"""How long a delay may be, and how somebody says that it may be longer.

Only the process's own environment can raise the limit: not a policy file and not a collector, since the limit is there
to keep those from stalling a backend.
"""

from __future__ import annotations

import functools
import os
from typing import Final

from acceptfirst.failsafe import logger

DELAY_MS_MAX: Final = 250.0
DELAY_MS_MAX_VARIABLE: Final = "ACCEPTFIRST_DELAY_MS_MAX"
DELAY_MS_MAX_RAISED: Final = 60_000.0
"""As high as it can be raised: the highest handshake timeout."""


def delay_ms_max() -> float:
    """The longest delay that a policy may have, in milliseconds: 250, or what ``ACCEPTFIRST_DELAY_MS_MAX`` says.

    A value that is no number, or below 250, is logged once and left out: the default policies must keep the limit.
    """
    text = os.environ.get(DELAY_MS_MAX_VARIABLE)
    return _raised(text) if text else DELAY_MS_MAX


@functools.cache
def _raised(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if DELAY_MS_MAX <= value <= DELAY_MS_MAX_RAISED:
        return value
    logger.error(
        "%s: expected a number of milliseconds from %g to %g, but got %r; %g holds",
        DELAY_MS_MAX_VARIABLE,
        DELAY_MS_MAX,
        DELAY_MS_MAX_RAISED,
        text,
        DELAY_MS_MAX,
    )
    return DELAY_MS_MAX
