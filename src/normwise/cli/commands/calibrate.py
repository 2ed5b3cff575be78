"""``normwise calibrate``: exact running statistics from data."""

import shlex
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from normwise.cli.inputs import arguments
from normwise.cli.output.record_output import say_record
from normwise.cli.progress import progress_bar
from normwise.cli.terminal import complain
from normwise.cli.wording import first_few

if TYPE_CHECKING:
    from normwise.cli.inputs.cli_target import CliTarget
    from normwise.records import Calibration, Evaluation


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
    weights: arguments.WeightsOption = None,
    data: arguments.DataOption = None,
    order: Annotated[
        OrderName,
        typer.Option(
            help=(
                "evaluation: exact for evaluation, in several passes. training: in one pass, in which the layers "
                "before use batch statistics, as for a running average."
            )
        ),
    ] = OrderName.evaluation,
    variance: Annotated[
        VarianceName,
        typer.Option(
            help="population: variance of all values together. batch: average of the batches' variances."
        ),
    ] = VarianceName.population,
    max_batches: Annotated[
        int | None,
        typer.Option(min=1, max=10**9, help="Batches to read; all if not given.", show_default=False),
    ] = None,
    include_frozen: Annotated[
        bool, typer.Option("--include-frozen", help="Also calibrate frozen layers.")
    ] = False,
    force: arguments.ForceOption = False,
    json: arguments.JsonOption = False,
) -> None:
    """Replace the running statistics of a network's BN layers by the exact statistics of data.

    OUT has the whole state dict of the network. A checkpoint may lack the running statistics. If the network is that
    of a run, a .safetensors file names the run, so predict, evaluate and fold accept the file like the run, and the
    test accuracy before and after is printed.

    Example: normwise calibrate averaged.pt --model net.py:make --data net.py:loader -o calibrated.safetensors
    """
    from normwise.cli.inputs.cli_target import load_target
    from normwise.cli.inputs.state_file import check_output, check_state, write_state
    from normwise.cli.inputs.target_data import evaluate_target, load_batches
    from normwise.cli.inputs.user_code import running
    from normwise.statistics import calibrate
    from normwise.training import run_metadata

    check_output(out, force=force)
    network = load_target(target, model, weights)
    batches = load_batches(data, network)
    if network.without_statistics:
        without = first_few(network.without_statistics)
        complain(f"{target} has no running statistics of {without}; they are computed now", title="note")
    check_state(out, network.model.state_dict())
    before = None if network.run is None else evaluate_target(None, network)
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
    metadata = {} if network.run is None else run_metadata(network.run)
    write_state(out, network.model.state_dict(), force=force, metadata=metadata)
    notes = [] if before is None else [_improvement(before, evaluate_target(None, network))]
    say_record(record, json=json, notes=[*notes, f"written: {out}", *_use(out, network)])


def _improvement(before: "Evaluation", after: "Evaluation") -> str:
    return (
        f"test accuracy {before.accuracy:.2%} before, {after.accuracy:.2%} after; loss {before.loss:.3g} before, "
        f"{after.loss:.3g} after ({after.samples} samples)"
    )


def _use(out: Path, network: "CliTarget") -> list[str]:
    """Print which commands accept the file that was written for a run."""
    from normwise.cli.inputs.state_file import SAFETENSORS

    if network.run is None:
        return []
    name = shlex.quote(str(out))
    if out.suffix != SAFETENSORS:
        return [f"a {SAFETENSORS} file would name its run, for normwise predict; this one needs --model RUN"]
    return [f"next: normwise predict {name} INPUT, normwise fold {name} -o OUT, normwise evaluate {name}"]


def _check(record: "Calibration", network: "CliTarget") -> None:
    from normwise.errors import DataError

    left = {layer.path: layer.reason for layer in record.layers if not layer.calibrated}
    for path in network.without_statistics:
        if path in left:
            raise DataError(f"{network.name} has no running statistics of {path}, and got none: {left[path]}")
