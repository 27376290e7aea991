"""Says in words that a server's certificate is not believed, whatever the libraries in between made of it."""

from __future__ import annotations

import ssl
from typing import Final

WHAT_TO_DO: Final = "an authority of your own is named by SSL_CERT_FILE"


def disbelief(error: BaseException) -> str:
    """Why a certificate is not believed, and what to do; empty where an error is about something else."""
    found: BaseException | None = error
    while found is not None:
        if isinstance(found, ssl.SSLCertVerificationError):
            return f"its certificate is not believed: {found.verify_message.rstrip('.')}; {WHAT_TO_DO}"
        found = found.__cause__ or found.__context__
    return ""
