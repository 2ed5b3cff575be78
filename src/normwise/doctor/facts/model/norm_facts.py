"""Numbers of one BN layer, of a model or of a checkpoint."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from normwise.layers import LayerKind, slots_of


@dataclass(frozen=True, eq=False)
class NormFacts:
    """Numbers of one BN layer, or of one time step of a layer that has statistics for each.

    Tensors are copies on the CPU, in the layer's dtype.

    Attributes:
        path: Path of the slot: the path of the layer, with the time step in brackets if it has several.
        layer_path: Path of the layer.
        kind: Class of the layer; empty in a checkpoint.
        mean, variance: Running statistics ``(C,)``; None if there are none.
        weight, bias: γ and β, ``(C,)``; None if there are none.
        eps, momentum: Settings; None if unknown, and for the momentum of a cumulative average.
        steps: Number of batches that updated the statistics (``num_batches_tracked``); None if unknown.
        layer: Module of the layer; None in a checkpoint.
        traits: Traits of the module as a norm; None in a checkpoint.
        training: Mode of the layer in the given model; None in a checkpoint.
    """

    path: str
    layer_path: str
    kind: str
    mean: Tensor | None
    variance: Tensor | None
    weight: Tensor | None
    bias: Tensor | None
    eps: float | None = None
    momentum: float | None = None
    steps: int | None = None
    layer: nn.Module | None = None
    traits: LayerKind | None = None
    training: bool | None = None

    @property
    def channels(self) -> int:
        """Return the number of channels; 0 if unknown."""
        held = (self.mean, self.variance, self.weight, self.bias)
        return next((len(tensor) for tensor in held if tensor is not None), 0)

    @property
    def is_initial(self) -> bool:
        """Return whether the running statistics are those of a new layer: mean 0 and variance 1 in every channel."""
        if self.mean is None or self.variance is None or self.mean.numel() == 0:
            return False
        return bool((self.mean == 0).all() and (self.variance == 1).all())

    @property
    def is_finite(self) -> bool:
        """Return whether the running statistics are finite, and no variance is negative."""
        if self.mean is None or self.variance is None:
            return True
        return bool(
            self.mean.isfinite().all() and self.variance.isfinite().all() and (self.variance >= 0).all()
        )

    @property
    def parameter_spread(self) -> float:
        """Return the spread of γ and β over channels; 0 in a new layer with any initial value."""
        spreads = [
            (held.double().amax() - held.double().amin()).item()
            for held in (self.weight, self.bias)
            if held is not None and held.numel() > 1 and bool(held.isfinite().all())
        ]
        return max(spreads, default=0.0)

    @property
    def frozen(self) -> bool:
        """Return whether training leaves the statistics unchanged; False if unknown."""
        return self.traits is not None and self.traits.frozen

    @property
    def learns(self) -> bool:
        """Return whether training should update the statistics: the layer has some and is not frozen."""
        return self.traits is None or (not self.traits.frozen and self.traits.learns_statistics)


def have_initial_parameters(norms: Iterable[NormFacts]) -> bool:
    """Return whether all layers have γ and β that are equal over channels, as before training."""
    held = [norm for norm in norms if norm.weight is not None or norm.bias is not None]
    return bool(held) and not any(norm.parameter_spread for norm in held)


def norm_facts(path: str, kind: LayerKind, *, training: bool) -> list[NormFacts]:
    """Return the numbers of a layer of a model, for each slot."""
    layer = kind.layer
    if not kind.initialised:
        return []
    common: dict[str, Any] = {
        "layer_path": path,
        "kind": type(layer).__name__,
        "weight": _copy(getattr(layer, "weight", None)),
        "bias": _copy(getattr(layer, "bias", None)),
        "eps": kind.eps,
        "momentum": getattr(layer, "momentum", None),
        "layer": layer,
        "traits": kind,
        "training": training,
    }
    if not kind.has_statistics:
        return [NormFacts(path, mean=None, variance=None, **common)]
    counter = layer._buffers.get("num_batches_tracked")
    if set(kind.computed) & {"running_mean", "running_var"}:
        slots = [(path, layer.running_mean, layer.running_var)]
    else:
        slots = [(slot.path, slot.mean, slot.variance) for slot in slots_of(path, layer)]
    found = []
    for row, (slot_path, mean, variance) in enumerate(slots):
        steps = None
        if isinstance(counter, Tensor) and not counter.is_meta:
            steps = int(counter if counter.dim() == 0 else counter[row])
        found.append(NormFacts(slot_path, mean=_copy(mean), variance=_copy(variance), steps=steps, **common))
    return found


def norms_of_state(state: Mapping[str, Any]) -> dict[str, NormFacts]:
    """Return the numbers of each BN layer in a state dict, recognised by its running variance."""
    found = {}
    for key in state:
        path, _, name = key.rpartition(".")
        mean, variance = (
            state.get(f"{path}.{each}" if path else each) for each in ("running_mean", "running_var")
        )
        if name != "running_var" or not isinstance(mean, Tensor) or not isinstance(variance, Tensor):
            continue
        weight, bias, counter = (
            state.get(f"{path}.{each}" if path else each)
            for each in ("weight", "bias", "num_batches_tracked")
        )
        # A layer with statistics for each time step has a row for each.
        slots = (
            [(path, mean, variance)]
            if mean.dim() < 2 or mean.shape != variance.shape
            else [
                (f"{path}[{row}]", *tensors) for row, tensors in enumerate(zip(mean, variance, strict=True))
            ]
        )
        steps = counter.flatten().tolist() if isinstance(counter, Tensor) else []
        for row, (slot, its_mean, its_variance) in enumerate(slots):
            found[slot] = NormFacts(
                slot, path, "", _copy(its_mean), _copy(its_variance), _copy(weight), _copy(bias),
                steps=int(steps[row]) if len(steps) == len(slots) else None,
            )  # fmt: skip
    return found


def _copy(tensor: Any) -> Tensor | None:
    if not isinstance(tensor, Tensor) or tensor.is_meta:
        return None
    with torch.inference_mode(False):
        return tensor.detach().to("cpu", copy=True).flatten()
