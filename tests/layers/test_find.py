"""Layers that count as batch normalization."""

import pytest
import torch
from torch import nn

import normwise
from normwise.layers import layers_with_statistics
from normwise.models import build


class _Subclass(nn.BatchNorm2d):
    pass


class _OurSubclass(normwise.nn.BatchNorm2d):
    pass


@pytest.mark.parametrize(
    "kind",
    [
        nn.BatchNorm1d,
        nn.BatchNorm2d,
        nn.BatchNorm3d,
        nn.SyncBatchNorm,
        normwise.nn.BatchNorm1d,
        normwise.nn.BatchNorm2d,
        normwise.nn.BatchNorm3d,
        _Subclass,
        _OurSubclass,
    ],
)
def test_a_batch_norm_is_found(kind: type[nn.Module]) -> None:
    layer = kind(3)
    assert layers_with_statistics(nn.Sequential(nn.ReLU(), layer)) == {"1": layer}


@pytest.mark.parametrize(
    "other", [nn.InstanceNorm2d(3), nn.GroupNorm(1, 3), nn.LayerNorm(3), nn.Linear(3, 3)], ids=str
)
def test_another_layer_is_not(other: nn.Module) -> None:
    assert layers_with_statistics(nn.Sequential(other)) == {}


def test_a_layer_by_itself_has_the_empty_path() -> None:
    layer = nn.BatchNorm1d(2)
    assert layers_with_statistics(layer) == {"": layer}


def test_a_shared_layer_is_found_once_by_its_first_path() -> None:
    shared, own = nn.BatchNorm1d(2), nn.BatchNorm1d(2)
    model = nn.ModuleDict({"first": nn.Sequential(shared), "own": own, "second": shared})
    assert layers_with_statistics(model) == {"first.0": shared, "own": own}


def test_those_of_a_network_by_their_paths() -> None:
    layers = layers_with_statistics(build("cnn_64", (3, 12, 12), 10))
    assert list(layers) == ["features.0.norm", "features.2.norm", "hidden.norm"]
    assert [layer.num_features for layer in layers.values()] == [32, 64, 128]


def test_those_that_torch_converted() -> None:
    model = nn.SyncBatchNorm.convert_sync_batchnorm(
        build("dense_bn", (1, 2, 2), 3, norm=lambda c, _: nn.BatchNorm1d(c))
    )
    assert [type(layer) for layer in layers_with_statistics(model).values()] == [nn.SyncBatchNorm]
    assert isinstance(model(torch.randn(3, 1, 2, 2)), torch.Tensor)
