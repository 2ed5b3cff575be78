"""``normwise study``: the claims."""

from enum import Enum
from pathlib import Path
from typing import Annotated

import typer

from normwise.cli.inputs.arguments import JsonTableOption
from normwise.cli.progress import progress_bar
from normwise.cli.record_output import write_report


class PresetName(str, Enum):
    """Names of presets."""

    quick = "quick"
    full = "full"


def study(
    claim: Annotated[
        list[str] | None,
        typer.Argument(help="Which claims; all of them if none is named.", show_default=False),
    ] = None,
    preset: Annotated[
        PresetName,
        typer.Option(
            help="quick: scikit-learn's digits, made-up speech and text, about three minutes. full: MNIST, spoken "
            "digits and film reviews, more than an hour."
        ),
    ] = PresetName.quick,
    out: Annotated[
        Path | None,
        typer.Option(help="Folder of the study; studies/PRESET[-CLAIM...] if not given.", show_default=False),
    ] = None,
    jobs: Annotated[
        int | None, typer.Option(min=1, help="Processes; one a core if not given.", show_default=False)
    ] = None,
    json: JsonTableOption = False,
) -> None:
    """Train with and without BN on images, speech and text, and give each claim about BN a verdict with numbers.

    A study that was interrupted, however hard, goes on when the same command is given again.
    Finished runs are never repeated.

    Example: normwise study fewer_steps small_batches --preset quick --out studies/two-claims
    """
    from normwise.records import usable_cores
    from normwise.report import study_page, study_table
    from normwise.studies import claims_named, preset_named, run_study

    # A study of some claims does not take the place of the report on all.
    folder = out or Path("studies") / "-".join([preset.value, *(claim or ())])
    with progress_bar(1.0) as bar:
        record = run_study(
            preset_named(preset.value),
            claims_named(tuple(claim or ())),
            folder,
            jobs=jobs or usable_cores(),
            on_run=lambda done, total, share: bar.show(share, f"{done} of {total} runs"),
        )
    write_report(record, folder, study_page, study_table, json=json)
