"""The meanings of ``--data``, and the errors if it means nothing."""

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from normwise.cli.inputs.cli_target import CliTarget
from normwise.cli.inputs.target_data import first_batch, load_batches
from normwise.data import load_data
from normwise.data.registry import NAMED_DATA
from normwise.errors import DataError, NormwiseError


def _data(data: str | None, model: nn.Module | None = None) -> Any:
    return load_batches(data, CliTarget("it", model or nn.ReLU()))


def test_a_generator_is_made_anew_for_each_pass(folder: Path, batches: list[Tensor]) -> None:
    data = _data("net.py:loader")
    for _ in range(3):
        assert all(torch.equal(a, b) for a, b in zip(data, batches, strict=True))


@pytest.mark.parametrize(
    "line",
    [
        "data = [torch.ones(2, 3)]",
        "data = torch.ones(2, 3)",
        "def data(): return [torch.ones(2, 3)]",
        "def data(): return torch.ones(2, 3)",
        "data = torch.utils.data.DataLoader(torch.ones(2, 3), batch_size=2)",
        "data = lambda: torch.utils.data.DataLoader(torch.ones(2, 3), batch_size=2)",
        "class data:\n    def __iter__(self): yield torch.ones(2, 3)",
    ],
)
def test_data_is_batches_or_what_gives_them(folder: Path, line: str) -> None:
    (folder / "data.py").write_text(f"import torch, torch.utils.data\n{line}\n")
    assert torch.equal(first_batch("data.py:data", CliTarget("it", nn.ReLU())), torch.ones(2, 3))


def test_the_first_batch_is_moved_to_the_network_and_else_left_as_it_is(folder: Path) -> None:
    (folder / "data.py").write_text("import torch\ndata = [(torch.ones(2, 3), torch.arange(2), 'name')]\n")
    images, labels, name = first_batch("data.py:data", CliTarget("it", nn.Linear(3, 3, device="meta").half()))
    assert (images.device.type, images.dtype, labels.device.type, name) == (
        "meta",
        torch.float32,
        "meta",
        "name",
    )


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16])
def test_a_known_data_set_is_its_training_images_in_the_type_of_the_network(dtype: torch.dtype) -> None:
    data = _data("digits", nn.Linear(1, 1).to(dtype))
    assert [len(batch) for batch in data] == [100] * 12 + [97]
    assert torch.equal(torch.cat(list(data)), load_data("image", "digits").train_images.to(dtype))


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (
            None,
            "--data is missing; expected file.py:name or package.module:name of a loader, "
            f"{', '.join(known.name for known in NAMED_DATA)}, or a folder of images",
        ),
        ("cifar", "--data cifar is neither a folder nor a data set; expected file.py:name"),
        (
            "net.py:number",
            "net.py:number is of type int; expected batches, a loader, or a function that gives one",
        ),
        ("net.py:text", "net.py:text is of type str; expected batches"),
        ("net.py:model", "net.py:model is of type Linear; expected batches"),
        ("net.py:plain", "net.py:plain is of type Sequential; expected batches"),
        (
            "net.py:samples",
            "net.py:samples is a data set, which gives single samples; make batches of them: ",
        ),
        ("net.py:nothing", "net.py has no 'nothing'"),
        ("net.py:broken", "net.py:broken: OSError: no such disk (net.py, line "),
        ("net.py:needs", "net.py:needs needs the arguments path"),
    ],
)
def test_what_is_no_data_is_one_error(folder: Path, data: str | None, message: str) -> None:
    with (folder / "net.py").open("a") as file:
        file.write(
            "import torch.utils.data\nnumber, text, model = 3, 'abc', nn.Linear(1, 1)\n"
            "samples = torch.utils.data.TensorDataset(torch.zeros(3, 1))\n"
            "def broken(): raise OSError('no such disk')\n"
            "def needs(path): pass\n"
        )
    with pytest.raises(NormwiseError) as raised:
        _data(data)
    assert str(raised.value).startswith(message)


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        ("    return iter(())", "data.py:data has no batches; expected one at least"),
        ("    raise ValueError('torn')\n    yield", "data.py:data: ValueError: torn (data.py, line 2)"),
    ],
)
def test_a_loader_without_a_first_batch_is_one_error(folder: Path, lines: str, message: str) -> None:
    (folder / "data.py").write_text(f"def data():\n{lines}\n")
    with pytest.raises(DataError) as raised:
        first_batch("data.py:data", CliTarget("it", nn.ReLU()))
    assert str(raised.value) == message


def test_an_error_in_a_process_of_a_loader_is_one_line(folder: Path) -> None:
    (folder / "data.py").write_text(
        "def data():\n"
        "    raise ValueError('Caught ValueError in DataLoader worker process 0.\\nOriginal Traceback (most recent '\n"
        "                     'call last):\\n  File \"data.py\", line 4\\nValueError: torn')\n"
        "    yield\n"
    )
    with pytest.raises(
        DataError, match=r"^data\.py:data: ValueError: ValueError: torn \(data\.py, line 2\)$"
    ):
        first_batch("data.py:data", CliTarget("it", nn.ReLU()))
