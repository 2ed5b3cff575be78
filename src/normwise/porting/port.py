"""Porting of a trained model's weights from torch to Keras or back."""

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Literal

from normwise.errors import ArgumentError
from normwise.import_keras import import_keras
from normwise.records import Porting

if TYPE_CHECKING:
    from torch import nn


def port(
    source: "nn.Module | Mapping[str, Any] | Any",
    target: "nn.Module | Any",
    *,
    example: Any = None,
    target_example: Any = None,
    by: Literal["order", "name"] | Mapping[str, str] | None = None,
    convert_settings: bool = True,
    values_per_channel: int | Mapping[str, int] | None = None,
    batch_size: int | None = None,
    eps: float | Mapping[str, float] | None = None,
    tolerance: float | None = None,
) -> Porting:
    r"""Move the weights of a torch model into a Keras model with the same layers, or back, and prove it on an example.

    Weights are transposed to the other framework's layouts; those of a dense layer after a Flatten are permuted
    from :math:`(C, H, W)` to :math:`(H, W, C)`. ε is copied, and momentum becomes :math:`1 - m`. Both models are
    then evaluated on the example and compared layer by layer. If anything fails, the target is unchanged.

    Supported are dense layers, convolutions (also grouped, depthwise, separable and transposed), batch, layer and
    group normalization, embeddings, and LSTM and GRU in one or both directions, also with several layers in one
    module.

    torch's running variance has Bessel's correction, Keras's does not. By default the variance is copied unchanged,
    so that the target computes the same as the source. If you give the number :math:`m` of values per channel in a
    training batch, the variance is multiplied by :math:`(m - 1) / m` on the way to Keras, and divided by it on the
    way back, after the comparison: it is then the variance that training in the other framework would have found.
    ``normwise.keras.BatchNormalization`` with ``unbiased_moving_variance=True`` keeps torch's variance, and is
    never corrected.

    Args:
        source: Trained model: a ``torch.nn.Module``, a Keras model or layer, or a torch state dict. A state dict
            can't be evaluated, so nothing is proven, and the report says so; it needs ``eps``.
        target: Model of the other framework, changed in place.
        example: Inputs of the source: a tensor or array, or a tuple with one for each argument. None for random
            numbers of the Keras model's input shape.
        target_example: Example in the layout of the target; None to move the channels of ``example``, which follow
            the batch in torch and are last in Keras.
        by: Rule for pairing layers: ``"order"``, by the order of their calls; ``"name"``, ignoring case and
            separators; or a mapping from paths in the source to those in the target. None for ``"order"``, and for
            a state dict ``"name"``.
        convert_settings: Whether ε and momentum of the target become those of the source; if False, a difference is
            an error.
        values_per_channel: Number m of values per channel, for all BN layers or by the path in the source.
        batch_size: Number of samples of a training batch, instead of ``values_per_channel``: m is this times the
            positions of each layer in a sample of the example.
        eps: ε of the layers of a state dict, one number or by path, since a state dict does not hold it. Needed
            only for a state dict with normalization layers; a model has its own.
        tolerance: Largest difference of outputs, relative to the largest output; by default half the digits of the
            models' dtype, 3.5e-4 in float32 and 1e-6 in float64.

    Returns:
        A report with the changes of each layer, and the difference of its outputs.

    Raises:
        ModelError: the number of layers, or a kind, shape, stride or number of groups differs; a variance is
            negative, as when mean and variance are swapped; the other framework lacks a layer; or outputs differ.
            The error names the first such layer.
        ArgumentError: both models are of one framework, or an argument is invalid or contradicts another.
        MissingPackageError: Keras, or its backend, is not installed.

    References:
        https://docs.pytorch.org/docs/stable/generated/torch.nn.BatchNorm2d.html,
        https://keras.io/api/layers/normalization_layers/batch_normalization/
    """
    keras = import_keras()
    from normwise.porting.bessel import check_counts
    from normwise.porting.move import Request, move

    # With the torch backend, a Keras layer is also a torch.nn.Module.
    kinds = tuple(
        "keras" if isinstance(one, keras.layers.Layer) else _framework(one) for one in (source, target)
    )
    if kinds not in (("torch", "keras"), ("keras", "torch"), ("state dict", "keras")):
        raise ArgumentError(
            f"port moves weights from a torch model or state dict to a Keras model, or from a Keras model to a torch "
            f"model; got {kinds[0]} and {kinds[1]}"
        )
    check_counts(values_per_channel, batch_size)
    if eps is not None and kinds[0] != "state dict":
        raise ArgumentError(
            "eps= is for a state dict, which does not hold it; a model says its own: leave it out"
        )
    for number in eps.values() if isinstance(eps, Mapping) else [eps]:
        if number is not None and (
            isinstance(number, bool) or not isinstance(number, (int, float)) or not 0 <= number < math.inf
        ):
            raise ArgumentError(f"eps= must be a number of at least 0, got {number!r}")
    default = "name" if kinds[0] == "state dict" else "order"
    return move(
        Request(
            source,
            target,
            (kinds[0], kinds[1]),
            example,
            target_example,
            default if by is None else by,
            convert_settings,
            values_per_channel,
            batch_size,
            eps,
            tolerance,
        )
    )


def _framework(model: Any) -> str:
    from torch import nn

    if isinstance(model, nn.Module):
        return "torch"
    return "state dict" if isinstance(model, Mapping) else f"a {type(model).__name__}"
