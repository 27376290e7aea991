"""``python -m acceptfirst_chat``: the backend under uvicorn."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import uvicorn

from acceptfirst_chat.app import ChatSettings, create_app
from acceptfirst_chat.plants import chosen


def main() -> int:
    """Serve until SIGINT or SIGTERM."""
    parser = _parser()
    arguments = parser.parse_args()
    try:
        plants = chosen(arguments.bugs)
    except ValueError as error:
        parser.error(str(error))
    settings = ChatSettings(
        collector_url=arguments.collector,
        environment=arguments.environment,
        policy=arguments.policy,
        ledger=arguments.ledger,
        plants=plants,
        seed=arguments.seed,
    )
    uvicorn.run(create_app(settings), host=arguments.host, port=arguments.port, log_level="info")
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m acceptfirst_chat", description=__doc__)
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=8000)
    parser.add_argument("--collector", default="http://127.0.0.1:4318", help="where spans go, over OTLP/HTTP")
    parser.add_argument("--environment", default="production")
    parser.add_argument("--policy", type=Path, help="TOML file with the policy")
    parser.add_argument("--bugs", default="none", help="all, none, or names with commas between them")
    parser.add_argument("--seed", type=int, default=1, help="decides how long cold starts take")
    parser.add_argument("--ledger", type=Path, help="where to write what really happened, when the backend stops")
    return parser


if __name__ == "__main__":
    sys.exit(main())
