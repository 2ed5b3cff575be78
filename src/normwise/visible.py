"""Text from elsewhere, such as a name in somebody's file, as a terminal may show it."""

import re

#: Control characters of ASCII and Latin-1, which steer a terminal; the marks that change the direction of text, and
#: separators of lines; halves of surrogate pairs, which no encoding has.
_UNSEEN = re.compile("[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")


def visible(text: str) -> str:
    r"""Return the text in one line, in which each character that would steer a terminal is written as ``\u001b``.

    JSON writes such characters in the same way, so that a document stays what it is.

    Example:
        >>> print(visible("\x1b[2Jname"))
        \u001b[2Jname
    """
    return _UNSEEN.sub(lambda found: f"\\u{ord(found[0]):04x}", text)


def visible_lines(text: str) -> str:
    """Return the text with each of its lines as :func:`visible` shows it."""
    return "\n".join(map(visible, text.split("\n")))
