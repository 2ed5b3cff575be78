"""The command line: a file a command."""

from normwise.cli.app import main

__all__ = ["main"]
