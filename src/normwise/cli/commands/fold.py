"""``normwise fold``: fold BN layers into the layers next to them."""

from pathlib import Path
from typing import Annotated

import typer

from normwise.cli.inputs import arguments
from normwise.cli.output.record_output import say_record


def fold(
    target: arguments.TargetArgument,
    out: arguments.OutOption,
    model: arguments.ModelOption = None,
    weights: arguments.WeightsOption = None,
    data: arguments.DataOption = None,
    onnx: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help=(
                "Also export the folded network, checked against torch with onnxruntime: pip install "
                "'normwise[onnx]'."
            ),
            show_default=False,
        ),
    ] = None,
    tolerance: Annotated[
        float | None,
        typer.Option(
            help=(
                "Largest allowed difference of outputs, relative to the largest output; half of the type's digits if "
                "not given."
            ),
            show_default=False,
        ),
    ] = None,
    force: arguments.ForceOption = False,
    json: arguments.JsonOption = False,
) -> None:
    """Fold BN layers into the linear and convolution layers next to them; prove it on the first batch of the data.

    OUT has the state dict of the folded network, without the keys of the folded layers. Load it into the result
    of normwise.fold on the same network: folded, _ = normwise.fold(network.eval(), batch), then
    folded.load_state_dict.

    Example: normwise fold net.py:trained --data net.py:loader -o folded.safetensors --onnx folded.onnx
    """
    from normwise.cli.inputs.cli_target import load_target, with_statistics
    from normwise.cli.inputs.state_file import check_output, check_state, write_state
    from normwise.cli.inputs.target_data import first_batch
    from normwise.cli.inputs.user_code import running
    from normwise.surgery import fold

    check_output(out, force=force)
    if onnx is not None:
        check_output(onnx, force=force, endings=(".onnx",))
    network = load_target(target, model, weights)
    whole = with_statistics(network)
    example = first_batch(data, network)
    check_state(out, whole.state_dict())
    lines = []
    with running(f"{target} on its data", with_ours=True):
        whole.eval()
        folded, record = fold(whole, example, tolerance=tolerance, inplace=True)
        if onnx is not None:
            from normwise.surgery.export_onnx import export_onnx

            error = export_onnx(folded, example, onnx, tolerance=tolerance, force=force)
            lines = [f"written: {onnx}, which differs from torch by {error:.1e} of the largest output"]
    write_state(out, folded.state_dict(), force=force)
    say_record(record, json=json, notes=[*lines, f"written: {out}"])
