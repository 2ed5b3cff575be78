"""Traits that a class of norm layers declares once, for everything that inspects, changes or replaces layers."""

from dataclasses import dataclass


@dataclass(frozen=True)
class NormTraits:
    """Traits of a class of norm layers; each class of this package has them as its class attribute ``traits``.

    :func:`normwise.surgery.find`, ``calibrate``, ``fold``, ``convert`` and ``accelerate`` treat a new family of
    layers by what it declares here. No code checks for its class by name.

    Attributes:
        family: Family of the norm. "batch" normalises by the batch, and in evaluation by one mean and variance per
            channel; "step" does so with several of each; "frozen" has constants; "group", "layer", "instance",
            "rms" and "response" normalise each sample by itself; "other" is a norm of which only the name is known.
        dimensions: Possible numbers of axes of an input besides batch and channels; (1,) for 1-d, which also allows
            none.
        conversion: Name of the family in ``normwise.convert(model, to=...)``; None for a class that is not a
            target. A target has a classmethod ``from_batch_norm``, or takes the arguments of torch's BN layers. A
            layer with ``several_slots`` becomes a class of its family that is a base or subclass of its own.
            Keyword-only arguments of the constructor, except ``bias``, are settings of the family; each has a
            default, and is an attribute of the same name.
        foldable: Whether evaluation is a scale and a shift of each channel, given by ``running_mean``,
            ``running_var``, ``weight``, ``bias`` and ``eps``.
        convertible: Whether another class may replace the layer, since it only normalises and, with ``fuses``, adds
            and activates.
        reason: Reason why the layer is not foldable or not convertible, as a clause about "it".
        fuses: Whether the layer has an ``activation`` and takes ``residual`` and ``mask``, as
            :class:`normwise.nn.BatchNorm1d` does.
        several_slots: Whether ``running_mean`` and ``running_var`` are ``(slots, C)`` and a call uses one row. Such
            a class has two methods: ``slot_of_call(args, kwargs)`` returns the row that a call uses;
            ``extend(slots)`` gives rows that no call has reached the statistics of the last reached row, and
            returns whether there were any.
        synchronised: Whether the layer normalises by the joint statistics of a group of processes. Such a class has
            an attribute ``process_group``.
    """

    family: str = "batch"
    dimensions: tuple[int, ...] = ()
    conversion: str | None = None
    foldable: bool = True
    convertible: bool = True
    reason: str = ""
    fuses: bool = False
    several_slots: bool = False
    synchronised: bool = False
