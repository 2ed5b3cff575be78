"""Facts about the target of ``normwise doctor``: a network with its training parts, or a file without a network."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from normwise.cli.inputs.cli_target import CliTarget, load_target
from normwise.cli.inputs.state_file import READABLE, read_state
from normwise.cli.inputs.target_data import load_batches
from normwise.cli.inputs.training_parts import named_loss, named_optimizer
from normwise.cli.terminal import complain
from normwise.cli.wording import first_few
from normwise.doctor import Facts
from normwise.errors import ArgumentError
from normwise.files import is_file, is_folder
from normwise.training.evaluate import loss_of

ONNX = ".onnx"


def facts_of(
    target: str,
    *,
    model: str | None,
    data: str | None,
    loss: str | None,
    optimizer: str | None,
    max_batches: int,
) -> Facts:
    """Return the facts about TARGET, before any examination.

    A network that is made now, by a function, for a checkpoint or from a run, is put into evaluation mode unless a
    loss or an optimiser is given. A network that already exists in the user's file keeps its mode.

    Raises:
        NormwiseError: there is no such target, or something does not fit it.
    """
    path = Path(target)
    given = {"--data": data, "--loss": loss, "--optimizer": optimizer}
    if path.suffix == ONNX and not is_folder(path):
        _expect_none(target, {"--model": model, **given}, "an ONNX file is examined by itself")
        if not is_file(path):
            raise ArgumentError(f"there is no file {path}; it is looked for from {Path.cwd()}")
        return Facts.of_onnx(path, target)
    if path.suffix in READABLE and not is_folder(path) and model is None:
        _expect_none(target, given, "a checkpoint contains no network; also name it by --model file.py:name")
        state, others = read_state(path)
        if others:
            complain(f"besides the weights, {path} has {first_few(others)}, which are left out", title="note")
        return Facts.of_checkpoint(state, target)
    network = load_target(target, model)
    if network.without_statistics:
        without = first_few(network.without_statistics)
        complain(
            f"{target} has no running statistics of {without}; those of the network are kept", title="note"
        )
    if network.made and loss is None and optimizer is None:
        network.model.eval()
    has_data = data is not None or network.data is not None
    return Facts.of_model(
        network.model,
        load_batches(data, network, labelled=True) if has_data else None,
        loss=_loss(loss, network),
        optimizer=None if optimizer is None else named_optimizer(optimizer, network),
        max_batches=max_batches,
        name=target,
    )


def _loss(name: str | None, network: CliTarget) -> Callable[..., Any] | None:
    if name is not None:
        return named_loss(name)
    # Every run is trained with this loss.
    return None if network.data is None else loss_of


def _expect_none(target: str, options: dict[str, str | None], advice: str) -> None:
    for name, value in options.items():
        if value is not None:
            raise ArgumentError(f"{name} can't be used with {target}: {advice}")
