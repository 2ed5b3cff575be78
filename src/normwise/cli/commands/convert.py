"""``normwise convert``: convert BN layers into other norms, and back."""

from typing import Annotated, Any

import typer

from normwise.cli.inputs import arguments
from normwise.cli.output.record_output import say_record


def convert(
    target: arguments.TargetArgument,
    out: arguments.OutOption,
    to: Annotated[
        str,
        typer.Option(
            metavar="NORM",
            help="Norm: group, layer, instance, frozen, batch, torch (torch's own BN), sync, ghost or renorm.",
        ),
    ],
    model: arguments.ModelOption = None,
    weights: arguments.WeightsOption = None,
    data: arguments.DataOption = None,
    groups: Annotated[
        int | None, typer.Option(min=1, help="Groups of group norm.", show_default=False)
    ] = None,
    eps: Annotated[
        float | None,
        typer.Option(help="ε of the new layers; that of the old ones if not given.", show_default=False),
    ] = None,
    momentum: Annotated[
        float | None,
        typer.Option(
            help="Weight of a new batch in the running statistics; that of the old layers if not given.",
            show_default=False,
        ),
    ] = None,
    force: arguments.ForceOption = False,
    json: arguments.JsonOption = False,
) -> None:
    """Convert a network's norm layers to another norm; keep the weights and everything else that fits.

    OUT has the state dict of the converted network. Load it into the result of normwise.convert(network, to=NORM)
    on the same network. With data, the report says how much the outputs on the first batch change.

    Example: normwise convert resnet.pt --model net.py:make --to group --groups 32 --data digits -o group.safetensors
    """
    from normwise.cli.inputs.cli_target import load_target, with_statistics
    from normwise.cli.inputs.state_file import check_output, check_state, write_state
    from normwise.cli.inputs.target_data import first_batch
    from normwise.cli.inputs.user_code import running
    from normwise.surgery import convert

    check_output(out, force=force)
    network = load_target(target, model, weights)
    whole = with_statistics(network)
    check_state(out, whole.state_dict())
    has_data = data is not None or network.data is not None
    example = first_batch(data, network) if has_data else None
    settings: dict[str, Any] = {"eps": eps, "momentum": momentum}
    settings = {name: value for name, value in settings.items() if value is not None}
    with running(f"{target} on its data", with_ours=True):
        converted, record = convert(whole, to, example=example, groups=groups, inplace=True, **settings)
    write_state(out, converted.state_dict(), force=force)
    say_record(record, json=json, notes=[f"written: {out}"])
