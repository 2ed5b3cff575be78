"""Random networks compute the same when they are accelerated, on other inputs than the example too."""

import copy
import pickle

import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import normwise


@given(st.data())
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_random_networks_compute_the_same(draw_network, data: st.DataObject) -> None:
    model, example = draw_network(data, dtypes=[torch.float32])
    state = copy.deepcopy(model.state_dict())
    new, report = normwise.accelerate(model, example)
    assert all(torch.equal(value, state[name]) for name, value in model.state_dict().items())
    assert all(change.replaced or change.reason for change in report.layers)
    old, new = copy.deepcopy(model).double(), pickle.loads(pickle.dumps(new)).double()
    x = torch.randn(data.draw(st.sampled_from([2, 5])), *example.shape[1:], dtype=torch.float64)
    for training in (True, False):
        torch.testing.assert_close(new.train(training)(x.clone()), old.train(training)(x.clone()))
    for name, value in old.state_dict().items():
        torch.testing.assert_close(new.state_dict()[name], value)
