"""Bridge to normwise's own kernels, on Keras's torch backend: the only file of this package that uses torch."""

from dataclasses import dataclass
from typing import Any

import keras
import torch
from torch import Tensor

from normwise import functional, kernels
from normwise.distributed import RankUnion, union_of
from normwise.keras.call import Call
from normwise.keras.moments import BatchMoments
from normwise.kernels import Call as KernelCall
from normwise.kernels.merged import merged_batch_norm, merged_moments
from normwise.kernels.torch_backend.primitives import ChannelMoments
from normwise.kernels.virtual_batches import batch_norm_in_parts, part_sizes

#: Activations that the kernels can fuse and that Keras has with the same settings.
_FUSED: dict[Any, str] = {
    keras.activations.relu: "relu",
    keras.activations.relu6: "relu6",
    keras.activations.elu: "elu",
    keras.activations.gelu: "gelu",
    keras.activations.silu: "silu",
    keras.activations.hard_silu: "hardswish",
    keras.activations.sigmoid: "sigmoid",
    keras.activations.tanh: "tanh",
}
#: Seconds that a rank waits for the others with ``synchronized=True``, as with ``normwise.nn.SyncBatchNorm``.
_TIMEOUT = 60.0


def covers(call: Call) -> bool:
    """Return whether :func:`batch_normalization` computes a call; ``keras.ops`` compute the others."""
    x = call.x
    if x.device.type not in ("cpu", "cuda") or x.ndim < 2 or not x.is_floating_point():
        return False
    if call.statistics is not None:
        return True
    # One value per channel has no deviation: the kernels raise an error, Keras returns zeros.
    alone = x.numel() <= x.shape[call.axis]
    if call.mask is None:
        return not alone
    return not alone and call.virtual_batch_size is None and call.mask.shape[call.axis] == 1


def batch_normalization(call: Call) -> tuple[Tensor, BatchMoments | None]:
    """Return the output of a call, and the moments of its batch in training."""
    flat = call.axis == call.x.ndim - 1 and call.x.is_contiguous() and call.virtual_batch_size is None
    channels = call.x.shape[call.axis]

    def viewed(x: Tensor) -> Tensor:
        # Rows of channels are the kernels' layout with the least work; any other is a view as well.
        return x.reshape(-1, channels) if flat else x.movedim(call.axis, 1)

    fused = None if call.activation is None else _FUSED.get(call.activation)
    kernel_call = KernelCall(
        viewed(call.x),
        weight=call.gamma,
        bias=call.beta,
        eps=call.epsilon,
        activation=fused,
        residual=None if call.residual is None else viewed(call.residual.to(call.x.dtype)),
    )
    mask = call.mask
    if mask is not None:
        sizes = [1 if axis == call.axis else size for axis, size in enumerate(call.x.shape)]
        mask = mask.expand(sizes)
        mask = mask.reshape(-1) if flat else mask.movedim(call.axis, 1).squeeze(1)
    if call.statistics is not None:
        kernel_call.running_mean, kernel_call.running_var = call.statistics
        y, found = kernels.batch_norm(kernel_call), None
    else:
        y, found = _in_training(call, kernel_call, mask)
    y = y.view(call.x.shape) if flat else y.movedim(1, call.axis)
    return (y if fused or call.activation is None else call.activation(y)), found


def merged(own: BatchMoments, name: str) -> BatchMoments:
    """Return the moments of all ranks, without deviations, if the kernels don't apply."""
    count = torch.as_tensor(own.positions, dtype=own.mean.dtype, device=own.mean.device)
    # Ranks with and without such masks send messages of different sizes: that error says which rank has a
    # mask.
    union = _union(name, own.mean.device, ", mask of each channel" if count.ndim else "")
    if union is None:
        return own
    if count.ndim == 0:
        return BatchMoments(*merged_moments(ChannelMoments(count, own.mean, own.variance), union))
    # Channels with their own masks are batches of one channel.
    found = merged_moments(ChannelMoments(count, own.mean[:, None], own.variance[:, None]), union)
    return BatchMoments(found.count, found.mean[:, 0], found.variance[:, 0])


def _union(name: str, device: torch.device, masks: str = "") -> RankUnion | None:
    return union_of(None, f"BatchNormalization {name!r}{masks}", device, _TIMEOUT)


def _in_training(call: Call, kernel_call: KernelCall, mask: Tensor | None) -> tuple[Tensor, BatchMoments]:
    """Return the batch normalised by its own statistics, in the kernels' layout, and its moments."""
    x = kernel_call.x
    kernel_call.training = True
    union = _union(call.name, x.device) if call.synchronized else None
    if mask is not None:
        return _masked(call, kernel_call, mask, union)
    known = None
    if call.correct is not None:
        known = kernels.batch_moments(x)
        if union is not None:
            known = union.moments(known)
        _correct(call, kernel_call, BatchMoments(*known))
    if union is not None:
        remembered = _Remembered(union, [] if known is None else [known])
        y = merged_batch_norm(kernel_call, remembered)
        return y, BatchMoments(*remembered.known[0])
    kind = torch.promote_types(x.dtype, torch.float32)
    # With a momentum of 1 they become the batch's. Two tensors, since autograd would count writes to both
    # halves of one.
    kernel_call.running_mean = x.new_zeros(x.shape[1], dtype=kind)
    kernel_call.running_var = x.new_zeros(x.shape[1], dtype=kind)
    kernel_call.momentum = 1.0
    sizes = part_sizes(x.shape, call.virtual_batch_size) if call.virtual_batch_size is not None else ()
    y = batch_norm_in_parts(kernel_call, sizes) if len(sizes) > 1 else kernels.batch_norm(kernel_call)
    count = x.numel() // x.shape[1]
    variance = kernel_call.running_var * ((count - 1) / count)
    return y, BatchMoments(count, kernel_call.running_mean, variance)


def _masked(
    call: Call, kernel_call: KernelCall, mask: Tensor, union: RankUnion | None
) -> tuple[Tensor, BatchMoments]:
    """Return the whole batch normalised by the moments of its real positions, as Keras does, and the moments."""
    found = functional.moments(kernel_call.x, mask)
    if union is not None:
        found = merged_moments(found, union)
    moments = BatchMoments(*found)
    _correct(call, kernel_call, moments)
    y = functional.normalise(
        kernel_call.x,
        found.mean,
        torch.rsqrt(found.variance + kernel_call.eps),
        kernel_call.weight,
        kernel_call.bias,
        activation=kernel_call.activation,
        residual=kernel_call.residual,
    )
    return y, moments


def _correct(call: Call, kernel_call: KernelCall, moments: BatchMoments) -> None:
    """Set γ and β of renormalization on a call, in float64 like the moments."""
    if call.correct is not None:
        kind = torch.promote_types(call.x.dtype, torch.float32)
        scale, shift = call.correct(moments, call.gamma, call.beta)
        kernel_call.weight, kernel_call.bias = scale.to(kind), shift.to(kind)


@dataclass
class _Remembered:
    """Union of ranks that collects the moments only once; a :class:`normwise.kernels.merged.Merger`."""

    union: RankUnion
    known: list[ChannelMoments]

    def moments(self, own: ChannelMoments) -> ChannelMoments:
        """See :class:`normwise.distributed.RankUnion`."""
        if not self.known:
            self.known.append(self.union.moments(own))
        return self.known[0]

    def gradient_sums(self, own: Tensor) -> Tensor:
        """See :class:`normwise.distributed.RankUnion`."""
        return self.union.gradient_sums(own)
