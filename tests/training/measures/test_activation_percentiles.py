"""Percentiles of what activations get, against those of the layers called by hand."""

import numpy
import pytest
import torch

from normwise.data import digits, epoch_order
from normwise.models import build
from normwise.training import AT_EVERY_POINT

measure = AT_EVERY_POINT["activation_percentiles"]


def test_they_are_those_of_the_training_batch_in_each_layer() -> None:
    data = digits()
    model = build("plain_mlp", data.shape, data.num_classes, norm="none", depth=2)
    index = epoch_order(len(data.training), seed=0, epoch=0)[:512]
    layer = model.get_submodule("hidden.0.layer")
    with torch.no_grad():
        values = layer(data.train_images[index].flatten(1)).double()
    found = measure(model, data)
    assert len(found) == 2
    percentiles = numpy.percentile(values[:, :16].numpy(), [15, 50, 85], axis=0)
    assert found[0]["percentiles"] == pytest.approx(percentiles.flatten().tolist(), rel=1e-4, abs=1e-5)
    assert found[0]["deviation"] == pytest.approx(values.std(0, correction=0)[:16].tolist(), rel=1e-4)


def test_bn_normalises_them_by_their_own_statistics() -> None:
    data = digits()
    model = build("plain_mlp", data.shape, data.num_classes, norm="batch", depth=1)
    (found,) = measure(model.eval(), data)
    assert all(abs(value) < 1 for value in found["percentiles"][16:32])  # a median is near the mean, 0
    assert found["deviation"] == pytest.approx([1.0] * 16, abs=0.01)


def test_noise_moves_them_from_one_draw_to_the_next() -> None:
    data = digits()
    model = build("plain_mlp", data.shape, data.num_classes, norm="noisy_batch", depth=1)
    torch.manual_seed(1)
    first = measure(model, data)
    assert measure(model, data) == first  # the random state is put back
    torch.manual_seed(2)
    assert measure(model, data) != first
