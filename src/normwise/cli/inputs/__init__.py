"""Arguments of the command line, and the objects and files that they name."""
