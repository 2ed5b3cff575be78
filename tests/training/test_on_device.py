"""Data and settings of a run on another device than the CPU, as far as they can be tested without one."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import torch

from normwise.data import digits
from normwise.errors import ArgumentError, RunError
from normwise.records import RunConfig
from normwise.training import train
from normwise.training.on_device import DataOnDevice, check_device, computing_on, on_device
from normwise.training.run import folder as run_folder

_CONFIG = RunConfig("dense_bn", "digits", "batch", 1, 20, 0.1, 0, 1, train_samples=100, test_samples=50)


def test_batches_and_labels_are_on_the_device_and_the_set_stays_what_it_is() -> None:
    data = digits().subset(100, 50)
    # The device of tensors without memory, which every machine has.
    moved = on_device(data, "meta").for_tuning().subset(70, 10).to(torch.float64)
    assert isinstance(moved, DataOnDevice)
    batch = moved.training.inputs(torch.arange(7))["images"]
    assert (batch.device.type, batch.dtype, len(batch)) == ("meta", torch.float64, 7)
    assert moved.test.labels.device.type == "meta"
    assert (len(moved.training), len(moved.test)) == (70, 10)
    assert (moved.name, moved.input_spec) == (data.name, data.input_spec)
    assert on_device(data, "cpu") is data


@pytest.mark.parametrize("device", ["gpu", "meta", "cudaa"])
def test_an_unknown_device_is_named(device: str) -> None:
    with pytest.raises(ArgumentError, match=f"unknown device '{device}'; known are cpu, cuda"):
        check_device(device)


def test_convolutions_on_a_gpu_keep_the_digits_of_float32(monkeypatch: pytest.MonkeyPatch) -> None:
    given: list[Any] = []

    @contextmanager
    def forked(devices: list[torch.device]) -> Iterator[None]:
        given.append(devices)
        yield

    monkeypatch.setattr(torch.random, "fork_rng", forked)
    before = torch.backends.cudnn.allow_tf32
    with computing_on("cuda:1"):
        assert not torch.backends.cudnn.allow_tf32
        assert torch.backends.cudnn.deterministic
    assert torch.backends.cudnn.allow_tf32 == before
    assert given == [[torch.device("cuda:1")]]


def test_a_run_does_not_go_on_on_another_device(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    train(_CONFIG, tmp_path / "run")
    monkeypatch.setattr(run_folder, "name_in_use", lambda device: "triton on A GPU")
    with pytest.raises(RunError, match=r"started on another device: .*, and this is triton on A GPU"):
        train(_CONFIG, tmp_path / "run", resume=True)
