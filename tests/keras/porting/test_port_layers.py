"""Each kind of layer, from torch to Keras and back."""

import keras
import numpy as np
import pytest
import torch

import normwise as nw
from tests.keras.porting.port_cases import Case, cases, is_moved, keras_model, samples, torch_model


@pytest.mark.parametrize("case", list(cases().values()), ids=list(cases()))
def test_outputs_are_the_same_and_a_round_trip_gives_the_same_bytes(case: Case) -> None:
    source, target = torch_model(case), keras_model(case)
    in_torch, in_keras = samples(case)
    assert nw.port(source, target, example=in_torch).output_error <= 1e-5
    with torch.no_grad():
        expected = source(in_torch).numpy()
    if is_moved(case) and expected.ndim > 2:
        expected = np.moveaxis(expected, 1, -1)
    got = np.array(keras.ops.convert_to_numpy(target(in_keras, training=False)))
    np.testing.assert_allclose(got, expected, rtol=1e-4, atol=1e-5)

    back = torch_model(case, seed=1)
    assert nw.port(target, back, example=in_keras).output_error <= 1e-5
    for name, value in source.state_dict().items():
        assert torch.equal(back.state_dict()[name], value), name
