"""``normwise study``: test the claims about BN."""

from enum import Enum
from pathlib import Path
from typing import Annotated

import typer

from normwise.cli.inputs.arguments import JsonTableOption
from normwise.cli.output.record_output import write_report
from normwise.cli.progress import progress_bar


class BackendName(str, Enum):
    """Names of the backends that execute the runs."""

    loky = "loky"
    dask = "dask"
    ray = "ray"


class PresetName(str, Enum):
    """Names of presets."""

    quick = "quick"
    full = "full"
    gpu = "gpu"


def study(
    claim: Annotated[
        list[str] | None,
        typer.Argument(help="Claims to test; all if none is named.", show_default=False),
    ] = None,
    preset: Annotated[
        PresetName,
        typer.Option(
            help="quick: scikit-learn's digits, made-up speech and text, four minutes or more. full: MNIST, spoken "
            "digits and film reviews, more than an hour. gpu: the claims about depth, placement, small batches and "
            "cost on larger networks, on a CUDA device."
        ),
    ] = PresetName.quick,
    out: Annotated[
        Path | None,
        typer.Option(help="Folder of the study; studies/PRESET[-CLAIM...] if not given.", show_default=False),
    ] = None,
    jobs: Annotated[
        int | None,
        typer.Option(
            min=1,
            help="Processes on this machine; one per core if not given, one with --preset gpu.",
            show_default=False,
        ),
    ] = None,
    backend: Annotated[
        BackendName,
        typer.Option(
            help="loky: processes on this machine. dask, ray: the workers of a cluster (docs/processes/clusters.md)."
        ),
    ] = BackendName.loky,
    address: Annotated[
        str | None,
        typer.Option(
            help="Address of the cluster: of Dask's scheduler (tcp://HOST:8786) or Ray's head (HOST:6379).",
            show_default=False,
        ),
    ] = None,
    json: JsonTableOption = False,
) -> None:
    """Train with and without BN on images, speech and text, and give each claim about BN a verdict with numbers.

    An interrupted study, even a killed one, resumes when you give the same command again. Finished runs are never
    repeated. On a cluster all workers share the study's folder.
    It needs: pip install 'normwise[study]'

    Example: normwise study fewer_steps small_batches --preset quick --out studies/two-claims
    """
    from normwise.errors import ArgumentError
    from normwise.records import usable_cores
    from normwise.report import study_page, study_table
    from normwise.studies import Cluster, claims_named, preset_named, run_study

    on_cluster = backend is not BackendName.loky
    if address is not None and not on_cluster:
        raise ArgumentError("--address is for a cluster; name its kind by --backend dask or --backend ray")
    if jobs is not None and on_cluster:
        raise ArgumentError(
            f"--jobs is the number of processes on this machine; with --backend {backend.value} each worker of the "
            "cluster makes one run at a time. Leave it out"
        )
    cluster = Cluster(backend.value, address or "") if on_cluster else None
    # A study of some claims does not replace the report on all of them.
    folder = out or Path("studies") / "-".join([preset.value, *(claim or ())])
    with progress_bar(1.0) as bar:
        record = run_study(
            preset_named(preset.value),
            claims_named(tuple(claim or ()), preset.value),
            folder,
            jobs=jobs or (usable_cores() if preset is not PresetName.gpu else 1),
            cluster=cluster,
            on_run=lambda done, total, share: bar.show(share, f"{done} of {total} runs"),
        )
    write_report(record, folder, study_page, study_table, json=json)
