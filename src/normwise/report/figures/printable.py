"""Text that XML can hold."""

import unicodedata


def printable(words: str) -> str:
    """Return the words without characters that XML does not have."""
    return "".join("\ufffd" if unicodedata.category(letter) in ("Cc", "Cs") else letter for letter in words)
