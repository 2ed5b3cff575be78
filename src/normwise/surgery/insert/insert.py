"""BN into a model that has none."""

import math
from collections import OrderedDict
from collections.abc import Iterable, Mapping
from typing import Any

import torch
from torch import nn
from torch.optim import Optimizer

from normwise.errors import ModelError, ShapeError
from normwise.nn import BatchNorm1d, BatchNorm2d, BatchNorm3d
from normwise.records import Change, Insertion
from normwise.statistics import Batch, Data, Moments
from normwise.statistics.preserve.preserve_model import unchanged
from normwise.surgery.core.check_model import check_model
from normwise.surgery.core.example_arguments import example_arguments
from normwise.surgery.core.exchange_module import exchange_module
from normwise.surgery.core.move_optimizer import move_optimizer
from normwise.surgery.core.shadow_copy import shadow_copy
from normwise.surgery.core.working_copy import working_copy
from normwise.surgery.insert.consumers import consumers
from normwise.surgery.insert.layer_with_norm import LayerWithNorm
from normwise.surgery.insert.output_moments import output_moments
from normwise.surgery.insert.positions import Position, Positions
from normwise.surgery.proof.compare import output_error, rounding
from normwise.surgery.proof.on_example import output_difference
from normwise.surgery.remove_biases import take_biases

#: By how many axes the values have.
_KINDS = {2: BatchNorm1d, 3: BatchNorm1d, 4: BatchNorm2d, 5: BatchNorm3d}


def insert(
    model: nn.Module,
    example: Batch,
    *,
    after_activation: bool = False,
    data: Data | None = None,
    optimizer: Optimizer | None = None,
    inplace: bool = False,
) -> tuple[nn.Module, Insertion]:
    r"""Put a BN layer behind each convolution and linear layer, and drop the biases that it cancels.

    In a ``Sequential`` the norm of ``0`` is the next entry, ``0_norm``: names stay, and what is behind has an index
    more. Elsewhere a pair takes the place of the layer ``conv``: ``conv.layer`` and ``conv.norm``. Either way a
    ``state_dict`` of before can be loaded, with ``strict=False``, the model can be copied, pickled and compiled, and
    :func:`normwise.fold` takes the norms out again. With ``data``, the function that the model computes in evaluation
    stays: statistics are those of one pass over the data, and

    .. math::

        \gamma = \sqrt{\sigma^2 + \epsilon}, \quad \beta = \mu
        \qquad \Rightarrow \qquad \gamma \, \frac{x - \mu}{\sqrt{\sigma^2 + \epsilon}} + \beta = x

    which is verified on the example. Without, the layers begin as new ones do, with outputs that the weights were not
    trained for once statistics are a batch's; the report says how far they move.

    A layer gets no norm, and the report says why, where its output is the model's, where a norm follows before the
    next layer, in attention and recurrent cells, where it is called several times, or where channels are not on axis 1,
    as those of ``Linear`` on three axes. What outputs go into is seen on the example, whatever the code is like.

    Args:
        model: Any model, in any mode.
        example: One batch: the input; a tuple or list whose first item is the input; a dict of keywords.
        after_activation: Put it behind the activation instead, which has to be a module, called once, right behind
            the layer. Then biases stay, as nothing cancels them.
        data: Any iterable of batches, or one batch, to keep what the model computes.
        optimizer: One that trains the model; from now on it trains the new one. γ and β join the group of the layer's
            weight, removed biases leave theirs. Where it names parameters, names are the new model's.
        inplace: Change the model itself instead of a copy.

    Returns:
        The model, and what became of each convolution and linear layer.

    Raises:
        ModelError: there is no place for a norm, the model fails on the example or the data, or with ``data`` outputs
            differ by more than rounding. Then the model and the optimiser are as they were.
        ArgumentError: ``data`` that have no batches, or fewer than two values a channel at some place.

    Example:
        >>> import torch, normwise
        >>> model = torch.nn.Sequential(torch.nn.Linear(4, 8), torch.nn.ReLU(), torch.nn.Linear(8, 2))
        >>> x = torch.randn(16, 4)
        >>> new, report = normwise.insert(model, x, data=x)
        >>> print(report.changes[0])
        0 (Linear): BatchNorm1d '0_norm' behind it, its bias removed
        >>> torch.allclose(new.eval()(x), model(x), atol=1e-5)
        True

    References:
        Ioffe & Szegedy 2015, https://arxiv.org/abs/1502.03167, section 3.2: before the nonlinearity, without biases.
    """
    args, kwargs = example_arguments(example)
    moments: Mapping[str, Moments] = {}
    if data is not None:
        check_model(model)
        # Before anything is changed: an exception of the data's own goes to the user as it is.
        places = _places(_find(model, args, kwargs, after_activation))
        moments = output_moments(model, data, {path: place.shape for path, place in places.items()})
    with working_copy(model, inplace, (args, kwargs)) as (old, new):
        replaced = dict(zip(old.parameters(), new.parameters(), strict=True))
        found = _find(new, args, kwargs, after_activation)
        places = _places(found)
        norms = {path: _insert(new, place, moments.get(path)) for path, place in places.items()}
        paths = {module: path for path, module in new.named_modules()}
        said, biases = (), dict[str, nn.Parameter]()
        if not after_activation:
            said, biases = take_biases(new, args, kwargs, {paths[norm] for norm in norms.values()})
        error = _compared(old, new, args, kwargs, proven=data is not None)
        training_error = _in_training(old, new, [paths[norm] for norm in norms.values()], args, kwargs)
        if optimizer is not None:
            gone = set(biases.values())
            move_optimizer(
                optimizer,
                {p: None if q in gone else q for p, q in replaced.items()},
                {p: _weight(places[path].layer) for path, norm in norms.items() for p in norm.parameters()},
                names={p: name for name, p in new.named_parameters()},
            )
    reasons = {change.path: change for change in said}
    changes = (
        Change(path, kind, False, place)
        if isinstance(place, str)
        else Change(path, kind, True, _said(path, place, norms[place.path], paths, reasons))
        for path, (kind, place) in found.items()
    )
    return new, Insertion(
        tuple(changes),
        sum(p.numel() for norm in norms.values() for p in norm.parameters()),
        sum(bias.numel() for bias in biases.values()),
        min((seen.count for seen in moments.values()), default=0),
        error,
        training_error,
    )


def _find(
    model: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any], after_activation: bool
) -> dict[str, tuple[str, Position | str]]:
    """The class of each convolution and linear layer, and its place or why it has none, by path."""
    places = Positions(model, consumers(model, args, kwargs))
    find = places.after_activation if after_activation else places.behind
    return {path: (type(layer).__name__, find(layer)) for path, layer in places.layers()}


def _places(found: Mapping[str, tuple[str, Position | str]]) -> dict[str, Position]:
    """Return the places for norms, by path.

    Raises:
        ModelError: there is none.
    """
    places = {place.path: place for _, place in found.values() if isinstance(place, Position)}
    if places:
        return places
    if not found:
        raise ModelError("the model has no convolution or linear layer behind which a BN layer could be put")
    lines = [str(Change(path, kind, False, str(reason))) for path, (kind, reason) in found.items()]
    raise ModelError("\n".join(["the model has no place for a BN layer", *lines]))


def _insert(model: nn.Module, place: Position, moments: Moments | None) -> nn.Module:
    """Put a BN layer there; with ``moments`` one that gives back what it gets."""
    weight, module = _weight(place.layer), place.holder.get_submodule(place.name)
    norm = _KINDS[len(place.shape)](place.shape[1], device=weight.device, dtype=weight.dtype)
    norm.train(place.layer.training)
    if moments is not None:
        _keep(norm, moments, place.path)
    if place.in_sequence:
        entries = list(place.holder._modules.items())
        behind = [name for name, _ in entries].index(place.name) + 1
        entries.insert(behind, (f"{place.name}_norm", norm))
        place.holder._modules.clear()
        place.holder._modules.update(entries)
    else:
        pair = LayerWithNorm(OrderedDict(layer=module, norm=norm))
        pair.training = place.layer.training
        exchange_module(model, module, pair)
    return norm


def _weight(layer: nn.Module) -> nn.Parameter:
    """The layer's weight, or what that is computed from."""
    return next(parameter for name, parameter in layer.named_parameters() if name != "bias")


@torch.no_grad()
def _keep(norm: nn.modules.batchnorm._BatchNorm, moments: Moments, path: str) -> None:
    mean, var = norm.get_buffer("running_mean"), norm.get_buffer("running_var")
    mean.copy_(moments.mean)
    var.copy_(moments.unbiased_variance)
    # Of the variance as it is rounded, so that the two cancel; on the CPU, since not every device has float64.
    norm.weight.copy_((var.cpu().double() + norm.eps).sqrt())
    norm.bias.copy_(mean)
    if not (mean.isfinite() & var.isfinite()).all():
        raise ModelError(
            f"the values behind {path!r} have a mean or variance too large for {var.dtype}: up to "
            f"{moments.mean.abs().max():g} and {moments.unbiased_variance.max():g}"
        )


def _compared(
    old: nn.Module, new: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any], *, proven: bool
) -> float:
    """How far the outputs on the example are from the old ones; ``proven`` to be rounding."""
    try:
        error = output_difference(old, new, args, kwargs)
    except ModelError:
        raise
    except Exception as failure:
        raise ModelError(f"the new model fails on the example: {failure}; nothing is changed") from failure
    if proven and not error <= rounding(old):
        raise ModelError(
            f"the new model's outputs differ from the old one's by {error:.1e} of the largest, and {rounding(old):.1e} "
            "is what rounding may do; nothing is changed. The model may use its layers in ways that a pass over data "
            "doesn't show, or be so unequal that rounding shows: try it in float64"
        )
    return error


def _in_training(
    old: nn.Module, new: nn.Module, norms: Iterable[str], args: tuple[Any, ...], kwargs: dict[str, Any]
) -> float:
    """How far the outputs are from the old ones where the new norms normalise with the batch's own statistics."""
    batchwise = shadow_copy(new)
    for path in norms:
        # Without running ones, a layer has no others.
        batchwise.get_submodule(path)._buffers.update(running_mean=None, running_var=None)
    try:
        with unchanged(old, batchwise):
            return output_error(old, batchwise, args, kwargs)
    except ShapeError:
        return math.nan


def _said(
    path: str, place: Position, norm: nn.Module, paths: Mapping[nn.Module, str], biases: Mapping[str, Change]
) -> str:
    behind = "it" if place.path == path else repr(place.path)
    said = f"{type(norm).__name__} {paths[norm]!r} behind {behind}"
    bias = biases.get(paths[norm])
    if bias is None:
        return said
    if bias.changed:
        return f"{said}, its bias removed"
    return (
        said
        if place.layer._parameters.get("bias", norm) is None
        else f"{said}; its bias stays: {bias.detail}"
    )
