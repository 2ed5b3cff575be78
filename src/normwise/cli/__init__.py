"""The command line: a file a command.

Nothing is imported here: an interruption while what follows is imported must find :func:`main` at work.
"""

import sys

__all__ = ["main"]


def main() -> None:
    """Run the command line, and end with its exit code.

    0 fine, 1 the doctor found errors or warnings, 2 wrong use or bad input, 70 a mistake of normwise's own, 130
    interrupted, 141 nobody reads the output.
    """
    try:
        from normwise.cli.app import run_command_line

        code = run_command_line(sys.argv[1:])
    except KeyboardInterrupt:
        code = 130
        print("Interrupted.", file=sys.stderr)
    sys.exit(code)
