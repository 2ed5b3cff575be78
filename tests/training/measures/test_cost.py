"""Bytes that a backward pass keeps, against those reckoned by hand."""

import time

import pytest
import torch
from torch import nn

from normwise.data import digits
from normwise.models import build
from normwise.training import AT_THE_END
from normwise.training.measures.cost import _clock, saved_bytes


def test_bytes_are_those_of_the_activations_that_are_kept_once_each() -> None:
    model = nn.Sequential(nn.Linear(3, 5), nn.ReLU(), nn.Linear(5, 2))
    inputs, labels = {"input": torch.randn(7, 3)}, torch.zeros(7, dtype=torch.int64)
    # ReLU and the layer behind it keep the same output; the loss keeps its log-probabilities and the sum of weights.
    assert saved_bytes(model, inputs, labels) == 4 * (7 * 5 + 7 * 2 + 1)


def test_a_second_activation_is_what_bn_keeps() -> None:
    data = digits()
    model = build("dense_bn", data.shape, data.num_classes, norm="batch")
    units = model.get_parameter("hidden.norm.weight").numel()
    found = AT_THE_END["cost"](model, data)
    # The input of BN, 60 samples; and the mean and deviation of the batch.
    assert found["bytes"]["batch"] - found["bytes"]["none"] == 4 * (60 * units + 2 * units)
    assert found["statistics"] == 4 * 4 * units


def test_every_network_has_its_seconds() -> None:
    data = digits()
    found = AT_THE_END["cost"](build("mnist_cnn", data.shape, data.num_classes, norm="batch"), data)
    assert found["step"].keys() == {"batch", "none"}
    assert found["inference"].keys() == {"batch", "none", "folded"}
    assert all(seconds > 0 for part in ("step", "inference") for seconds in found[part].values())


def test_the_clock_waits_for_a_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    done: list[str] = []
    monkeypatch.setattr(torch.cuda, "synchronize", lambda device: done.append(f"waited for {device}"))
    monkeypatch.setattr(time, "perf_counter", lambda: done.append("read") or 1.5)
    assert _clock(torch.device("cuda:1"))() == 1.5
    assert done == ["waited for cuda:1", "read"]
    assert _clock(torch.device("cpu")) is time.process_time
