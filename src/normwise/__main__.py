"""``python -m normwise``."""

from normwise.cli import main

main()
