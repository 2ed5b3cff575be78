"""Protocol of compiled backends, and the list of all backends.

To add one, write a package next to ``cpu`` whose ``backend.py`` has a class with these methods, and add an instance
of it to ``BACKENDS``. Autograd, second derivatives, function modes and graphs of torch.compile are done for all
backends by :mod:`normwise.kernels.autograd` and :mod:`normwise.kernels.compiled_graphs`.
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

    A backend may decline any call: torch's operators then compute it. Except in :meth:`covers_types`, the tensors
    of a call are plain, and torch runs eagerly.
    """

    #: torch's dispatch key under which the backend serves compiled graphs, ``"CPU"`` or ``"CUDA"``.
    dispatch_key: str
    #: Dtypes of input that the backend supports.
    input_types: tuple[torch.dtype, ...]

    @property
    def name(self) -> str:
        """Return a word for the implementation, such as the instruction set, which run folders store."""
        ...

    @property
    def description(self) -> str:
        """Return a description of the implementation for users, such as "Triton 3.6.0", without importing anything."""
        ...

    @property
    def available(self) -> bool:
        """Return whether the backend can be used here, without slow imports."""
        ...

    @property
    def reason(self) -> str:
        """Return why the backend is not available, as a phrase such as "no CUDA device"."""
        ...

    @property
    def files(self) -> Sequence[Path]:
        """Return the files besides normwise's Python sources that affect the results."""
        ...

    def covers(self, call: Call) -> bool:
        """Return whether this backend can compute the call.

        It checks dtype, device, sizes, memory format and the existence of memory for each tensor, and the
        activation. If it returns True, it may have replaced the residual and the mask by copies in another memory
        format, and it stores in ``call.layout`` what its forward pass needs.
        """
        ...

    def covers_backward(self, call: BackwardCall) -> bool:
        """Return whether this backend can compute the backward pass: as :meth:`covers`, for all tensors.

        Hooks on saved tensors may have changed any of them since the forward pass. The input may also be replaced
        by a copy in another memory format.
        """
        ...

    def covers_types(self, call: Call) -> bool:
        """Return whether a traced graph may leave a training call to this backend.

        Only dtypes, devices and contiguity can be checked: tensors have no memory yet.
        """
        ...

    def forward(self, call: Call, batch: Tensor | None = None) -> tuple[Tensor, Any]:
        """Compute a call that this backend covers, and update the running statistics and the counter in training.

        Args:
            call: Call to compute. With ``inplace`` the output overwrites the input.
            batch: Float64 ``(2, C)`` that is filled with the batch's mean and Bessel-corrected variance; unchanged
                with fewer than two real positions.

        Returns:
            The output, in the input's memory format, and the saved statistics for the backward pass, in the
            backend's own form.
        """
        ...

    def backward(self, call: BackwardCall) -> Gradients:
        """Compute the gradients of a call that this backend covers."""
        ...

    def moments(self, call: Call) -> tuple[int, Tensor, Tensor]:
        """Return the same as :func:`normwise.kernels.channel_sums`, for ``x`` and ``mask`` of a covered call."""
        ...

    def statistics(self, saved: Any) -> Tensor:
        """Return the saved statistics as a tensor: float64 ``(2, C)``, mean and 1 / deviation."""
        ...

    def saved(self, statistics: Tensor) -> Any:
        """Return the inverse of :meth:`statistics`, for a graph, which can save only tensors."""
        ...


class StagedBackend(Backend, Protocol):
    """A backend whose passes can be computed in two halves, with per-channel numbers exchanged in between.

    This is for calls with the moments of several batches (:mod:`normwise.kernels.merged`). The methods take covered
    training calls.
    """

    def batch_moments(self, call: Call) -> ChannelMoments:
        """Return the moments of ``x`` and ``mask``."""
        ...

    def normalise(self, call: Call, moments: ChannelMoments) -> tuple[Tensor, Any]:
        """Do the same as :meth:`forward`, except ``inplace``, with given moments instead of the batch's own."""
        ...

    def moments_gradient(self, call: BackwardCall) -> MomentsGradient:
        """Return the gradients of the moments that normalised, of the parameters and of the residual."""
        ...

    def input_gradient(
        self, call: BackwardCall, count: int, grad_moments: Tensor, grad_residual: Tensor | None
    ) -> Tensor:
        """Return the gradient of the input.

        Args:
            call: Argument of :meth:`moments_gradient`.
            count: Number of positions of the moments.
            grad_moments: Gradients of the moments, summed over all their batches.
            grad_residual: Gradient of the residual that :meth:`moments_gradient` returned; its padding is filled
                in.
        """
        ...


_CPU = CpuBackend()
#: Compiled backends, in order of preference: a call goes to the first that covers it, else to torch's operators.
BACKENDS: tuple[Backend, ...] = (_CPU, TritonBackend())
#: Those of them that compute passes in halves, and support parts of a batch.
STAGED_BACKENDS: tuple[StagedBackend, ...] = (_CPU,)


def backends_in_use(dispatch_key: str) -> tuple[Backend, ...]:
    """Return the backends that can be used here on one kind of device, ``"CPU"`` or ``"CUDA"``."""
    return tuple(
        backend for backend in BACKENDS if backend.available and backend.dispatch_key == dispatch_key
    )


def in_use() -> str:
    """Return a description of the implementation for each kind of device that a backend supports."""
    keys = dict.fromkeys(backend.dispatch_key for backend in BACKENDS)
    return "; ".join(f"{key}: {_serving(key)}" for key in keys)


def name_in_use(device: str = "cpu") -> str:
    """Return a word for the implementation on a device; on the CPU ``NORMWISE_KERNELS`` selects it by this word.

    On a GPU it includes the device's name, since the last digits differ between devices.
    """
    name = "+".join(backend.name for backend in backends_in_use(device.partition(":")[0].upper())) or "torch"
    return name if device == "cpu" else f"{name} on {torch.cuda.get_device_name(device)}"


def _serving(dispatch_key: str) -> str:
    used = backends_in_use(dispatch_key)
    if used:
        return " and ".join(backend.description for backend in used)
    reasons = "; ".join(backend.reason for backend in BACKENDS if backend.dispatch_key == dispatch_key)
    return f"torch's operators ({reasons})"
