"""Text of an exception from the call of a Keras model, without the text that Keras adds."""

import re

#: Keras puts the layer's name before the text of an exception, prints that in bold, and lists all arguments
#: after it.
_AROUND = re.compile(r"\x1b\[1m(.*?)\x1b\[0m\s*Arguments received by ", re.DOTALL)


def error_text(error: BaseException) -> str:
    """Return the first line of the exception's own text."""
    said = str(error)
    if (own := _AROUND.search(said)) is not None:
        said = own[1]
    return (said.strip() or "without a text").splitlines()[0]
