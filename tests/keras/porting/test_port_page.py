"""The code in docs/keras/port.md runs on every backend."""

import re
from pathlib import Path

import pytest
import torch

_PAGE = (Path(__file__).parents[3] / "docs/keras/port.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("number", [0, 1, 2])
def test_it_runs(number: int) -> None:
    torch.manual_seed(0)
    blocks = re.findall(r"^```python\n(.*?)^```$", _PAGE, re.M | re.S)
    assert len(blocks) == 3
    exec(compile(blocks[number], "<block>", "exec"), {})
