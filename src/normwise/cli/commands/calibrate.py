"""``normwise calibrate``: exact running statistics from data."""

from enum import Enum
from typing import TYPE_CHECKING, Annotated

import typer

from normwise.cli.inputs import arguments
from normwise.cli.progress import progress_bar
from normwise.cli.record_output import say_record
from normwise.cli.terminal import complain
from normwise.cli.wording import first_few

if TYPE_CHECKING:
    from normwise.cli.inputs.cli_target import CliTarget
    from normwise.records import Calibration


class OrderName(str, Enum):
    """Names of orders."""

    evaluation = "evaluation"
    training = "training"


class VarianceName(str, Enum):
    """Names of variances."""

    population = "population"
    batch = "batch"


def calibrate(
    target: arguments.TargetArgument,
    out: arguments.OutOption,
    model: arguments.ModelOption = None,
    data: arguments.DataOption = None,
    order: Annotated[
        OrderName,
        typer.Option(
            help="evaluation: exact as evaluation will see them, in several passes. training: in one pass, each layer "
            "behind batch statistics, as a running average has them."
        ),
    ] = OrderName.evaluation,
    variance: Annotated[
        VarianceName,
        typer.Option(help="population: of all values together. batch: the average of the batches' own."),
    ] = VarianceName.population,
    max_batches: Annotated[
        int | None,
        typer.Option(min=1, max=10**9, help="Batches to read; all if not given.", show_default=False),
    ] = None,
    include_frozen: Annotated[
        bool, typer.Option("--include-frozen", help="Calibrate layers that are frozen, too.")
    ] = False,
    force: arguments.ForceOption = False,
    json: arguments.JsonOption = False,
) -> None:
    """Replace the running statistics of a network's BN layers by the exact statistics of data.

    OUT has the network's whole state dict. A checkpoint may lack the running statistics.

    Example: normwise calibrate averaged.pt --model net.py:make --data net.py:loader -o calibrated.safetensors
    """
    from normwise.cli.inputs.cli_target import load_batches, load_target
    from normwise.cli.inputs.state_file import check_output, check_state, write_state
    from normwise.cli.inputs.user_code import running
    from normwise.statistics import calibrate

    check_output(out, force=force)
    network = load_target(target, model)
    batches = load_batches(data, network)
    if network.without_statistics:
        without = first_few(network.without_statistics)
        complain(f"{target} has no running statistics of {without}; they are computed now", title="note")
    check_state(out, network.model.state_dict())
    with progress_bar(None) as bar, running(f"{target} on its data", with_ours=True):
        record = calibrate(
            network.model,
            batches,
            order=order.value,
            variance=variance.value,
            max_batches=max_batches,
            include_frozen=include_frozen,
            progress=lambda done, total, text: bar.show(done, text, total),
        )
    _check(record, network)
    write_state(out, network.model.state_dict(), force=force)
    say_record(record, json=json, notes=[f"written: {out}"])


def _check(record: "Calibration", network: "CliTarget") -> None:
    from normwise.errors import DataError

    left = {layer.path: layer.reason for layer in record.layers if not layer.calibrated}
    for path in network.without_statistics:
        if path in left:
            raise DataError(f"{network.name} has no running statistics of {path}, and got none: {left[path]}")
