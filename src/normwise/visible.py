"""Text from outside, such as a name in a user's file, made safe for a terminal."""

import re

#: Control characters of ASCII and Latin-1, which control a terminal; marks that change the direction of text,
#: and line separators; unpaired surrogates, which can't be encoded.
_UNSEEN = re.compile("[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")


def visible(text: str) -> str:
    r"""Return the text in one line, with each control character escaped as ``\u001b``.

    JSON escapes such characters in the same way, so a document keeps its meaning.

    Example:
        >>> print(visible("\x1b[2Jname"))
        \u001b[2Jname
    """
    return _UNSEEN.sub(lambda found: f"\\u{ord(found[0]):04x}", text)


def visible_lines(text: str) -> str:
    """Return the text with :func:`visible` applied to each line."""
    return "\n".join(map(visible, text.split("\n")))
