"""``normwise port``: move trained weights from Keras to torch, and back."""

from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from normwise.cli.inputs import arguments
from normwise.cli.output.record_output import say_record
from normwise.errors import ArgumentError


def port(
    source: Annotated[
        Path,
        typer.Argument(
            metavar="SOURCE", help="File with the weights: .keras, .safetensors, .pt, .pth or .ckpt."
        ),
    ],
    target: Annotated[
        Path,
        typer.Argument(
            metavar="TARGET", help="File to write: .safetensors, .pt or .pth; from one of these, .keras."
        ),
    ],
    like: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Keras model that the weights of torch are put into, .keras.",
            show_default=False,
        ),
    ] = None,
    model: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help=(
                "Network of torch, as file.py:name, with which the result is proven; without it layers are matched "
                "by name."
            ),
            show_default=False,
        ),
    ] = None,
    by: Annotated[
        Literal["order", "name"] | None,
        typer.Option(
            help=(
                "Match layers by the order of their calls, or by name. The default is order with --model, otherwise "
                "name."
            ),
            show_default=False,
        ),
    ] = None,
    pair: Annotated[
        list[str] | None,
        typer.Option(
            metavar="SOURCE=TARGET",
            help="Paths of two layers that belong together, instead of --by; repeat it for all layers.",
            show_default=False,
        ),
    ] = None,
    eps: Annotated[
        float | None,
        typer.Option(
            help="ε of the layers in torch, which a state dict lacks; torch's own is 1e-5. Needed without --model.",
            show_default=False,
        ),
    ] = None,
    values_per_channel: Annotated[
        int | None,
        typer.Option(
            min=2,
            metavar="M",
            help="Values per channel in a training batch, to convert running variances, which torch corrects (Bessel).",
            show_default=False,
        ),
    ] = None,
    batch_size: Annotated[
        int | None,
        typer.Option(
            min=1,
            metavar="N",
            help="Samples in a training batch, instead of --values-per-channel.",
            show_default=False,
        ),
    ] = None,
    example: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help=(
                "Inputs of the source for the proof, as file.py:name of an array, a tensor or a function that "
                "returns one; random numbers if not given."
            ),
            show_default=False,
        ),
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace TARGET if it exists.")] = False,
    json: arguments.JsonOption = False,
) -> None:
    """Move the weights of a trained Keras model into a state dict of torch, or back.

    With --model both networks are evaluated on an example and compared layer by layer; if they differ, nothing is
    written. Without --model nothing is proven. A state dict does not hold ε, so the network in torch must use the ε
    of the Keras model. A .safetensors file keeps ε next to the weights; for other files give it by --eps.

    Example: normwise port mnist.keras mnist.safetensors --model net.py:make
    """
    from normwise.cli.inputs.keras.model_file import KERAS
    from normwise.cli.inputs.keras.other_files import refuse_other_keras_files
    from normwise.cli.inputs.keras.porting import PortRequest, port_to_keras, port_to_torch

    refuse_other_keras_files(str(source))
    belonging = _belonging(by, pair)
    asked = PortRequest(
        source, target, like, model, belonging, eps, example, values_per_channel, batch_size, force
    )
    record, notes = port_to_torch(asked) if source.suffix == KERAS else port_to_keras(asked)
    say_record(record, json=json, notes=[*notes, f"written: {target}"])


def _belonging(by: str | None, pairs: list[str] | None) -> Any:
    """Return the argument ``by`` of :func:`normwise.port`: the pairs of layers that belong together."""
    if not pairs:
        return by
    if by is not None:
        raise ArgumentError("--by and --pair contradict each other; leave one out")
    paths: dict[str, str] = {}
    for pair in pairs:
        source, sign, target = pair.partition("=")
        if not sign or source in paths:
            raise ArgumentError(
                f"--pair {pair}: expected SOURCE=TARGET, such as 0=conv2d, once for each SOURCE"
            )
        paths[source] = target
    return paths
