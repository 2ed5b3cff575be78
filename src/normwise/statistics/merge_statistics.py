"""Merge of the running statistics of several processes."""

from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn

from normwise.errors import ArgumentError, DistributedError
from normwise.layers import layers_with_statistics
from normwise.layers.kind import kind_of_norm
from normwise.layers.write_tensor import write

_NAMES = ("running_mean", "running_var", "num_batches_tracked")
#: Weight, mean and variance of a layer, float64 on the CPU, and its number of batches.
_Statistics = tuple[Tensor, Tensor, Tensor, Tensor | None]


def merge_statistics(
    model: nn.Module, process_group: dist.ProcessGroup | None = None, *, samples: int = 1
) -> None:
    r"""Give all ranks the running statistics of the data of all ranks, in place; all ranks must call it together.

    .. math::

        \mu = \sum_k w_k \mu_k \qquad \sigma^2 = \sum_k w_k \left(\sigma_k^2 + (\mu_k - \mu)^2\right)

    This includes the spread between the ranks' means, which an average of variances leaves out. The weights
    :math:`w_k`, which add up to 1, are proportional to ``samples``; if a layer has ``momentum=None``, so that its
    statistics are the plain average over its batches, they are also proportional to the number of batches. A rank
    on which a layer has seen no batch has weight 0 for it. Afterwards ``num_batches_tracked`` is the largest of the
    ranks'.

    Call it before you save or evaluate a model that was trained with local statistics: otherwise the file has only
    the statistics of the rank that wrote it, and each rank evaluates with its own. Synchronised layers already have
    the same statistics on all ranks, and frozen layers are left unchanged. Without an initialised process group, or
    in a group of one, nothing changes.

    Args:
        model: Model of this rank, or its wrapper.
        process_group: Process group of the ranks; None for all ranks.
        samples: Number of samples of a batch on this rank, or any number proportional to it.

    Raises:
        ArgumentError: ``samples`` is not positive, on any rank.
        DistributedError: the ranks have different layers or sizes; nothing is changed.

    References:
        Chan, Golub & LeVeque 1983, equations 2.1 and 2.2.

    Example:
        >>> import torch, normwise
        >>> model = torch.nn.Sequential(torch.nn.Linear(4, 8), torch.nn.BatchNorm1d(8))
        >>> normwise.statistics.merge_statistics(model)  # on every rank, before rank 0 saves model.state_dict()
    """
    wrong = "" if samples > 0 else f"samples must be positive, got {samples}"
    if not (dist.is_available() and dist.is_initialized()) or dist.get_world_size(process_group) == 1:
        if wrong:
            raise ArgumentError(wrong)
        return
    layers = {
        path: layer
        for path, layer in layers_with_statistics(model).items()
        if (kind := kind_of_norm(layer)).initialised and kind.has_statistics and not kind.frozen
    }
    own = {path: _statistics_of(layer, samples) for path, layer in layers.items()}
    told: list[Any] = [None] * dist.get_world_size(process_group)
    # If one rank raises an error, all do: the others would wait.
    dist.all_gather_object(told, (wrong, own), group=process_group)
    for rank, (text, _) in enumerate(told):
        if text:
            raise ArgumentError(f"rank {rank}: {text}")
    everybody = [statistics for _, statistics in told]
    _check_alike(everybody)
    for path, layer in layers.items():
        merged = _merged([of_rank[path] for of_rank in everybody])
        for name, value in zip(_NAMES, merged or (), strict=False):
            if value is not None:
                write(layer.get_buffer(name), value)
        if merged is not None and kind_of_norm(layer).traits.several_slots and merged[2] is not None:
            # Rows that no rank has reached get the statistics of the last reached row, as after a forward
            # pass.
            layer.extend(int(merged[2].nonzero().max()) + 1)


def _statistics_of(layer: Any, samples: int) -> _Statistics:
    mean, variance = (layer.get_buffer(name).detach().cpu().double() for name in _NAMES[:2])
    count = layer._buffers.get("num_batches_tracked")
    count = None if count is None else count.detach().cpu()
    weight = torch.ones(mean.shape[:-1], dtype=torch.float64)
    if count is not None:
        weight = weight * (count if layer.momentum is None else count > 0)
    return weight * samples, mean, variance, count


def _merged(ranks: list[_Statistics]) -> tuple[Tensor, Tensor, Tensor | None] | None:
    """Return mean, variance and number of batches; None if no rank has seen a batch."""
    weights, means, variances = (torch.stack(each) for each in list(zip(*ranks, strict=True))[:3])
    total = weights.sum(0)
    if not total.any():
        return None
    shares = (weights / total.where(total > 0, 1)).unsqueeze(-1)
    # Rows that no rank has reached stay those of the first rank.
    shares[0] += (total == 0).unsqueeze(-1)
    # For a rank without weight, which may hold anything, use another rank's numbers: 0 · NaN is NaN.
    most = weights.argmax(0, keepdim=True).unsqueeze(-1).expand_as(means[:1])
    means, variances = (
        each.where(shares > 0, each.gather(0, most).expand_as(each)) for each in (means, variances)
    )
    # Relative to one of the means, so that differences are summed.
    mean = means[0] + (shares * (means - means[0])).sum(0)
    variance = (shares * (variances + (means - mean).square())).sum(0)
    counts = [of_rank[3] for of_rank in ranks if of_rank[3] is not None]
    return mean, variance, torch.stack(counts).amax(0) if len(counts) == len(ranks) else None


def _check_alike(ranks: list[dict[str, _Statistics]]) -> None:
    first = ranks[0]
    for rank, other in enumerate(ranks):
        if first.keys() != other.keys():
            differ = sorted(first.keys() ^ other.keys())
            raise DistributedError(
                f"the ranks have other BN layers with statistics to merge: {', '.join(differ)} on rank "
                f"{0 if differ[0] in first else rank} only. All ranks must have the same model"
            )
        for path, (_, mean, *_) in other.items():
            if mean.shape != first[path][1].shape:
                raise DistributedError(
                    f"the running_mean of {path!r} has the shape {tuple(first[path][1].shape)} on rank 0 and "
                    f"{tuple(mean.shape)} on rank {rank}. All ranks must have the same model"
                )
