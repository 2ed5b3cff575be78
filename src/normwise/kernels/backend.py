"""The protocol of compiled backends, and the list of those that there are.

To add one, write a package beside ``cpu`` whose ``backend.py`` has a class with these methods, and add an instance of
it to ``BACKENDS``. Autograd, second derivatives, function modes and graphs of torch.compile are done for all backends
by :mod:`normwise.kernels.autograd` and :mod:`normwise.kernels.compiled_graphs`.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import Tensor

from normwise.kernels.backward_call import BackwardCall, Gradients, MomentsGradient
from normwise.kernels.call import Call
from normwise.kernels.cpu.backend import CpuBackend
from normwise.kernels.torch_backend.primitives import ChannelMoments
from normwise.kernels.triton.backend import TritonBackend


class Backend(Protocol):
    """One implementation of batch normalization outside of torch's operators.

    A backend may decline any call: torch's operators then compute it. Tensors of a call that it is asked about are
    plain, and torch runs eagerly, except in :meth:`covers_types`.
    """

    #: ``"CPU"``, ``"CUDA"``: torch's dispatch key, under which the backend serves compiled graphs.
    dispatch_key: str
    #: Types of input that the backend can take.
    input_types: tuple[torch.dtype, ...]

    @property
    def name(self) -> str:
        """A word for what computes, such as the instruction set: a run folder keeps it."""
        ...

    @property
    def description(self) -> str:
        """A description of what computes, for a user, such as "Triton 3.6.0"; it imports nothing."""
        ...

    @property
    def available(self) -> bool:
        """True where the backend can be used here; the answer imports nothing that takes long."""
        ...

    @property
    def reason(self) -> str:
        """The reason why the backend is not available, in words that stand alone, such as "no CUDA device"."""
        ...

    @property
    def files(self) -> Sequence[Path]:
        """Files besides normwise's Python sources that decide what is computed."""
        ...

    def covers(self, call: Call) -> bool:
        """Return whether this backend can compute the call.

        It asks each tensor for its type, device, sizes, order in memory, and whether there is memory at all; and the
        call for its activation. Where it returns True it may have replaced the residual and the mask by copies in
        another order, and keeps in ``call.layout`` whatever its forward pass needs.
        """
        ...

    def covers_backward(self, call: BackwardCall) -> bool:
        """Return whether this backend can compute the backward pass: as :meth:`covers`, for all tensors.

        Hooks on saved tensors may have changed any of them since the forward pass. The input, too, may be replaced by a
        copy in another order.
        """
        ...

    def covers_types(self, call: Call) -> bool:
        """Return whether a graph that is being traced may leave the call, of training, to this backend.

        Only types, devices and contiguity can be asked for: tensors have no memory yet.
        """
        ...

    def forward(self, call: Call, batch: Tensor | None = None) -> tuple[Tensor, Any]:
        """Compute a call that this backend covers, and move the running statistics and the counter in training.

        Args:
            call: The call. With ``inplace`` the output takes the input's place.
            batch: Float64 ``(2, C)`` to be filled with the batch's mean and Bessel-corrected variance; left as it is
                with fewer than two real positions.

        Returns:
            The output, in the input's order in memory, and what the backward pass needs, in a form of its own.
        """
        ...

    def backward(self, call: BackwardCall) -> Gradients:
        """Compute the gradients of a call that this backend covers."""
        ...

    def moments(self, call: Call) -> tuple[int, Tensor, Tensor]:
        """Return what :func:`normwise.kernels.channel_sums` does, of ``x`` and ``mask`` of a call that is covered."""
        ...

    def statistics(self, saved: Any) -> Tensor:
        """Return what the forward pass kept as a tensor: float64 ``(2, C)``, mean and 1 / deviation."""
        ...

    def saved(self, statistics: Tensor) -> Any:
        """Return the inverse of :meth:`statistics`, for a graph, which can keep tensors only."""
        ...


class StagedBackend(Backend, Protocol):
    """A backend of which each pass can be done in two halves, with other numbers of channels between them.

    So are calls computed whose moments are those of several batches (:mod:`normwise.kernels.merged`). The methods take
    calls of training that are covered.
    """

    def batch_moments(self, call: Call) -> ChannelMoments:
        """Return the moments of ``x`` and ``mask``."""
        ...

    def normalise(self, call: Call, moments: ChannelMoments) -> tuple[Tensor, Any]:
        """Do what :meth:`forward` does, but for ``inplace``, by the given moments in the place of the batch's own."""
        ...

    def moments_gradient(self, call: BackwardCall) -> MomentsGradient:
        """Return the gradients of the moments that normalised, of the parameters and of the residual."""
        ...

    def input_gradient(
        self, call: BackwardCall, count: int, grad_moments: Tensor, grad_residual: Tensor | None
    ) -> Tensor:
        """Return the gradient of the input.

        Args:
            call: What :meth:`moments_gradient` got.
            count: Positions that the moments are of.
            grad_moments: Gradients of the moments, added up over all batches that these are of.
            grad_residual: What :meth:`moments_gradient` returned; its padding is written.
        """
        ...


_CPU = CpuBackend()
#: Compiled backends, in order of preference: a call goes to the first that covers it, else to torch's operators.
BACKENDS: tuple[Backend, ...] = (_CPU, TritonBackend())
#: Those of them whose passes come in halves, and which know of parts of a batch.
STAGED_BACKENDS: tuple[StagedBackend, ...] = (_CPU,)


def backends_in_use(dispatch_key: str) -> tuple[Backend, ...]:
    """Return the backends that can be used here on one kind of device, ``"CPU"`` or ``"CUDA"``."""
    return tuple(
        backend for backend in BACKENDS if backend.available and backend.dispatch_key == dispatch_key
    )


def in_use() -> str:
    """Return a description of what computes here, for each kind of device that a backend was written for."""
    keys = dict.fromkeys(backend.dispatch_key for backend in BACKENDS)
    return "; ".join(f"{key}: {_serving(key)}" for key in keys)


def name_in_use(device: str = "cpu") -> str:
    """Return a word for what computes on a device here; on the CPU ``NORMWISE_KERNELS`` asks for it by this word.

    On a GPU the device's name is part of it, for on another one the last digits are others.
    """
    name = "+".join(backend.name for backend in backends_in_use(device.partition(":")[0].upper())) or "torch"
    return name if device == "cpu" else f"{name} on {torch.cuda.get_device_name(device)}"


def _serving(dispatch_key: str) -> str:
    used = backends_in_use(dispatch_key)
    if used:
        return " and ".join(backend.description for backend in used)
    reasons = "; ".join(backend.reason for backend in BACKENDS if backend.dispatch_key == dispatch_key)
    return f"torch's operators ({reasons})"
