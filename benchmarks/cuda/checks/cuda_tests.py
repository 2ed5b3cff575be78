"""The project's own tests that need a CUDA device, by pytest where it is there."""

import importlib.util
import os
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

FILES = (
    "tests/nn/tools/test_cuda.py",
    "tests/kernels/triton/test_cuda.py",
    "tests/surgery/proof/test_cuda.py",
)
#: Less than this is not enough to import torch and compile kernels: nothing would be known.
_LEAST_SECONDS = 20.0
#: In place of the project's own, which name plugins that need not be there.
_OPTIONS = (
    "-o",
    "addopts=--import-mode=importlib -m 'not large'",
    "-W",
    "ignore::pytest.PytestConfigWarning",
)


def run_cuda_tests(root: Path, seconds: float) -> Iterator[dict[str, Any]]:
    """Yield a row for each file, which run at the same time; ``ok`` is None where no test ran."""
    why = ""
    if importlib.util.find_spec("pytest") is None:
        why = "there is no pytest"
    elif seconds < _LEAST_SECONDS:
        why = f"{seconds:.0f} s are left; it needs {_LEAST_SECONDS:.0f}"
    if why:
        for file in FILES:
            yield {"section": "tests", "check": file, "ok": None, "detail": f"not checked: {why}"}
        return
    with ThreadPoolExecutor(len(FILES)) as pool:
        yield from pool.map(partial(_run, root, seconds), FILES)


def _run(root: Path, seconds: float, file: str) -> dict[str, Any]:
    row: dict[str, Any] = {"section": "tests", "check": file}
    command = [sys.executable, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", *_OPTIONS, file]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(root / "src"), str(root)])}
    try:
        done = subprocess.run(
            command, cwd=root, env=environment, capture_output=True, text=True, check=False, timeout=seconds
        )
    except subprocess.TimeoutExpired:
        return row | {"ok": False, "detail": f"not finished after {seconds:.0f} s"}
    said = (done.stdout + done.stderr).strip() or "nothing"
    if done.returncode != 0:
        # A failure is told at length.
        return row | {"ok": False, "detail": said[-600:]}
    summary = said.splitlines()[-1]
    if " passed" not in summary:
        return row | {"ok": None, "detail": f"not checked: {summary}"}
    return row | {"ok": True, "detail": summary}
