"""Arguments that several commands take."""

from pathlib import Path
from typing import Annotated

import typer

TargetArgument = Annotated[
    str,
    typer.Argument(
        metavar="TARGET",
        help="Network: file.py:name or package.module:name (a model, or a function that makes one), the folder of a "
        "run, or a checkpoint: .safetensors, .pt, .pth, .ckpt.",
    ),
]
ModelOption = Annotated[
    str | None,
    typer.Option(
        metavar="NAME",
        help="Network that a checkpoint belongs to, as file.py:name, or the folder of its run.",
        show_default=False,
    ),
]
WeightsOption = Annotated[
    str | None,
    typer.Option(
        metavar="NAME",
        help=(
            "Weights to use from a checkpoint that has several: the key of a state dict, such as model_ema, or the "
            "prefix of the names, such as teacher."
        ),
        show_default=False,
    ),
]
DataOption = Annotated[
    str | None,
    typer.Option(
        metavar="NAME",
        help=(
            "Batches, as file.py:name (a loader, or a function that returns one); or digits, mnist or a folder of "
            "images, whose training images are used. If not given, a run uses its own training data."
        ),
        show_default=False,
    ),
]
OutOption = Annotated[
    Path, typer.Option("--out", "-o", metavar="OUT", help="File to write: .safetensors, .pt or .pth.")
]
ForceOption = Annotated[bool, typer.Option("--force", help="Replace OUT if it exists.")]
JsonOption = Annotated[bool, typer.Option("--json", help="Print the record as JSON instead of text.")]
JsonTableOption = Annotated[
    bool, typer.Option("--json", help="Print the records as JSON instead of the table.")
]
