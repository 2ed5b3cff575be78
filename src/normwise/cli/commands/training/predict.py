"""``normwise predict``: classes of new inputs."""

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from normwise.cli.inputs.arguments import JsonOption
from normwise.cli.progress import progress_bar
from normwise.cli.terminal import say
from normwise.errors import ArgumentError, DataError
from normwise.files import LARGEST
from normwise.visible import visible


def predict(
    run: Annotated[
        Path, typer.Argument(metavar="RUN", help="Folder of a run, or what calibrate wrote of one.")
    ],
    input: Annotated[
        list[str],
        typer.Argument(
            metavar="INPUT",
            help="Image files, WAV files or, for a run on text, texts; - reads texts or file names from standard "
            "input, one a line.",
        ),
    ],
    json: JsonOption = False,
) -> None:
    """Say of which class each input is, and how probable that is: the same alone and among any others.

    Example: normwise predict runs/reviews "a gripping film" "dull from beginning to end"
    """
    from normwise.records import to_json
    from normwise.training import predict

    inputs = _inputs(input)
    with progress_bar(len(inputs)) as bar:
        found = predict(run, inputs, progress=lambda done: bar.show(done, f"{done} of {len(inputs)}"))
    if json:
        say(to_json(found, indent=1))
        return
    labels = [visible(prediction.label) for prediction in found]
    width = max(map(len, labels))
    lines = [
        f"{label:<{width}}  {one.probability:7.2%}  {visible(one.input)}"
        for label, one in zip(labels, found, strict=True)
    ]
    say("\n".join(lines))


def _inputs(given: Sequence[str]) -> list[str]:
    inputs: list[str] = []
    for one in given:
        inputs += _lines() if one == "-" else [one]
    if not inputs:
        raise DataError("standard input has no lines; expected an input in each")
    for number, one in enumerate(inputs, 1):
        if not one.strip():
            raise ArgumentError(f"input {number} is empty; expected a file or a text")
    return inputs


def _lines() -> list[str]:
    """Lines of standard input that are not empty."""
    if sys.stdin is None:
        raise DataError("standard input is closed; expected an input in each line")
    try:
        text = sys.stdin.read(LARGEST)
        if sys.stdin.read(1):
            raise DataError(f"standard input has more than {LARGEST:,} letters; give it in parts")
    except UnicodeDecodeError as error:
        raise DataError(f"standard input is no text in {error.encoding}: {error.reason}") from None
    return [line for line in text.splitlines() if line.strip()]
