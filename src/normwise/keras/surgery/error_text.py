"""The text of an exception from the call of a Keras model, without the text that Keras puts around it."""

import re

#: Keras names the layer before the text of an exception, prints that in bold, and lists all arguments behind it.
_AROUND = re.compile(r"\x1b\[1m(.*?)\x1b\[0m\s*Arguments received by ", re.DOTALL)


def error_text(error: BaseException) -> str:
    """Return the first line of the exception's own text."""
    said = str(error)
    if (own := _AROUND.search(said)) is not None:
        said = own[1]
    return (said.strip() or "without a text").splitlines()[0]
