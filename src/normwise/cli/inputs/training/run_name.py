"""Default folder of a run, named after what is distinct about the run."""

import re
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from normwise.cli.inputs.training.training_options import FrameworkName, TrainingOptions

if TYPE_CHECKING:
    from normwise.cli.inputs.training.training_request import TrainingRequest

#: Options with their own words in the name; ``{}`` stands for the value.
_WORDS = {
    "optimizer": "{}",
    "lr": "lr{}",
    "momentum": "momentum{}",
    "weight_decay": "decay{}",
    "clip": "clip{}",
    "epochs": "epochs{}",
    "batch_size": "batch{}",
    "placement": "{}",
    "rate": "rate{}",
    "size": "size{}",
    "statistics": "{}",
}
_UNFIT = re.compile(r"[^\w.+-]+")


def run_folder(
    context: typer.Context, request: "TrainingRequest", training: TrainingOptions, data: str
) -> Path:
    """Return ``runs/NAME``: the network, data and norm, every option that is not its default, and the seed.

    Args:
        context: Context of the command, which has the defaults.
        request: Requested network and data.
        training: Options of the training.
        data: Name of the data.
    """
    split = [str(value) for name, value in request.data_options.items() if name in ("split", "speaker")]
    framework = ["keras"] if training.framework is FrameworkName.keras else []
    distinct = [*_distinct(context, training), *request.augment]
    parts = [request.model, data, *split, request.norm, *framework, *distinct]
    return Path("runs") / "-".join(_UNFIT.sub("_", part) for part in [*parts, f"seed{training.seed}"])


def _distinct(context: typer.Context, training: TrainingOptions) -> list[str]:
    """Return a word for each option that is not its default."""
    defaults = {parameter.name: parameter.default for parameter in context.command.params}
    given = context.params | {"lr": training.learning_rate, "weight_decay": training.decay}
    usual = TrainingOptions(1, 1, optimizer=training.optimizer)
    defaults |= {"lr": usual.learning_rate, "weight_decay": usual.decay}
    words = []
    for name, word in _WORDS.items():
        value, default = (getattr(each.get(name), "value", each.get(name)) for each in (given, defaults))
        if value != default:
            words.append(word.format(f"{value:g}" if isinstance(value, float) else value))
    words += [pair.replace("=", "") for pair in training.option or []]
    vectors = context.params.get("vectors")
    return [*words, *([] if vectors is None else [f"vectors_{Path(vectors).stem}"])]
