"""A process that runs sections and writes each row to a file as soon as it is found."""

import json
import time
import warnings
from collections.abc import Sequence
from pathlib import Path

import torch

from benchmarks.cuda.place import Place
from benchmarks.cuda.sections import SECTIONS

#: The exit code of a process whose GPU context is broken: a new one goes on with the sections behind.
BROKEN = 3


def run_sections(
    names: Sequence[str], part: tuple[int, int], device: str, tiny: bool, seconds: float, rows: Path
) -> int:
    """Run sections one after the other, and return the exit code."""
    # Threads of processes that run at the same time are not to be in each other's way.
    torch.set_num_threads(1 if tiny else 2)
    if torch.device(device).index is not None:
        torch.cuda.set_device(device)
    end = time.monotonic() + seconds
    for name in names:
        section = SECTIONS[name]
        begun = time.monotonic()
        with rows.open("a", encoding="utf-8") as file, warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("default")

            def write(row: dict[str, object], name: str = name, file=file) -> None:
                file.write(json.dumps({"section": name, **row}) + "\n")
                file.flush()

            write({"begun": True})
            broken = False
            try:
                for row in section.rows(Place(device, tiny, min(end, begun + section.seconds), part)):
                    write(row)
            except Exception as wrong:
                broken = "CUDA error" in str(wrong)
                write({"error": f"{type(wrong).__name__}: {str(wrong)[:1000]}"})
            # One that all calls fall back to torch's operators says why in a warning of ours.
            ours = sorted(
                {str(one.message)[:500] for one in caught if "normwise" in str(one.message).lower()}
            )
            write({"ended": True, "seconds": round(time.monotonic() - begun, 1), "warnings": ours})
        if broken:
            return BROKEN
    return 0
