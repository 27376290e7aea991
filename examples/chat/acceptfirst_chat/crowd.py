"""``python -m acceptfirst_chat.crowd``: the demo's clients against a chat that runs already, round after round."""

from __future__ import annotations

import argparse
import asyncio
import itertools
import sys
import time
from pathlib import Path

from acceptfirst_chat.traffic import drive, plan


def come(url: str, clients: int, seed: int) -> int:
    """Let the clients of a round come, and wait until the last has gone.

    Args:
        url: of the chat, such as ``ws://127.0.0.1:8000``.
        clients: how many.
        seed: decides who they are and when they come.

    Returns:
        How many connections were opened.
    """
    return asyncio.run(drive(url, plan(clients, seed))).connections


def main() -> int:
    """Come until the rounds are over, or SIGINT or SIGTERM."""
    parser = _parser()
    given = parser.parse_args()
    if given.clients < 1 or given.rounds < 0 or given.pause_s < 0:
        parser.error("expected at least one client, and neither rounds nor the pause below 0")
    for number in itertools.count():
        if number:
            time.sleep(given.pause_s)
        connections = come(given.url, given.clients, given.seed + number)
        sys.stdout.write(f"round {number + 1}: {connections} connections\n")
        sys.stdout.flush()
        if given.beat_file is not None:
            given.beat_file.touch()
        if number + 1 == given.rounds:
            break
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m acceptfirst_chat.crowd", description=__doc__)
    parser.add_argument("--url", default="ws://127.0.0.1:8000", help="of the chat; all its bugs should be on")
    parser.add_argument("--clients", type=int, default=400, help="of a round")
    parser.add_argument("--seed", type=int, default=1, help="of the first round")
    parser.add_argument("--rounds", type=int, default=0, help="0 for ever")
    parser.add_argument("--pause-s", type=float, default=30.0, help="between two rounds")
    parser.add_argument("--beat-file", type=Path, help="touched after each round, so that others see that it goes on")
    return parser


if __name__ == "__main__":
    sys.exit(main())
