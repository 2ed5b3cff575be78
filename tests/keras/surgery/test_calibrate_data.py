"""Any data that fit takes are the data of a calibration."""

from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import pytest
from keras import layers

import normwise.keras as nk
from normwise.keras.surgery.arrays import double
from tests.keras.surgery.calibrate_cases import network, samples


class _PyDataset(keras.utils.PyDataset):
    def __init__(self, x: Any) -> None:
        super().__init__()
        self.x = x

    def __len__(self) -> int:
        return 3

    def __getitem__(self, index: int) -> Any:
        return self.x[index * 16 : index * 16 + 16], np.zeros(16)


def _tf_dataset(x: Any) -> Any:
    tf = pytest.importorskip("tensorflow")
    return tf.data.Dataset.from_tensor_slices((x, np.zeros(len(x)))).batch(16)


def _loader(x: Any) -> Any:
    torch = pytest.importorskip("torch")
    data = torch.utils.data.TensorDataset(torch.from_numpy(x), torch.zeros(len(x)))
    return torch.utils.data.DataLoader(data, batch_size=16, shuffle=True)


_DATA: dict[str, Callable[[Any], Any]] = {
    "tuple": lambda x: (x, np.zeros(len(x))),
    "tensor": keras.ops.convert_to_tensor,
    "float64": lambda x: x.astype("float64"),
    "list of batches": lambda x: [(x[:32], None), (x[32:], None)],
    "generator function": lambda x: lambda: ((part, None) for part in np.split(x, 3)),
    "PyDataset": _PyDataset,
    "tf.data": _tf_dataset,
    "DataLoader": _loader,
}


@pytest.mark.parametrize("name", _DATA)
def test_any_data_that_fit_takes_give_the_same_statistics(name: str) -> None:
    x = samples(48)  # in batches of 16 and 32, since JAX compiles for each size
    keras.utils.set_random_seed(3)
    expected, model = network(), network()
    model.set_weights(expected.get_weights())
    nk.calibrate(expected, x)
    report = nk.calibrate(model, _DATA[name](x))
    assert not report.varied
    for want, got in zip(expected.get_weights(), model.get_weights(), strict=True):
        np.testing.assert_allclose(got, want, rtol=1e-5, atol=1e-6)


def test_several_inputs_are_a_list_or_a_dictionary() -> None:
    one, two = keras.Input((6,), name="one"), keras.Input((6,), name="two")
    model = keras.Model([one, two], nk.BatchNormalization(name="bn")(layers.add([one, two])))
    x = samples()
    for data in ([x, 2 * x], {"one": x, "two": 2 * x}, ([x, 2 * x], np.zeros(50))):
        model.get_layer("bn").moving_mean.assign(np.zeros(6))
        nk.calibrate(model, data)
        np.testing.assert_allclose(
            double(model.get_layer("bn").moving_mean), 3 * x.astype(float).mean(0), rtol=1e-6
        )
