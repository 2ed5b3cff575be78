"""Try an installed normwise: import it, compute with a layer, and heal a model with the command line.

Run in the environment that it is installed in: python .ci/smoke.py [--without-kernels]
"""

import subprocess
import sys
import tempfile
from pathlib import Path

import torch

import normwise

#: A BN layer that has seen 60 batches, with a momentum that needs thousands.
_MODEL = """
import torch
from torch import nn

torch.manual_seed(0)
inputs = 3 + 2 * torch.randn(640, 8)
labels = (inputs[:, 0] > 3).long()
loader = list(zip(inputs.split(64), labels.split(64)))
model = nn.Sequential(nn.Linear(8, 16), nn.BatchNorm1d(16, momentum=0.001), nn.ReLU(), nn.Linear(16, 2))
loss = nn.CrossEntropyLoss()
optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
for batch, target in loader * 6:
    optimizer.zero_grad()
    loss(model(batch), target).backward()
    optimizer.step()
"""


def _normwise(*arguments: str, folder: str, codes: tuple[int, ...]) -> str:
    """Return what the command prints; exit if it ends with another code."""
    command = Path(sys.executable).with_name("normwise")
    done = subprocess.run([command, *arguments], cwd=folder, capture_output=True, text=True, check=False)
    print(done.stdout)
    if done.returncode not in codes:
        sys.exit(f"normwise {' '.join(arguments)} ended with {done.returncode}: {done.stderr}")
    return done.stdout


def _check(holds: bool, expected: str) -> None:
    if not holds:
        sys.exit(f"{normwise.__file__}: expected {expected}")


def main() -> None:
    """Try everything; exit at the first thing that fails."""
    kernels = sys.argv[1:] != ["--without-kernels"]
    inputs = torch.randn(16, 4, 6, 6, requires_grad=True)
    ours = normwise.nn.BatchNorm2d(4, activation="relu")(inputs)
    theirs = torch.nn.BatchNorm2d(4)(inputs).relu()
    torch.testing.assert_close(ours, theirs)
    ours.sum().backward()
    _check(inputs.grad is not None, "a gradient of the input")
    with tempfile.TemporaryDirectory() as folder:
        version = _normwise("--version", folder=folder, codes=(0,))
        _check(("compiled for" in version) == kernels, f"kernels: {kernels}")
        Path(folder, "model.py").write_text(_MODEL, encoding="utf-8")
        options = ["--data", "model.py:loader", "--loss", "model.py:loss", "--fix", "healed.safetensors"]
        # 1 says that the doctor found something.
        report = _normwise("doctor", "model.py:model", *options, folder=folder, codes=(0, 1))
        _check("BN201" in report and "Proven" in report, "a proven fix of BN201 stale-statistics")
        _check(Path(folder, "healed.safetensors").exists(), "the healed weights")


if __name__ == "__main__":
    main()
