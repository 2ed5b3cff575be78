"""``normwise evaluate``: loss and accuracy with running and with batch statistics."""

from typing import TYPE_CHECKING, Annotated

import typer

from normwise.cli.inputs import arguments
from normwise.cli.output.training_summary import lag_hint
from normwise.cli.terminal import say

if TYPE_CHECKING:
    from normwise.records import Evaluation


def evaluate(
    target: arguments.TargetArgument,
    model: arguments.ModelOption = None,
    weights: arguments.WeightsOption = None,
    data: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help=(
                "Batches of (input, labels), as file.py:name of a loader; or digits, mnist or a folder of images, "
                "whose test images are used. If not given, a run uses its own test data."
            ),
            show_default=False,
        ),
    ] = None,
    json: arguments.JsonOption = False,
) -> None:
    """Measure the loss and the accuracy of a classifier with running statistics, and with those of each batch.

    If batch statistics do better, the running ones lag behind the weights, and normwise calibrate fixes that.

    Example: normwise evaluate runs/mnist
    """
    from normwise.cli.inputs.cli_target import load_target, with_statistics
    from normwise.cli.inputs.target_data import evaluate_target
    from normwise.records import to_json

    network = load_target(target, model, weights)
    with_statistics(network)
    record = evaluate_target(data, network)
    options = {"--model": model, "--weights": weights, "--data": data}
    given = [word for name, value in options.items() if value is not None for word in (name, value)]
    say(to_json(record, indent=1) if json else "\n".join(_lines(record, [target, *given])))


def _lines(record: "Evaluation", network: list[str]) -> list[str]:
    rows = [
        (f"{record.samples} samples", "loss", "accuracy"),
        ("running statistics", f"{record.loss:.4f}", f"{record.accuracy:.2%}"),
    ]
    if record.batch_loss is not None and record.batch_accuracy is not None:
        name = f"batch statistics, batches of {record.batch_size}"
        rows.append((name, f"{record.batch_loss:.4f}", f"{record.batch_accuracy:.2%}"))
    else:
        rows[1] = ("evaluation", *rows[1][1:])
    width = max(len(name) for name, *_ in rows)
    lines = [f"{name:<{width}}  {loss:>10}  {accuracy:>8}" for name, loss, accuracy in rows]
    hint = lag_hint(record.accuracy, record.batch_accuracy, network)
    return [*lines, *([] if hint is None else [f"note: {hint}"])]
