"""Options that are common to all ``normwise train`` commands."""

import inspect
from collections.abc import Callable
from dataclasses import dataclass, fields
from enum import Enum
from functools import wraps
from pathlib import Path
from typing import Annotated, Any, get_type_hints

import typer


class OptimizerName(str, Enum):
    """Names of optimisers."""

    sgd = "sgd"
    adam = "adam"
    adamw = "adamw"


class StatisticsName(str, Enum):
    """Statistics that BN normalises with when several processes train."""

    synchronised = "synchronised"
    local = "local"


class FrameworkName(str, Enum):
    """Frameworks of the network and of the loop."""

    torch = "torch"
    keras = "keras"


_DEFAULT_LR = {OptimizerName.sgd: 0.1, OptimizerName.adam: 0.001, OptimizerName.adamw: 0.001}
_DEFAULT_DECAY = {OptimizerName.sgd: 0.0, OptimizerName.adam: 0.0, OptimizerName.adamw: 0.01}


@dataclass(frozen=True)
class TrainingOptions:
    """Options that do not depend on the task, in the order of the help.

    Attributes:
        epochs, batch_size, lr, optimizer, momentum, weight_decay, clip, seed, option, framework, threads, statistics,
            out, resume: See the help of each option.
    """

    epochs: Annotated[int, typer.Option(min=1, max=10**6, help="Passes over the training set.")]
    batch_size: Annotated[
        int, typer.Option(min=1, help="Samples per step; an incomplete last batch is dropped.")
    ]
    lr: Annotated[
        float | None,
        typer.Option("--lr", help="Learning rate; 0.001 for adam and adamw, 0.1 for sgd if not given."),
    ] = None
    optimizer: Annotated[OptimizerName, typer.Option("--optimizer", help="Optimiser.")] = OptimizerName.adam
    momentum: Annotated[
        float,
        typer.Option(min=0.0, help="Momentum of sgd, less than 1, such as 0.9; not for adam and adamw."),
    ] = 0.0
    weight_decay: Annotated[
        float | None,
        typer.Option(min=0.0, max=1.0, help="Weight decay of adamw; 0.01 if not given.", show_default=False),
    ] = None
    clip: Annotated[
        float,
        typer.Option(min=0.0, help="Largest norm of all gradients together; 0 for no limit."),
    ] = 0.0
    seed: Annotated[
        int, typer.Option(help="Seed of the initial weights, the order of the samples and dropout.")
    ] = 0
    option: Annotated[
        list[str] | None,
        typer.Option(
            "--option",
            "-O",
            metavar="NAME=VALUE",
            help="Option of the network, such as depth=20; may be repeated.",
        ),
    ] = None
    framework: Annotated[
        FrameworkName,
        typer.Option(
            help="torch, or Keras on the backend that KERAS_BACKEND names: tensorflow, jax or torch. Keras has "
            "`mnist_cnn`, `dense_bn`, `conv_pair`, `cnn_32`, `cnn_64`, `row_lstm`, `speech_lstm` and "
            "`sentiment_bilstm`, and the norms batch, ghost, renorm, none, layer and, within LSTM layers, "
            "recurrent_layer."
        ),
    ] = FrameworkName.torch
    threads: Annotated[
        int | None,
        typer.Option(
            min=1,
            help=(
                "Threads of each process; if not given all cores (1 under torchrun), or for a resumed run its own "
                "number."
            ),
        ),
    ] = None
    statistics: Annotated[
        StatisticsName,
        typer.Option(
            help=(
                "Statistics of BN under torchrun: synchronised uses the whole batch, local the samples of each "
                "process."
            )
        ),
    ] = StatisticsName.synchronised
    out: Annotated[Path | None, typer.Option(help="Folder of the run.")] = None
    resume: Annotated[
        bool,
        typer.Option(
            "--resume",
            help="Resume the run in that folder, with its own values for options that are not given.",
        ),
    ] = False

    @property
    def decay(self) -> float:
        """Return the weight decay, or the optimiser's usual one."""
        return _DEFAULT_DECAY[self.optimizer] if self.weight_decay is None else self.weight_decay

    @property
    def learning_rate(self) -> float:
        """Return the learning rate, or the optimiser's usual one if not given."""
        return _DEFAULT_LR[self.optimizer] if self.lr is None else self.lr


def with_training_options(
    without: tuple[str, ...] = (), **defaults: Any
) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Add the options of :class:`TrainingOptions` after a command's own; it receives them as ``training``.

    Args:
        without: Names of options that the command does not have.
        defaults: Defaults that differ in this command.
    """
    hints = get_type_hints(TrainingOptions, include_extras=True)
    default_of = {field.name: field.default for field in fields(TrainingOptions)} | defaults
    shared = [name for name in hints if name not in without]

    def decorate(command: Callable[..., None]) -> Callable[..., None]:
        @wraps(command)
        def wrapper(**given: Any) -> None:
            training = TrainingOptions(**{name: given.pop(name) for name in shared})
            command(**given, training=training)

        # Typer makes the options of a command from its signature.
        own = inspect.signature(command)
        parameters = [parameter for name, parameter in own.parameters.items() if name != "training"]
        parameters += [
            inspect.Parameter(
                name, inspect.Parameter.KEYWORD_ONLY, default=default_of[name], annotation=hints[name]
            )
            for name in shared
        ]
        setattr(wrapper, "__signature__", own.replace(parameters=parameters))  # noqa: B010 (no attribute to a checker)
        wrapper.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
        return wrapper

    return decorate
