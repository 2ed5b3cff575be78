"""``normwise bench``: our layers against torch's, and against the bandwidth of memory, on this machine."""

from pathlib import Path
from typing import Annotated

import typer

from normwise.cli.inputs.arguments import JsonTableOption
from normwise.cli.output.record_output import write_report
from normwise.cli.progress import progress_bar


def bench(
    out: Annotated[
        Path, typer.Option(help="Folder to write an HTML page to: pip install 'normwise[html]'.")
    ] = Path("bench"),
    threads: Annotated[
        int | None,
        typer.Option(min=1, help="Number of threads; torch's default if not given.", show_default=False),
    ] = None,
    tune_allocator: Annotated[
        bool,
        typer.Option(
            "--tune-allocator", help="First make malloc keep freed memory, as normwise.tune_allocator() does."
        ),
    ] = False,
    device: Annotated[str, typer.Option(metavar="cpu|cuda|cuda:N", help="Device that computes.")] = "cpu",
    json: JsonTableOption = False,
) -> None:
    """Measure the speed of normalization here: memory, and torch's layers and ours in turn; about a minute on a CPU.

    Example: normwise bench --tune-allocator

    Example: normwise bench --device cuda
    """
    import torch

    import normwise
    from normwise.benchmark import cases_of, run_benchmark
    from normwise.files import make_folder, write_whole
    from normwise.records import check_at_once, to_json
    from normwise.report import benchmark_page, benchmark_table, check_drawing

    cases = cases_of(device)
    if threads is not None:
        check_at_once("--threads", threads)
        torch.set_num_threads(threads)
    check_drawing()
    make_folder(out)
    allocator = str(normwise.tune_allocator()) if tune_allocator else "malloc was left as it is"
    with progress_bar(len(cases)) as bar:
        record = run_benchmark(
            cases, allocator=allocator, on_case=lambda done, total, name: bar.show(done, name)
        )
    write_whole(out / "benchmark.json", (to_json(record, indent=1) + "\n").encode())
    write_report(record, out, benchmark_page, benchmark_table, json=json)
