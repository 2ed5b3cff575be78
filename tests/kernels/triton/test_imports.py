"""Triton is imported when a CUDA tensor asks for it, and not before."""

import subprocess
import sys

import pytest

STEPS = {
    "import": "import normwise, normwise.nn",
    "step": (
        "import torch, normwise.nn as nn\n"
        "model = torch.nn.Sequential(torch.nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4, activation='relu'))\n"
        "model(torch.randn(2, 3, 8, 8)).sum().backward()\n"
        "model.eval()(torch.randn(2, 3, 8, 8))"
    ),
    "version": "from normwise.cli.app import run_command_line; run_command_line(['--version'])",
}


@pytest.mark.parametrize("step", STEPS)
def test_triton_is_not_imported(step: str) -> None:
    command = f"{STEPS[step]}\nimport sys\nprint('triton' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", command], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "False"
