"""A recorded step before its backward pass."""

from dataclasses import dataclass, field, replace

import torch
from torch import Tensor
from torch.utils.hooks import RemovableHandle

from normwise.recordings.six_digits import six_digits
from normwise.records import LayerPoint, WatchedStep


@dataclass
class PendingStep:
    """Summaries of layers at a step, and hooks that complete them by the norms of gradients.

    Attributes:
        step: Number of training passes before the step.
        points: Summary of each layer, by path.
    """

    step: int
    points: dict[str, LayerPoint] = field(default_factory=dict)
    #: Norms by layer and field, as tensors, so that the host need not wait for a GPU.
    _gradients: dict[str, dict[str, Tensor]] = field(default_factory=dict)
    #: Handles of the hooks for gradients. They keep parameters alive, but no outputs, which may be large.
    _handles: list[RemovableHandle] = field(default_factory=list)
    _parameters: list[Tensor] = field(default_factory=list)

    def keep_gradient(self, path: str, name: str, tensor: Tensor) -> None:
        """Compute the norm of the tensor's gradient when it arrives."""
        norms = self._gradients.setdefault(path, {})

        def keep(gradient: Tensor) -> None:
            norms[name] = torch.linalg.vector_norm(gradient.detach(), dtype=torch.float64)

        self._handles.append(tensor.register_hook(keep))
        if tensor.is_leaf:
            self._parameters.append(tensor)

    def complete(self) -> WatchedStep:
        """Return the record with the gradients that have arrived."""
        found = {
            (path, name): norm for path, norms in self._gradients.items() for name, norm in norms.items()
        }
        values: list[float] = []
        if found:
            # Wait for the device once instead of once for each.
            device = next(iter(found.values())).device
            values = torch.stack([norm.to(device) for norm in found.values()]).tolist()
        given: dict[str, dict[str, float]] = {}
        for (path, name), value in zip(found, values, strict=True):
            given.setdefault(path, {})[f"{name}_grad"] = six_digits(value)
        layers = {path: replace(point, **given.get(path, {})) for path, point in self.points.items()}
        return WatchedStep(self.step, layers)

    def release(self) -> None:
        """Remove the hooks."""
        for handle in self._handles:
            handle.remove()
        for parameter in self._parameters:
            # With a dict of hooks, even an empty one, each backward pass would call Python at the parameter.
            if not parameter._backward_hooks:
                parameter._backward_hooks = None
