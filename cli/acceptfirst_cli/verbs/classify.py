"""``acceptfirst classify``: name the races in what is stored."""

from __future__ import annotations

from acceptfirst_cli.asking.source import (
    EnvironmentOption,
    JsonOption,
    SinceOption,
    StoreOption,
    TokenOption,
    UntilOption,
    UrlOption,
    question_of,
    source_of,
)
from acceptfirst_cli.terminal.tables import print_json, print_table, say


def run(
    *,
    store: StoreOption = "",
    url: UrlOption = "",
    environment: EnvironmentOption = "",
    since: SinceOption = "",
    until: UntilOption = "",
    token_file: TokenOption = None,
    as_json: JsonOption = False,
) -> None:
    """Name the races in what is stored; running it again changes nothing."""
    question = question_of(environment=environment, since=since, until=until)
    found = source_of(store, url, token_file).classify(question)
    if as_json:
        print_json(found)
        return
    print_table(("pattern", "handshakes"), list(found["patterns"].items()))
    if found["unclassified"]:
        rows = [(each["evidence"], each["connections"], ", ".join(each["examples"])) for each in found["unclassified"]]
        print_table(("unclassified: what happened", "handshakes", "examples"), rows)
    say(f"{found['connections']:,} handshakes looked at, {found['occurrences']:,} races found")
