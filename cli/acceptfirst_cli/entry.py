"""The ``acceptfirst`` command: turns whatever ends it into one line and an exit code.

Only this module may be imported without the extras: it says which one is missing.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence

from acceptfirst_cli.errors import CommandError, ExitCode


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command.

    Args:
        arguments: those behind ``acceptfirst``; the process's own where none are given.

    Returns:
        An exit code; see ``acceptfirst_cli.errors.ExitCode``.
    """
    try:
        return _run(list(sys.argv[1:] if arguments is None else arguments))
    except ModuleNotFoundError as error:
        return _end(f"the command line needs {error.name}: pip install 'acceptfirst[all]'", ExitCode.FAILURE)


def _run(arguments: list[str]) -> int:
    from acceptfirst_cli.application import build  # noqa: PLC0415 - may be missing: see above
    from acceptfirst_store.errors import AddressInvalid, StoreError  # noqa: PLC0415 - the same

    try:
        build()(arguments, prog_name="acceptfirst")
    except SystemExit as end:  # how the framework ends every command, a good one included
        return end.code if isinstance(end.code, int) else ExitCode.OK
    except CommandError as error:
        return _end(str(error), error.exit_code)
    except AddressInvalid as error:
        return _end(str(error), ExitCode.USAGE)
    except StoreError as error:
        return _end(str(error), ExitCode.UNREACHABLE)
    except BrokenPipeError:  # the reader of our output has had enough
        sys.stderr.close()
    return ExitCode.OK


def _end(message: str, code: ExitCode) -> int:
    print(f"acceptfirst: {message}", file=sys.stderr)  # noqa: T201 - the one line that a person reads
    return code


if __name__ == "__main__":
    sys.exit(main())
