"""The report as a mail: what to do in the text itself, a picture or two, and the whole report attached.

Mail programs know no style sheet, no SVG and no script, and cut what is over 100 KB. So the mail is a table with styles
on each element, pictures travel along by Content-ID, and nothing is fetched from anywhere. Who it is from and for is
decided by whoever sends it, see ``report.addresses``.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from email.message import EmailMessage
from typing import Any, Final

import css_inline

from acceptfirst_analysis import rendering
from acceptfirst_analysis.report.addresses import MAIL_POLICY, RANGE_HEADER, UNADDRESSED
from acceptfirst_analysis.report.model import Distribution, Report
from acceptfirst_analysis.report.pictures import histogram_png
from acceptfirst_analysis.report.render import render_html
from acceptfirst_analysis.units import plural

BODY_BYTES_MAX: Final = 100_000
PICTURES_MAX: Final = 3
PATTERNS_SHOWN_MAX: Final = 8
SUBJECT_LENGTH_MAX: Final = 150


def render_mail(report: Report) -> str:
    """The mail as text, 7-bit throughout."""
    shown = _shown(report)
    message = EmailMessage(policy=MAIL_POLICY)
    message["Subject"] = subject(report)
    message["From"] = UNADDRESSED
    message["Date"] = datetime.fromisoformat(report.generated_at)
    message["Auto-Submitted"] = "auto-generated"
    message[RANGE_HEADER] = str(report.window["week"] or f"{report.window['since']}/{report.window['until']}")
    values = {"report": report, "shown": shown, "patterns": report.patterns[:PATTERNS_SHOWN_MAX]}
    message.set_content(_drawn("mail.txt.j2", values))
    message.add_alternative(_body(values), subtype="html")
    body = message.get_payload()[1]  # type: ignore[index]  # the part that was just added
    for number, distribution in enumerate(shown):
        picture = histogram_png(distribution)
        body.add_related(picture, "image", "png", cid=f"<distribution-{number}>", filename=f"readiness-{number}.png")  # type: ignore[union-attr]  # it is a message
    name = str(report.window["week"] or "report")
    message.add_attachment(render_html(report).encode(), "text", "html", filename=f"acceptfirst-{name}.html")
    return message.as_string()


def subject(report: Report) -> str:
    """``[AcceptFirst] W47 production: 2 changes, races -42 %``: the environment that comes first in the report."""
    week = str(report.window["week"] or "").partition("-")[2]
    if not report.verdicts:
        return f"[AcceptFirst] {week or 'report'}: no handshakes"
    first = report.verdicts[0]
    count = sum(change.recommendation.environment == first.environment for change in report.changes)
    changes = plural(count, "change") if count else "nothing to change"
    more = f", {plural(len(report.verdicts) - 1, 'more environment')}" if len(report.verdicts) > 1 else ""
    text = f"[AcceptFirst] {week or 'report'} {first.environment}: {changes}{_moved(report)}{more}"
    return rendering.told(text, SUBJECT_LENGTH_MAX)


def _moved(report: Report) -> str:
    """How the races moved against the range before, where both are known."""
    figure = next((f for f in report.verdicts[0].figures if f.label.startswith("races")), None)
    try:
        now, before = (float(text.replace(",", "").removeprefix("before: ")) for text in (figure.value, figure.change))  # type: ignore[union-attr]  # told apart below
        return f", races {100 * (now - before) / before:+.0f} %"
    except (AttributeError, ValueError, ZeroDivisionError):
        return ""  # too few to say, or none before


def _shown(report: Report) -> tuple[Distribution, ...]:
    """The distributions that a change is about first, since they are what the mail argues with."""
    asked = {(c.recommendation.environment, c.recommendation.service, c.recommendation.route) for c in report.changes}
    ordered = sorted(report.distributions, key=lambda d: (d.environment, d.service, d.route) not in asked)
    return tuple(ordered[:PICTURES_MAX])


def _drawn(template: str, values: Mapping[str, Any]) -> str:
    return rendering.templates().get_template(template).render(values)


def _body(values: Mapping[str, Any]) -> str:
    try:
        drawn = _drawn("mail.html.j2", values)
    except Exception as error:  # a mail that says what is wrong is better than none  # noqa: BLE001
        rendering.logger.warning("the mail can't be drawn", exc_info=error)
        what = rendering.told(f"{type(error).__name__}: {error}", rendering.ERROR_SHOWN_MAX)
        return str(rendering.notice("mail", what))
    inlined: str = css_inline.CSSInliner(load_remote_stylesheets=False).inline(drawn)
    return inlined
