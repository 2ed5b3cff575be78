"""Synchronised layers of two processes under checkpointing, torch.compile, and the tools that change models."""

import copy
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

import normwise
from normwise.nn import SyncBatchNorm
from normwise.statistics import using_batch_statistics
from tests.support.processes import run

SPLIT = (2, 5)


def _model() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv1d(3, 4, 1), SyncBatchNorm(4), nn.SiLU(), nn.Conv1d(4, 2, 1)).double()


def _batch(seed: int, rank: int | None = None) -> Tensor:
    x = torch.randn(sum(SPLIT), 3, 6, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    return x if rank is None else x.split(SPLIT)[rank]


def _steps(model: Any, layer: Any, rank: int | None, forward: Any = None) -> list[Tensor]:
    """Gradients of two steps, not averaged, and the statistics after them."""
    found = []
    for seed in range(2):
        model.zero_grad()
        x = _batch(seed, rank).requires_grad_()
        y = model(x) if forward is None else forward(x)
        y.square().sum().backward()
        assert x.grad is not None
        found += [x.grad, *(parameter.grad.clone() for parameter in model.parameters())]
    return [*found, layer.running_mean.clone(), layer.running_var.clone(), layer.num_batches_tracked.clone()]


def _on_rank(rank: int) -> dict[str, Any]:
    found: dict[str, Any] = {}
    model: Any = _model()
    found["eager"] = _steps(model, model[1], rank)
    for reentrant in (True, False):
        model = _model()

        def forward(x: Tensor, model: Any = model, reentrant: bool = reentrant) -> Any:
            return checkpoint(model, x, use_reentrant=reentrant)

        found[f"checkpointed {reentrant}"] = _steps(model, model[1], rank, forward)
    model = _model()
    found["compiled"] = _steps(model, model[1], rank, torch.compile(model, backend="aot_eager"))
    model = _model()
    fused: Any
    fused, report = normwise.accelerate(model, _batch(0, rank))
    found["activation"] = report.layers[0].activation
    found["accelerated"] = _steps(fused, fused[1], rank)
    model = _model()
    _steps(model, model[1], rank)
    with torch.no_grad(), using_batch_statistics(model):
        found["batch statistics"] = model(_batch(7, rank))
    normwise.freeze(model)
    # No collective: the ranks may differ in how often they do it.
    for _ in range(rank + 1):
        found["frozen"] = model.train()(_batch(8)).detach()
    plain: Any = normwise.convert(model, "batch")[0]
    for _ in range(2 - rank):
        found["converted"] = plain.eval()(_batch(8)).detach()
    return found


def test_two_processes_are_one_with_the_whole_batch_whatever_calls_them() -> None:
    ranks = run(_on_rank, 2, timeout=240.0)
    model: Any = _model()
    expected = _steps(model, model[1], None)
    values = len(list(model.parameters())) + 1
    for name in ("eager", "checkpointed True", "checkpointed False", "compiled", "accelerated"):
        parts = [found[name] for found in ranks]
        for index, (value, *of_ranks) in enumerate(zip(expected, *parts, strict=True)):
            if index >= 2 * values:
                merged = of_ranks[0]
                assert torch.equal(*of_ranks), name
            else:
                merged = torch.cat(of_ranks) if index % values == 0 else torch.stack(of_ranks).sum(0)
            torch.testing.assert_close(
                merged, value, rtol=1e-9, atol=1e-9, msg=lambda text, name=name: f"{name}: {text}"
            )
    assert {found["activation"] for found in ranks} == {"silu"}
    whole = copy.deepcopy(model)
    with torch.no_grad(), using_batch_statistics(whole):
        torch.testing.assert_close(
            torch.cat([found["batch statistics"] for found in ranks]), whole(_batch(7))
        )
    evaluated = model.eval()(_batch(8))
    for found in ranks:
        torch.testing.assert_close(found["frozen"], evaluated)
        torch.testing.assert_close(found["converted"], evaluated)
