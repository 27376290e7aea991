"""Who a report's mail is from and for. Apart from the making of it, so that whoever sends it loads no pictures."""

from __future__ import annotations

import email
import email.policy
import re
from collections.abc import Sequence
from email.message import EmailMessage
from typing import Final

MAIL_POLICY: Final = email.policy.SMTP.clone(cte_type="7bit")
RANGE_HEADER: Final = "X-AcceptFirst-Range"
UNADDRESSED: Final = "acceptfirst@localhost"

_ADDRESS: Final = re.compile(r"[^@\s<>,;\"]+@[^@\s<>,;\"]+")


def addressed(text: str, sender: str, recipients: Sequence[str]) -> EmailMessage:
    """A mail of ``mail.render_mail`` with its addresses, and an id that is its week's, however often it is sent.

    Raises:
        ValueError: an address that is none, naming it.
    """
    for address in (sender, *recipients):
        if not _ADDRESS.fullmatch(address):
            raise ValueError(f"expected an address such as team@example.com, but got {address!r}")
    message: EmailMessage = email.message_from_string(text, EmailMessage, policy=MAIL_POLICY)
    del message["From"]
    message["From"] = f"AcceptFirst <{sender}>"
    message["To"] = ", ".join(recipients)
    about = re.sub(r"[^A-Za-z0-9.-]+", "-", str(message[RANGE_HEADER]))
    message["Message-ID"] = f"<acceptfirst-{about}@{sender.rpartition('@')[2]}>"
    message["List-Unsubscribe"] = f"<mailto:{sender}?subject=unsubscribe>"
    return message
