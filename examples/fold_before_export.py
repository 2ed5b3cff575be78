"""A trained network is folded, so that no BN layer is left to compute, and exported to ONNX.

Run: python examples/fold_before_export.py (the digits need pip install 'normwise[study]')

In evaluation a BN layer scales and shifts each channel, which the convolution before it can do on its own. Whether
the outputs are the same is not a matter of trust: fold compares them, and so does the export, with onnxruntime, if
the packages are there (pip install 'normwise[onnx]').
"""

from importlib.util import find_spec
from pathlib import Path

import torch
from torch import nn
from torch.nn import functional as F

import normwise
from normwise.data import digits
from normwise.surgery.export_onnx import export_onnx


def main() -> None:
    """Train, fold, export."""
    torch.manual_seed(0)
    data = digits()
    model = nn.Sequential(
        nn.Conv2d(1, 16, 3, bias=False), normwise.nn.BatchNorm2d(16, activation="relu"),
        nn.Conv2d(16, 32, 3, bias=False), nn.BatchNorm2d(32), nn.ReLU(),
        nn.Flatten(), nn.Linear(512, 10),
    )  # fmt: skip
    optimizer = torch.optim.SGD(model.parameters(), lr=0.2)
    for index in torch.randperm(len(data.train_images)).split(64):
        optimizer.zero_grad()
        F.cross_entropy(model(data.train_images[index]), data.train_labels[index]).backward()
        optimizer.step()

    # A layer that is still training is not folded: it would go on to change.
    model.eval()
    batch = data.test_images[:64]
    folded, report = normwise.fold(model, batch)
    print(report)

    if find_spec("onnxruntime") is None or find_spec("onnxscript") is None:
        print("no ONNX file: pip install 'normwise[onnx]'")
        return
    path = Path("digits.onnx")
    error = export_onnx(folded, batch, path, force=True)
    print(f"{path}: onnxruntime's outputs differ from torch's by {error:.1e} of the largest")


if __name__ == "__main__":
    main()
