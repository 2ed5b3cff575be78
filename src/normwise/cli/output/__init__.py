"""Output of commands, in addition to the records' own texts."""
