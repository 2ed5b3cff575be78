"""``normwise bench``: our layers against torch's, and against what memory allows, on this machine."""

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from normwise.cli.progress import progress_bar


def bench(
    out: Annotated[Path, typer.Option(help="Folder of the report.")] = Path("bench"),
    threads: Annotated[
        int | None, typer.Option(min=1, help="Threads; torch's own number if not given.", show_default=False)
    ] = None,
    tune_allocator: Annotated[
        bool,
        typer.Option(
            "--tune-allocator", help="First let malloc keep memory, as normwise.tune_allocator() does."
        ),
    ] = False,
    json: Annotated[
        bool, typer.Option("--json", help="Print the records as JSON instead of the table.")
    ] = False,
) -> None:
    """Measure how fast normalization is here: memory, torch's layers and ours, in turn, in about a minute.

    Example: normwise bench --tune-allocator
    """
    import torch

    from normwise import kernels
    from normwise.benchmark import CASES, run_benchmark
    from normwise.files import write_whole
    from normwise.records import to_json
    from normwise.report import benchmark_page, benchmark_table

    if threads is not None:
        torch.set_num_threads(threads)
    allocator = str(kernels.tune_allocator()) if tune_allocator else "malloc was left as it is"
    with progress_bar(len(CASES)) as bar:
        record = run_benchmark(allocator=allocator, on_case=lambda done, total, name: bar.show(done, name))
    out.mkdir(parents=True, exist_ok=True)
    write_whole(out / "benchmark.json", (to_json(record, indent=1) + "\n").encode())
    page = out / "report.html"
    write_whole(page, benchmark_page(record).encode())
    if json:
        typer.echo(to_json(record, indent=1))
    else:
        Console().print(benchmark_table(record))
        typer.echo(f"report: {page}")
