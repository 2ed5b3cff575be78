"""A text as words and marks."""

import re

#: Words with their inner apostrophes and hyphens, numbers with their inner points and commas, and any other mark.
_TOKEN = re.compile(r"\d+(?:[.,]\d+)*|[^\W_]+(?:['’-][^\W_]+)*|\S")


def tokens(text: str) -> list[str]:
    """Return the words, numbers and punctuation marks of a text in order, in lower case.

    A word keeps apostrophes and hyphens that are within it (``don't``, ``one-liner``), a number its points and commas
    (``1,000``, ``0.5``); every other mark stands alone. Typographic apostrophes become straight ones. So a text with
    spaces around its marks gives what the same text without them gives.

    Example:
        >>> from normwise.data.text.tokenizer import tokens
        >>> tokens("Don't miss it: 2,000 laughs!")
        ["don't", 'miss', 'it', ':', '2,000', 'laughs', '!']
    """
    return _TOKEN.findall(text.lower().replace("’", "'"))
