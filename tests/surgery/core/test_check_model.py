"""Wrappers are known by name, so that none has to be imported; the names are those of the installed torch."""

from importlib import import_module

import pytest
import torch
from torch import distributed, nn
from torch._C._distributed_c10d import HashStore
from torch.nn.parallel import DistributedDataParallel

from normwise.errors import ModelError
from normwise.surgery.core.check_model import _SCRIPTED, _WRAPPERS, check_model


@pytest.mark.parametrize("name", [*_WRAPPERS, *_SCRIPTED])
def test_each_wrapper_is_called_so(name: str) -> None:
    module, _, kind = name.rpartition(".")
    found = getattr(import_module(module), kind)
    assert f"{found.__module__}.{found.__qualname__}" == name


def test_a_distributed_model_is_refused_with_what_to_pass() -> None:
    distributed.init_process_group("gloo", store=HashStore(), rank=0, world_size=1)
    try:
        model = DistributedDataParallel(nn.Linear(2, 2))
        with pytest.raises(ModelError, match=r"DistributedDataParallel around the model; pass its .module"):
            check_model(model)
        check_model(model.module)
    finally:
        distributed.destroy_process_group()


@pytest.mark.parametrize(
    ("tensor", "reason"),
    [(torch.empty(2, device="meta"), "is on the meta device"), (None, "has no weights yet")],
)
def test_a_buffer_without_values_is_named(tensor: torch.Tensor | None, reason: str) -> None:
    model = nn.Sequential(nn.Linear(2, 2))
    model[0].register_buffer("extra", nn.UninitializedBuffer() if tensor is None else tensor)
    with pytest.raises(ModelError, match=rf"Linear '0' {reason}"):
        check_model(model)
    check_model(model, has_values=False)
