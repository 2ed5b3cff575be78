"""Conversion to BN: ours, torch's, or any further family of ``normwise.nn``; and to frozen BN."""

from collections.abc import Mapping
from typing import Any, ClassVar

from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from normwise.layers import kind_of_norm
from normwise.layers.known_classes import conversion_families
from normwise.layers.reasons import GIVE_STATISTICS, NO_STATISTICS, UNINITIALISED
from normwise.nn.convertible import from_batch_norm, settings_of
from normwise.nn.mixins.change_class import change_class
from normwise.nn.mixins.frozen import freeze_layer, is_frozen
from normwise.surgery.convert.describe_norm import NormDescription
from normwise.surgery.convert.given_numbers import set_on
from normwise.surgery.convert.target import ConvertedLayer, NormTarget, RebuiltNorm
from normwise.surgery.convert.to_step_norm import change_step_class, step_class
from normwise.surgery.core.decision import LeftError
from normwise.surgery.core.example_arguments import Arguments

#: Settings of our layers that belong to the layer's position in the model, not to the norm.
_OF_THE_PLACE = {"activation", "inplace"}


class ToBatchNorm(RebuiltNorm):
    """Conversion to the layers of one family, each with the dimensions that it takes."""

    is_batch_norm: ClassVar[bool] = True

    def __init__(
        self, name: str, given: Mapping[str, Any], classes: Mapping[type[Any], tuple[int, ...]]
    ) -> None:
        super().__init__(name, given)
        self.classes = classes

    @property
    def settings(self) -> set[str]:
        """Return the settings of torch's BN, and those that the family adds."""
        further = {name for kind in self.classes for name in settings_of(kind)} - _OF_THE_PLACE
        return {"eps", "momentum", "track_running_stats", *further}

    def converts(self, layer: nn.Module) -> bool:
        """Return whether this target is possible for the layer; for norms with statistics per step, some are."""
        return super().converts(layer) or step_class(layer, self.name) is not None

    def convert(self, layer: nn.Module, call: Arguments | None, like: Tensor) -> ConvertedLayer:
        """Convert a layer, in place: the object stays the same, with all references to it."""
        if (target := step_class(layer, self.name)) is None:
            return super().convert(layer, call, like)
        eps = vars(layer)["eps"]
        detail = change_step_class(layer, target, self.given)
        return ConvertedLayer(detail, alters=vars(layer)["eps"] != eps)

    def make(self, norm: NormDescription) -> nn.Module:
        """Return the family's layer for the norm's dimensions; a subclass of one of them keeps its class."""
        kind = self._kind(norm)
        norm.notes += set_on(norm.batch, self.given)
        self._track(norm)
        further = {
            name: value
            for name, value in {**norm.settings, **self.given}.items()
            if name in settings_of(kind)
        }
        make = getattr(kind, "from_batch_norm", None)
        new = from_batch_norm(kind, norm.batch, **further) if make is None else make(norm.batch, **further)
        if kind is norm.base:
            change_class(new, norm.kind)
        return new

    def _kind(self, norm: NormDescription) -> type[Any]:
        if norm.base is not None and norm.base in self.classes:
            return norm.base
        names = " or ".join(kind.__name__ for kind in self.classes)
        for kind, dimensions in self.classes.items():
            if norm.dimensions in dimensions or (norm.dimensions is None and dimensions == (1, 2, 3)):
                return kind
        if norm.dimensions is None:
            raise LeftError(f"nothing tells whether it is to be {names}; pass an example")
        raise LeftError(f"none of {names} takes {norm.dimensions} axes besides those of batch and channels")

    def _track(self, norm: NormDescription) -> None:
        """Add statistics if they are requested and missing, and remove them if they are not requested."""
        if "track_running_stats" not in self.given:
            return
        batch, wanted = norm.batch, self.given["track_running_stats"]
        batch.track_running_stats = wanted
        if not wanted:
            batch._buffers.update(dict.fromkeys(batch._buffers))
        elif batch.running_mean is None:
            new = _BatchNorm(batch.num_features, device=norm.like.device, dtype=norm.like.dtype)
            batch._buffers.update(new._buffers)


class ToFrozen(NormTarget):
    """Conversion to BN with fixed statistics; a subclass keeps its class."""

    is_batch_norm: ClassVar[bool] = True

    @property
    def settings(self) -> set[str]:
        """Return the settings that don't need other statistics."""
        return {"eps", "momentum"}

    def convert(self, layer: nn.Module, call: Arguments | None, like: Tensor) -> ConvertedLayer:
        """Freeze the layer; another library's frozen layer becomes one of ours first."""
        kind = kind_of_norm(layer)
        if kind.family == "frozen":
            outcome = ToBatchNorm(self.name, self.given, conversion_families()["batch"]).convert(
                layer, call, like
            )
            freeze_layer(layer, parameters=True)
            return ConvertedLayer(f"{outcome.detail}; frozen, its γ and β, too", outcome.alters)
        if kind.family != "batch":
            raise LeftError("it has no statistics that could be fixed")
        if not kind.initialised:
            raise LeftError(f"it {UNINITIALISED}")
        if not kind.has_statistics:
            raise LeftError(f"it {NO_STATISTICS}; {GIVE_STATISTICS}")
        eps, notes = kind.eps, set_on(layer, self.given)
        if is_frozen(layer) and not notes:
            raise LeftError("it is frozen already")
        freeze_layer(layer)
        return ConvertedLayer("; ".join(["its statistics are fixed", *notes]), kind.eps != eps)
