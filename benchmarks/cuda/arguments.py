"""The arguments of the command, each wrong one of which is one line."""

import argparse
import re
import sys
from pathlib import Path
from typing import NoReturn

import torch

from benchmarks.cuda.sections import SECTIONS

_NAMES = ("tests", *SECTIONS)


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        self.exit(2, f"{self.prog}: {message}\n")


def parsed() -> argparse.Namespace:
    """Return the arguments, or end the process with one line that says what is wrong."""
    parser = _Parser(description=(sys.modules["__main__"].__doc__ or "").split("\n", 1)[0])
    parser.add_argument("--seconds", type=float, default=450.0, help="time that all may take")
    parser.add_argument("--only", default=",".join(_NAMES), help="sections, with commas: all of %(default)s")
    parser.add_argument("--out", type=Path, default=Path("gpu.json"), help="file of all rows and figures")
    parser.add_argument("--device", default="", help="cuda, or cuda with a number")
    parser.add_argument("--dry-run", action="store_true", help="tiny shapes on the CPU")
    for name, kind in (("--child", str), ("--rows", Path)):
        parser.add_argument(name, type=kind, default=None, help=argparse.SUPPRESS)
    parser.add_argument("--part", type=int, nargs=2, default=(0, 1), help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    unknown = sorted(set(arguments.only.split(",")) - set(_NAMES))
    if unknown:
        parser.error(f"--only has {', '.join(unknown)}; known are {', '.join(_NAMES)}")
    if not arguments.seconds > 0:
        parser.error(f"--seconds is {arguments.seconds:g}; expected more than 0")
    folder = arguments.out.absolute().parent
    if not folder.is_dir():
        parser.error(f"--out is {arguments.out}, but there is no folder {folder}: make it, or name another")
    if arguments.out.is_dir():
        parser.error(f"--out is {arguments.out}, which is a folder; expected a file")
    arguments.device = arguments.device or ("cpu" if arguments.dry_run else "cuda")
    wrong = _wrong_device(arguments.device, arguments.dry_run)
    if wrong:
        parser.error(wrong)
    return arguments


def _wrong_device(device: str, dry_run: bool) -> str:
    """Return why nothing can be run on the device, or ""."""
    if device == "cpu":
        return "" if dry_run else "--device cpu needs --dry-run: the figures are those of a GPU"
    named = re.fullmatch(r"cuda(?::(\d+))?", device)
    if named is None:
        return (
            f"--device is {device}; expected cuda, cuda with a number such as cuda:1, or cpu with --dry-run"
        )
    if not torch.cuda.is_available():
        return f"torch {torch.__version__} finds no CUDA device here; --dry-run goes through the sections on the CPU"
    count = torch.cuda.device_count()
    return f"--device is {device}; found {count} CUDA devices" if int(named[1] or 0) >= count else ""
