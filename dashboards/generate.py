"""Writes Grafana's files: `make dashboards`. What they are made from is `acceptfirst_analysis.dashboards`."""

from __future__ import annotations

import sys
from pathlib import Path

from acceptfirst_analysis.dashboards.files import write_files


def main() -> int:
    """Write them beside this file."""
    for name in write_files(Path(__file__).resolve().parent):
        sys.stdout.write(f"dashboards/{name} written\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
