"""The command line, with one file for each command.

Nothing is imported at the top: :func:`main` must already be running when an interruption arrives during an import.
"""

import sys

__all__ = ["main"]


def main() -> None:
    """Run the command line and exit with its exit code.

    0 fine, 1 the doctor found errors or warnings, 2 wrong use or bad input, 70 a bug in normwise, 130 interrupted,
    141 the reader of the output has ended.
    """
    try:
        from normwise.cli.app import run_command_line

        code = run_command_line(sys.argv[1:])
    except KeyboardInterrupt:
        code = 130
        print("Interrupted.", file=sys.stderr)
    sys.exit(code)
