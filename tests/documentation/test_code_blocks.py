"""The Python in CONTRIBUTING.md and in pages of docs/ to look things up in runs, each block by itself."""

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

import normwise

_ROOT = Path(__file__).parents[2]
#: Pages that are followed from top to bottom are run by guides/, and those of rules by test_rule_pages.py.
_PAGES = [
    _ROOT / "CONTRIBUTING.md",
    _ROOT / "docs/doctor/command-line.md",
    *(page for page in sorted((_ROOT / "docs").glob("*.md")) if page.stem not in ("tutorial", "faq")),
    *(
        page
        for name in ("keras", "processes", "reference")
        for page in sorted((_ROOT / "docs" / name).glob("*.md"))
    ),
]


def _layers() -> dict[str, Any]:
    image = torch.randn(2, 64, 8, 8)
    real = normwise.functional.sequence_mask(torch.tensor([9, 4]))
    return {"x": image, "shortcut": image, "frames": torch.randn(2, 40, 9), "real": real}


def _sequences() -> dict[str, Any]:
    return {"frames": torch.randn(2, 9, 40), "lengths": torch.tensor([9, 4])}


def _network() -> dict[str, Any]:
    """A network, its images, and a loop that trains it."""
    model = nn.Sequential(
        nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.ReLU(), nn.Conv2d(8, 8, 3), nn.Flatten(), nn.Linear(128, 2)
    )
    images = torch.randn(4, 3, 8, 8)

    def train(model: nn.Module) -> None:
        for _ in range(2):
            model(images).square().mean().backward()

    return {"model": model, "images": images, "loader": [images], "train": train}


def _classifier() -> dict[str, Any]:
    """A classifier with statistics of no data, and what it is trained with."""
    model = nn.Sequential(nn.Linear(4, 8, bias=False), nn.BatchNorm1d(8), nn.ReLU(), nn.Linear(8, 3)).eval()
    return {
        "model": model,
        "loader": [(5 * torch.randn(64, 4) + 3, torch.randint(3, (64,)))],
        "loss": nn.CrossEntropyLoss(),
        "optimizer": torch.optim.SGD(model.parameters(), lr=0.1),
    }


def _micro_batches() -> dict[str, Any]:
    """A classifier in training, and micro-batches."""
    given = _classifier()
    given["model"].train()
    batches = [(torch.randn(8, 4), torch.randint(3, (8,))) for _ in range(8)]
    return given | {"loader": batches}


#: What a section of a page says that there is, by its heading.
_GIVEN: dict[str, Callable[[], dict[str, Any]]] = {
    "In Python": _classifier,
    "Layers": _layers,
    "Normalised by the statistics of all": _micro_batches,
    "Running statistics that move once": _micro_batches,
    "Sequences": _sequences,
    "Small batches and several processes": _network,
    "Statistics": _network,
    "Watching a training": _network,
    "Surgery": _network,
    "Faster layers in a model": _network,
}


def _blocks() -> Iterator[Any]:
    for page in _PAGES:
        heading = ""
        for found in re.finditer(
            r"^#+ ([^\n]+)$|^```python\n(.*?)^```$", page.read_text(encoding="utf-8"), re.M | re.S
        ):
            if found[1]:
                heading = found[1]
            else:
                line = found.string.count("\n", 0, found.start()) + 1
                yield pytest.param(heading, found[2], id=f"{page.name}:{line}")


@pytest.mark.parametrize(("heading", "code"), list(_blocks()))
def test_it_runs(heading: str, code: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    # Keras has one backend a process. On all of them its pages run in tests/keras/documentation.
    monkeypatch.setenv("KERAS_BACKEND", "torch")
    torch.manual_seed(0)
    given = _GIVEN[heading]() if heading in _GIVEN else {}
    exec(compile(code, "<block>", "exec"), {"normwise": normwise, "torch": torch, **given})
