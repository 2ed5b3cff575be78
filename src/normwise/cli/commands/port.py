"""``normwise port``: trained weights from Keras to torch, and back."""

import copy
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from normwise.cli.inputs import arguments
from normwise.cli.record_output import say_record


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
            help="Network of torch, as file.py:name, with which the move is proven; without it names of layers decide.",
            show_default=False,
        ),
    ] = None,
    by: Annotated[
        Literal["order", "name"] | None,
        typer.Option(
            help="Layers belong together by the order of their calls, or by name. Order with --model, else name.",
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
    force: Annotated[bool, typer.Option("--force", help="Replace TARGET where it exists.")] = False,
    json: arguments.JsonOption = False,
) -> None:
    """Move the weights of a trained Keras model into a state dict of torch, or back.

    With --model both networks are evaluated on random inputs and compared layer by layer; nothing is written where they
    differ. A state dict has no ε: there the network must have that of the Keras model.

    Example: normwise port mnist.keras mnist.safetensors --model net.py:make
    """
    from normwise.cli.inputs.keras.model_file import KERAS, load_keras, save_keras
    from normwise.cli.inputs.state_file import ENDINGS, SAFETENSORS, check_output, read_state, write_state
    from normwise.cli.inputs.user_code import running
    from normwise.cli.unsaved_changes import unsaved_changes
    from normwise.errors import ArgumentError
    from normwise.porting import port, port_to_state

    notes: list[str] = []
    settings: dict[str, Any] = {"values_per_channel": values_per_channel}
    if source.suffix == KERAS:
        check_output(target, force=force, endings=ENDINGS)
        if like is not None:
            raise ArgumentError("--like is for weights of torch, which have no architecture; leave it out")
        keras_model = load_keras(source)
        if model is None:
            if by is not None:
                raise ArgumentError(
                    "--by needs --model: without a network of torch the layers keep their names"
                )
            state, record = port_to_state(keras_model, **settings)
        else:
            network = _network(model)
            before = copy.deepcopy(network)
            with running(f"{model} on random inputs", with_ours=True):
                record = port(keras_model, network, by=by, **settings)
            _check_eps(model, before, network)
            notes = unsaved_changes(before, network)
            state = network.state_dict()
        write_state(target, state, force=force)
    else:
        check_output(target, force=force, endings=(KERAS,))
        if like is None:
            raise ArgumentError(
                f"{source} has no architecture: name by --like a {KERAS} file of such a model"
            )
        given, _ = read_state(source)
        keras_model = load_keras(like)
        if model is None:
            if by == "order" and source.suffix == SAFETENSORS:
                raise ArgumentError(
                    f"{source} does not keep the order of layers: name the network by --model"
                )
            record = port(given, keras_model, by="name" if by is None else by, **settings)
        else:
            from normwise.cli.inputs.load_state import load_state

            network = _network(model)
            load_state(network, given, str(source), model)
            with running(f"{model} on random inputs", with_ours=True):
                record = port(network, keras_model, by=by, **settings)
        save_keras(target, keras_model)
    say_record(record, json=json, notes=[*notes, f"written: {target}"])


def _check_eps(name: str, before: Any, after: Any) -> None:
    """Raise ModelError where ε of a layer had to change, which a state dict can't hold."""
    from normwise.errors import ModelError

    old = dict(before.named_modules())
    for path, module in after.named_modules():
        eps = getattr(module, "eps", None)
        if eps != getattr(old[path], "eps", None):
            raise ModelError(
                f"{name}: {path!r} ({type(module).__name__}) has ε {old[path].eps:g}, and the Keras model {eps:g}, "
                "which a state dict can't hold; make the network with the same"
            )


def _network(name: str) -> Any:
    from normwise.cli.inputs.cli_target import load_target

    return load_target(name, None).model
