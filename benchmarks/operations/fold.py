"""Gain of folding: a ResNet-20's evaluation before and after ``normwise.fold``.

Run: python benchmarks/operations/fold.py

Old and new are called in turn in one process, in rounds; a ratio is the old model's time over the new one's, the median
of the rounds with their 10th and 90th percentile. Layers are torch's, and ours with their activations fused
(``normwise.accelerate``), so that what folding adds to that is seen as well. Images are 32×32, NCHW.
"""

import torch
from torch import nn

import normwise
from normwise.models import build


def main() -> None:
    """Print a line a batch size and kind of layer."""
    print(f"{torch.get_num_threads()} threads")
    print(f"{'layers':>10}  {'batch':>5}  {'folded':>8}  {'ratio':>18}  largest difference")
    for kind in ("torch", "ours"):
        torch.manual_seed(0)
        model = build("resnet", (3, 32, 32), 10, norm=lambda channels, _: nn.BatchNorm2d(channels), depth=20)
        if kind == "ours":
            model, _ = normwise.accelerate(model, torch.randn(2, 3, 32, 32))
        normwise.calibrate(model, torch.randn(32, 3, 32, 32))
        for size in (1, 32):
            _, report = normwise.fold(model.eval(), torch.randn(size, 3, 32, 32))
            done = f"{sum(change.changed for change in report.changes)} of {len(report.changes)}"
            spread = f"{report.speedup:.2f} [{report.speedup_low:.2f}, {report.speedup_high:.2f}]"
            print(f"{kind:>10}  {size:>5}  {done:>8}  {spread:>18}  {report.output_error:.1e}")


if __name__ == "__main__":
    main()
