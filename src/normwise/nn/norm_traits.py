"""The traits that a class of norm layers declares, once, for all that inspects, changes or replaces layers."""

from dataclasses import dataclass


@dataclass(frozen=True)
class NormTraits:
    """Traits of a class of norm layers; a class of this package has its own in the class attribute ``traits``.

    A new family of layers is known to :func:`normwise.surgery.find`, ``calibrate``, ``fold``, ``convert`` and
    ``accelerate`` by what it declares here. Nothing asks for its class by name.

    Attributes:
        family: "batch" normalises by the batch, and in evaluation by one mean and variance a channel; "step" does so
            with several of each; "frozen" has constants; "group", "layer", "instance", "rms" and "response" normalise
            each sample by itself; of "other" norms only the name is known.
        dimensions: Axes of an input besides those of batch and channels: (1,) for 1-d, where there may be none, too.
        conversion: The family's name in ``normwise.convert(model, to=...)``; None for a class that is no target.
            Such a class has a classmethod ``from_batch_norm``, or takes the arguments of torch's BN layers.
            A layer with ``several_slots`` becomes a class of its family that is above or below its own.
            Keyword-only arguments of its constructor, but for ``bias``, are settings of that kind of layer; each has a
            default, and is an attribute of the same name.
        foldable: Whether evaluation is a scale and a shift of each channel, by ``running_mean``, ``running_var``,
            ``weight``, ``bias`` and ``eps``.
        convertible: Whether another class may take its place, since all that it does is to normalise, and, with
            ``fuses``, to add and to activate.
        reason: Why it is not foldable or not convertible, of "it".
        fuses: Whether it has an ``activation``, and takes ``residual`` and ``mask``, as
            :class:`normwise.nn.BatchNorm1d` does.
        several_slots: Whether ``running_mean`` and ``running_var`` are ``(slots, C)``, of which a call uses one. Such a
            class has the methods ``slot_of_call(args, kwargs)``, the row that a call uses, and ``extend(slots)``, which
            gives rows that no call has reached the statistics of the last one that was, and says whether there were
            such.
        synchronised: Whether the processes of a group are normalised by their statistics together. Such a class has an
            attribute ``process_group``.
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
