"""Summary at the end of ``normwise train``: accuracy, whether the network learnt, and next steps."""

import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from normwise.errors import ArgumentError

if TYPE_CHECKING:
    from normwise.records import Result, Run, Task

#: Least gain in accuracy with batch statistics from which running statistics count as lagging.
LAG = 0.01
_INPUT: "dict[Task, str]" = {"image": "IMAGE.png", "speech": "RECORDING.wav", "text": '"a text"'}


def training_summary(run: "Run", folder: Path) -> str:
    """Return lines with accuracies, the folder, and next steps."""
    result = run.result
    if result is None:
        raise ArgumentError(f"the run in {folder} has not ended")
    lines = [("test accuracy", f"{result.test_accuracy:.2%}")]
    if result.batch_statistics_accuracy is not None:
        lines[0] = ("test accuracy, running statistics", f"{result.test_accuracy:.2%}")
        lines.append(("test accuracy, batch statistics", f"{result.batch_statistics_accuracy:.2%}"))
    if fault := _divergence(run, result):
        lines.insert(0, ("diverged", f"{fault}; lower --lr"))
    elif lag := _lag(run, result, folder):
        lines.append(("note", lag))
    lines.append(("run", str(folder)))
    name = shlex.quote(str(folder))
    commands = [f"normwise report {name}"]
    if not result.diverged:
        commands = [
            f"normwise predict {name} {_INPUT[run.config.task]}",
            f"normwise evaluate {name}",
            *commands,
        ]
    lines += [("next" if number == 0 else "", command) for number, command in enumerate(commands)]
    width = max(len(name) for name, _ in lines)
    return "\n".join(f"{name:<{width}}  {value}" for name, value in lines)


def lag_hint(running: float, batch: float | None, network: Sequence[str]) -> str | None:
    """Return advice if running statistics lag behind the weights; None if they do not.

    Args:
        running: Accuracy with running statistics.
        batch: Accuracy with batch statistics; None without BN.
        network: Arguments that name the network and its data on the command line.
    """
    if batch is None or batch - running <= LAG:
        return None
    command = shlex.join(("normwise", "calibrate", *network, "-o", "OUT.safetensors"))
    return f"running statistics lag behind the weights: {command}"


def keras_lag_hint(moving: float, batch: float | None) -> str | None:
    """Return advice if the moving statistics of a run in Keras lag behind the weights; None if they do not.

    Args:
        moving: Accuracy with moving statistics.
        batch: Accuracy with batch statistics; None without BN.
    """
    if batch is None or batch - moving <= LAG:
        return None
    return (
        "moving statistics lag behind the weights: train for more steps, or with a lower momentum "
        "(-O momentum=0.9; Keras's default is 0.99)"
    )


def _lag(run: "Run", result: "Result", folder: Path) -> str | None:
    accuracies = result.test_accuracy, result.batch_statistics_accuracy
    # normwise calibrate takes networks in torch.
    if run.config.framework == "keras":
        return keras_lag_hint(*accuracies)
    return lag_hint(*accuracies, (str(folder),))


def _divergence(run: "Run", result: "Result") -> str | None:
    """Return a description of how a run diverged; None if it did not."""
    if result.diverged:
        return f"loss or weights were no longer finite at step {result.steps}"
    if run.risen_loss is None:
        return None
    before, after = run.risen_loss
    return f"the training loss rose from {before:.3g} to {after:.3g}"
