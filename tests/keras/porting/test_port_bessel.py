"""Bessel's correction, left in the variance or converted."""

from typing import Any

import keras
import numpy as np
import pytest
import torch
from torch import nn

import normwise as nw
from tests.keras.porting.mlp import keras_mlp, mlp, variance

L = keras.layers


def test_the_variance_is_left_as_it_is_and_the_report_says_so() -> None:
    source, target = mlp(), keras_mlp()
    report = nw.port(source, target)
    np.testing.assert_array_equal(variance(target), source.state_dict()["norm.running_var"])
    assert (
        "the variance of norm is left as it is, with Bessel's correction where torch has trained it"
        in str(report)
    )


@pytest.mark.parametrize(
    "said", [{"values_per_channel": 16}, {"values_per_channel": {"norm": 16}}, {"batch_size": 16}]
)
def test_bessels_correction_is_taken_from_the_variance_and_given_back(said: dict[str, Any]) -> None:
    source, target, back = mlp(), keras_mlp(), mlp()
    expected = source.state_dict()["norm.running_var"]
    report = nw.port(source, target, **said)
    np.testing.assert_allclose(variance(target), expected * 15 / 16, rtol=1e-6)
    assert "variance times 0.9375" in str(report)
    assert "the corrected variances move the outputs" in str(report)
    assert "variance times 1.06667" in str(nw.port(target, back, **said))
    torch.testing.assert_close(back.state_dict()["norm.running_var"], expected)


def test_the_moving_variance_is_that_of_a_keras_layer_trained_on_the_same_batch() -> None:
    x = torch.randn(16, 4, generator=torch.Generator().manual_seed(0)) * 3 + 1
    source = nn.Sequential(nn.BatchNorm1d(4, momentum=0.25))
    source(x)
    trained = keras.Sequential([keras.Input((4,)), L.BatchNormalization(momentum=0.75, name="norm")])
    trained(x.numpy(), training=True)
    # The initial variance of 1 has no correction, which is a quarter of the difference each batch.
    kept = source.get_buffer("0.running_var")
    kept.copy_((kept - 0.75) / 0.25)
    target = keras.Sequential([keras.Input((4,)), L.BatchNormalization(name="norm")])
    nw.port(source, target, values_per_channel=16)
    np.testing.assert_allclose(variance(target) * 0.25 + 0.75, variance(trained), rtol=1e-5)


def test_our_layer_with_an_unbiased_variance_takes_it_as_it_is() -> None:
    source, target = mlp(), keras_mlp(unbiased_moving_variance=True)
    report = nw.port(source, target, values_per_channel=16)
    np.testing.assert_array_equal(variance(target), source.state_dict()["norm.running_var"])
    assert not report.notes
