"""``normwise predict``: predict the classes of new inputs."""

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from normwise.cli.inputs.arguments import JsonOption
from normwise.cli.progress import progress_bar
from normwise.cli.terminal import say
from normwise.errors import ArgumentError, DataError
from normwise.files import LARGEST, is_folder
from normwise.visible import visible

if TYPE_CHECKING:
    from normwise.records import Prediction


def predict(
    run: Annotated[
        Path, typer.Argument(metavar="RUN", help="Folder of a run, or the file that calibrate wrote for one.")
    ],
    input: Annotated[
        list[str],
        typer.Argument(
            metavar="INPUT",
            help=(
                "Image files, WAV files, folders of them or, for a run on text, texts; - reads texts or file names "
                "from standard input, one per line. Images are resized to the size that the network needs."
            ),
        ),
    ],
    top: Annotated[
        int, typer.Option(min=1, max=1000, help=("Number of classes to print, the most probable first."))
    ] = 1,
    json: JsonOption = False,
) -> None:
    """Predict the class of each input and its probability, which do not depend on the other inputs.

    Example: normwise predict runs/reviews "a gripping film" "dull from beginning to end"
    """
    from normwise.records import to_json
    from normwise.training import predict

    inputs = _inputs(input)
    # predict counts the files of a folder.
    total = None if any(is_folder(Path(one)) for one in inputs) else len(inputs)
    with progress_bar(total) as bar:
        found = predict(run, inputs, progress=lambda done: bar.show(done, f"input {done}", total))
    if json:
        say(to_json(found, indent=1))
        return
    width = max(len(visible(name)) for one in found for name in one.probabilities)
    say("\n".join(f"{_classes(one, top, width)}  {visible(one.input)}" for one in found))


def _classes(prediction: "Prediction", top: int, width: int) -> str:
    """Return the most probable classes, each with its probability."""
    by_probability = sorted(prediction.probabilities.items(), key=lambda item: -item[1])
    # The first of equal classes, as in the prediction.
    others = [item for item in by_probability if item[0] != prediction.label]
    best = [(prediction.label, prediction.probability), *others][:top]
    return "  ".join(f"{visible(name):<{width}}  {probability:7.2%}" for name, probability in best)


def _inputs(given: Sequence[str]) -> list[str]:
    inputs: list[str] = []
    for one in given:
        inputs += _lines() if one == "-" else [one]
    if not inputs:
        raise DataError("standard input has no lines; expected one input per line")
    for number, one in enumerate(inputs, 1):
        if not one.strip():
            raise ArgumentError(f"input {number} is empty; expected a file or a text")
    return inputs


def _lines() -> list[str]:
    """Return the lines of standard input that are not empty."""
    if sys.stdin is None:
        raise DataError("standard input is closed; expected one input per line")
    try:
        text = sys.stdin.read(LARGEST)
        if sys.stdin.read(1):
            raise DataError(f"standard input has more than {LARGEST:,} letters; give it in parts")
    except UnicodeDecodeError as error:
        raise DataError(f"standard input is not text in {error.encoding}: {error.reason}") from None
    return [line for line in text.splitlines() if line.strip()]
