"""Methods of each BN layer of ours by which others can be converted to it."""

from typing import Any

import pytest
import torch
from torch import nn

import normwise
from normwise.nn.convertible import settings_of
from tests.support.layers import new_layer

# Those within a recurrence, or around a layer of these, can't stand in the place of another.
CLASSES = [
    kind
    for kind in (getattr(normwise.nn, name) for name in normwise.nn.__all__)
    if issubclass(kind, nn.modules.batchnorm._BatchNorm)
]


@pytest.mark.parametrize("kind", CLASSES)
def test_each_layer_says_what_it_is_and_for_how_many_dimensions(kind: Any) -> None:
    assert isinstance(kind.traits.conversion, str)
    assert set(kind.traits.dimensions) <= {1, 2, 3}
    assert all(hasattr(kind(3), name) for name in settings_of(kind))


@pytest.mark.parametrize("options", [{}, {"affine": False}, {"bias": False}, {"track_running_stats": False}])
@pytest.mark.parametrize("kind", CLASSES)
def test_it_is_made_over_the_tensors_of_another(kind: Any, options: dict[str, Any]) -> None:
    layer = new_layer(nn.BatchNorm2d, 3, eps=0.1, momentum=0.2, dtype=torch.float64, **options)
    new = kind.from_batch_norm(layer)
    assert (new.num_features, new.eps, new.momentum) == (3, 0.1, 0.2)
    assert (new.affine, new.track_running_stats) == (layer.affine, layer.track_running_stats)
    for name in ("weight", "bias", "running_mean", "running_var", "num_batches_tracked"):
        assert getattr(new, name) is getattr(layer, name)


def test_settings_are_what_torchs_layers_do_not_have() -> None:
    assert settings_of(normwise.nn.BatchNorm2d) == {"activation": None, "inplace": False}
    assert settings_of(nn.BatchNorm2d) == {}
    assert normwise.nn.BatchNorm2d.from_batch_norm(nn.BatchNorm2d(3), activation="relu").activation == "relu"


def test_settings_that_are_passed_on_count() -> None:
    class Further(normwise.nn.BatchNorm2d):
        def __init__(self, *args: Any, level: int = 3, **options: Any) -> None:
            super().__init__(*args, **options)

    assert settings_of(Further) == {"level": 3, "activation": None, "inplace": False}
