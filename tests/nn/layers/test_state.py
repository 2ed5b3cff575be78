"""A layer's state: to torch and back, to disk and back, to other types and devices."""

import copy
import io
import pickle

import pytest
import torch

from tests.support.layers import FAMILIES

pytestmark = pytest.mark.usefixtures("implementation")


def used(layer):
    """The layer after some training steps, so that no part of its state is as it began."""
    torch.manual_seed(0)
    for parameter in layer.parameters():
        torch.nn.init.uniform_(parameter, 0.5, 2.0)
    for _ in range(2):
        layer(torch.randn(4, 3, 5) + 1.0)
    return layer


each_family = pytest.mark.parametrize("family", FAMILIES.values(), ids=FAMILIES)


@pytest.fixture(params=FAMILIES.values(), ids=list(FAMILIES))
def layer(request):
    return used(request.param(3, momentum=0.2, activation="relu"))


def settings(layer):
    return {name: value for name, value in vars(layer).items() if not name.startswith("_")}


def assert_same(one, other):
    torch.testing.assert_close(one.state_dict(), other.state_dict(), rtol=0, atol=0)
    x = torch.randn(4, 3, 5)
    torch.testing.assert_close(one.eval()(x), other.eval()(x), rtol=0, atol=0)


@pytest.mark.parametrize("to_torch", [True, False], ids=["to torch", "from torch"])
@each_family
def test_state_dict_loads_strictly_across(family, to_torch, agree):
    source, target = (family, torch.nn.BatchNorm1d) if to_torch else (torch.nn.BatchNorm1d, family)
    trained, fresh = used(source(3)), target(3)
    assert list(trained.state_dict()) == list(fresh.state_dict())
    fresh.load_state_dict(trained.state_dict(), strict=True)
    torch.testing.assert_close(trained.state_dict(), fresh.state_dict(), rtol=0, atol=0)
    x = torch.randn(4, 3, 5)
    agree(trained.eval()(x), fresh.eval()(x), x.dtype)


def test_state_dict_from_before_batches_were_counted_loads_strictly(layer):
    old = layer.state_dict()
    del old["num_batches_tracked"]
    old._metadata[""]["version"] = 1  # what torch before 0.4.1 wrote
    fresh = type(layer)(3)
    fresh.load_state_dict(old, strict=True)
    assert fresh.num_batches_tracked is not None
    assert fresh.num_batches_tracked.item() == 0
    torch.testing.assert_close(fresh.running_mean, layer.running_mean)


def test_incomplete_state_dict_of_today_is_refused(layer):
    state = layer.state_dict()
    del state["num_batches_tracked"]
    with pytest.raises(RuntimeError, match=r'Missing key.*"num_batches_tracked"'):
        type(layer)(3).load_state_dict(state)


@pytest.mark.parametrize(
    "copied", [copy.deepcopy, lambda layer: pickle.loads(pickle.dumps(layer))], ids=["deepcopy", "pickle"]
)
def test_copies_are_equal_and_independent(layer, copied):
    twin = copied(layer)
    assert type(twin) is type(layer)
    assert repr(twin) == repr(layer)
    assert settings(twin) == settings(layer)
    assert_same(layer, twin)
    before = copy.deepcopy(layer.state_dict())
    twin.train()(torch.randn(4, 3, 5) + 9.0)
    torch.testing.assert_close(layer.state_dict(), before, rtol=0, atol=0)


def test_state_dict_passes_a_file_of_weights_only(layer):
    file = io.BytesIO()
    torch.save(layer.state_dict(), file)
    file.seek(0)
    fresh = type(layer)(3, momentum=0.2, activation="relu")
    fresh.load_state_dict(torch.load(file, weights_only=True), strict=True)
    assert_same(layer, fresh)


@pytest.mark.parametrize(
    ("convert", "dtype"),
    [
        (lambda layer: layer.to(torch.float64), torch.float64),
        (lambda layer: layer.half(), torch.float16),
        (lambda layer: layer.bfloat16(), torch.bfloat16),
    ],
    ids=["to", "half", "bfloat16"],
)
def test_type_conversion_reaches_all_but_the_counter(layer, convert, dtype):
    converted = convert(layer)
    types = {name: tensor.dtype for name, tensor in converted.state_dict().items()}
    assert types.pop("num_batches_tracked") == torch.int64
    assert set(types.values()) == {dtype}
    assert converted(torch.randn(4, 3, 5, dtype=dtype)).dtype == dtype


@each_family
@pytest.mark.parametrize("momentum", [0.1, None])
@pytest.mark.parametrize("masked", [False, True], ids=["full", "masked"])
def test_meta_device_computes_shapes(momentum, masked, family):
    layer = family(3, momentum=momentum, device="meta", dtype=torch.bfloat16)
    x = torch.empty(5, 3, 4, device="meta", dtype=torch.bfloat16)
    mask = torch.empty(5, 4, device="meta", dtype=torch.bool) if masked else None
    output = layer(x, residual=x, mask=mask)
    assert (output.shape, output.dtype, output.device.type) == (x.shape, x.dtype, "meta")


@each_family
def test_layer_from_the_meta_device_starts_like_a_fresh_one(family):
    layer = family(3, device="meta").to_empty(device="cpu")
    layer.reset_parameters()
    torch.testing.assert_close(layer.state_dict(), family(3).state_dict(), rtol=0, atol=0)


def test_reset_running_stats_starts_the_count_again(layer):
    layer.reset_running_stats()
    assert layer.num_batches_tracked.item() == 0
    assert not layer.running_mean.any()
    assert (layer.running_var == 1).all()


@each_family
def test_update_bn_recomputes_the_statistics_as_of_torchs_layers(family):
    torch.manual_seed(0)
    loader = [torch.randn(8, 3, 5) + shift for shift in range(4)]
    models = [torch.nn.Sequential(cls(3, momentum=0.2)) for cls in (family, torch.nn.BatchNorm1d)]
    for model in models:
        model(torch.full((2, 3, 5), 7.0))
        model.eval()
        torch.optim.swa_utils.update_bn(loader, model)
        assert model[0].momentum == 0.2
        assert not model.training
    ours, theirs = models
    torch.testing.assert_close(ours.state_dict(), theirs.state_dict())
