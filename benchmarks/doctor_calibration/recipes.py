"""Recipes of the healthy models: network, data, seed, batch size, length of training, optimiser."""

from dataclasses import dataclass, replace
from typing import Any, Literal

from torch import nn

from benchmarks.doctor_calibration import networks

Kind = Literal["dense", "cnn", "resnet", "lstm", "steps", "bn-lstm"]


@dataclass(frozen=True)
class Recipe:
    """Recipe of a healthy model.

    Attributes:
        kind: Its network.
        data: ``"digits"`` or ``"mnist"``.
        batch: Number of samples of a batch.
        epochs: Number of passes over the training samples.
        seed: Seed of weights and order.
        place: BN before or after the activation; of recurrent nets the outputs that it takes.
        library: Whose BN layers.
        momentum: Momentum of BN.
        optimizer: Name of the optimiser.
        decay: Weight decay of all parameters.
        dropout: Behind the last unit.
        augment: Whether images are shifted and get noise.
        bias: Whether layers before BN have a bias.
        depth, width: Size.
        zero_scale: Whether γ of the last norm of residual blocks begins with 0.
    """

    kind: Kind
    data: str = "digits"
    batch: int = 32
    epochs: int = 5
    seed: int = 0
    place: str = "before"
    library: str = "torch"
    momentum: float | None = 0.1
    optimizer: str = "sgd"
    decay: float = 0.0
    dropout: float = 0.0
    augment: bool = False
    bias: bool = False
    depth: int = 2
    width: int = 48
    zero_scale: bool = False

    @property
    def name(self) -> str:
        """Its kind, its data and whatever else is not usual, in words."""
        usual = Recipe(self.kind)
        others = [
            f"{name.replace('_', ' ')} {getattr(self, name)}"
            for name in self.__dataclass_fields__
            if name not in ("kind", "data", "batch", "epochs") and getattr(self, name) != getattr(usual, name)
        ]
        epochs = f"{self.epochs} epoch{'s' * (self.epochs > 1)}"
        return ", ".join([f"{self.kind} on {self.data}", f"batches of {self.batch}", epochs, *others])

    @property
    def takes_rows(self) -> bool:
        """True where the network takes rows of images as sequences."""
        return self.kind in ("lstm", "steps", "bn-lstm")

    def build(self) -> nn.Module:
        """Return the network, not trained."""
        make = networks.norm_maker(self.library, self.momentum)
        pixels, rows = (64, 8) if self.data == "digits" else (784, 28)
        place = self.place
        if self.kind in ("dense", "cnn"):
            kind = networks.Dense if self.kind == "dense" else networks.Convolutional
            return kind(pixels, make, place, self.dropout, self.bias, self.depth, self.width)  # type: ignore[arg-type]
        if self.kind == "resnet":
            return networks.Residual(pixels, make, self.depth, self.width, self.zero_scale)
        if self.kind == "lstm":
            return networks.Recurrent(rows, make, "last" if place == "last" else "steps", self.width)
        if self.kind == "steps":
            return networks.PerStep(rows, make, self.width)
        return networks.NormedRecurrent(rows, self.width, self.momentum)


def recipes(*, mnist: bool, seeds: int = 0) -> tuple[Recipe, ...]:
    """Return all recipes; those of MNIST where ``mnist``. ``seeds`` is added to each seed."""
    found = [*_dense(), *_convolutional(), *_residual(), *_recurrent()]
    return tuple(
        replace(recipe, seed=recipe.seed + seeds) for recipe in found if mnist or recipe.data != "mnist"
    )


def _dense() -> list[Recipe]:
    return [
        Recipe("dense"),
        Recipe("dense", seed=1, place="after"),
        Recipe("dense", seed=2, library="normwise"),
        Recipe("dense", batch=8, epochs=2, seed=3),
        Recipe("dense", batch=8, epochs=5, seed=4, optimizer="adam"),
        Recipe("dense", batch=16, epochs=2, seed=5),
        Recipe("dense", batch=64, epochs=10, seed=6, dropout=0.3),
        Recipe("dense", batch=128, epochs=10, seed=7),
        Recipe("dense", batch=256, epochs=20, seed=8, library="normwise"),
        Recipe("dense", batch=16, epochs=10, seed=9, momentum=0.01),
        Recipe("dense", batch=32, epochs=20, seed=10, momentum=0.01, optimizer="adam"),
        Recipe("dense", epochs=10, seed=11, momentum=None, optimizer="adam"),
        Recipe("dense", seed=12, optimizer="adamw", decay=0.01),
        Recipe("dense", seed=13, decay=5e-4, augment=True, epochs=15),
        Recipe("dense", seed=14, bias=True, dropout=0.5),
        Recipe("dense", seed=15, depth=4, width=32),
        Recipe("dense", seed=16, depth=6, width=32, place="after", epochs=10),
        Recipe("dense", "mnist", seed=17, batch=64, epochs=5),
        Recipe("dense", "mnist", seed=18, batch=128, epochs=4, place="after", optimizer="adam"),
        Recipe("dense", "mnist", seed=19, batch=256, epochs=6, library="normwise", bias=True),
        Recipe("dense", "mnist", seed=20, batch=32, epochs=3, dropout=0.2),
        Recipe("dense", seed=21, width=16, epochs=10),
    ]


def _convolutional() -> list[Recipe]:
    small: Any = {"width": 16, "depth": 3}
    return [
        Recipe("cnn", **small),
        Recipe("cnn", seed=1, place="after", **small),
        Recipe("cnn", seed=2, library="normwise", **small),
        Recipe("cnn", batch=8, epochs=3, seed=3, **small),
        Recipe("cnn", batch=16, epochs=3, seed=4, optimizer="adam", **small),
        Recipe("cnn", batch=64, epochs=8, seed=5, **small),
        Recipe("cnn", batch=128, epochs=12, seed=6, **small),
        Recipe("cnn", batch=256, epochs=20, seed=7, optimizer="adam", **small),
        Recipe("cnn", batch=16, epochs=8, seed=8, momentum=0.01, **small),
        Recipe("cnn", epochs=12, seed=9, momentum=None, optimizer="adam", **small),
        Recipe("cnn", seed=10, dropout=0.3, epochs=6, **small),
        Recipe("cnn", seed=11, augment=True, epochs=8, decay=5e-4, **small),
        Recipe("cnn", seed=12, bias=True, library="normwise", **small),
        Recipe("cnn", seed=13, depth=5, width=16, epochs=6),
        Recipe("cnn", "mnist", seed=14, batch=64, epochs=6, **small),
        Recipe("cnn", "mnist", seed=15, batch=32, epochs=4, place="after", **small),
        Recipe("cnn", "mnist", seed=16, batch=64, epochs=8, library="normwise", **small),
        Recipe("cnn", "mnist", seed=17, batch=16, epochs=4, **small),
        Recipe("cnn", seed=18, width=32, depth=3, epochs=5, optimizer="adamw", decay=0.01),
    ]


def _residual() -> list[Recipe]:
    small: Any = {"width": 8, "depth": 3}
    return [
        Recipe("resnet", **small),
        Recipe("resnet", seed=1, library="normwise", **small),
        Recipe("resnet", seed=2, batch=16, epochs=3, optimizer="adam", **small),
        Recipe("resnet", seed=3, batch=64, epochs=8, decay=5e-4, **small),
        Recipe("resnet", seed=4, batch=128, epochs=12, **small),
        Recipe("resnet", seed=5, zero_scale=True, **small),
        Recipe("resnet", seed=6, batch=8, epochs=2, **small),
        Recipe("resnet", seed=7, augment=True, epochs=6, **small),
        Recipe("resnet", seed=8, momentum=0.01, batch=16, epochs=8, **small),
        Recipe("resnet", "mnist", seed=9, batch=64, epochs=3, **small),
        Recipe("resnet", "mnist", seed=10, batch=32, epochs=2, library="normwise", **small),
        Recipe("resnet", seed=11, width=16, depth=2, epochs=4, optimizer="adam"),
    ]


def _recurrent() -> list[Recipe]:
    adam: Any = {"optimizer": "adam", "width": 32}
    return [
        Recipe("lstm", epochs=20, **adam),
        Recipe("lstm", epochs=15, seed=1, place="last", **adam),
        Recipe("lstm", batch=16, epochs=12, seed=2, library="normwise", **adam),
        Recipe("lstm", batch=64, epochs=30, seed=3, **adam),
        Recipe("lstm", batch=8, epochs=6, seed=4, place="last", **adam),
        Recipe("lstm", batch=16, epochs=12, seed=5, momentum=0.01, **adam),
        Recipe("steps", epochs=15, **adam),
        Recipe("steps", batch=64, epochs=40, seed=1, library="normwise", **adam),
        Recipe("steps", batch=16, epochs=10, seed=2, width=32),
        Recipe("bn-lstm", epochs=8, seed=0, **adam),
        Recipe("bn-lstm", batch=64, epochs=12, seed=1, **adam),
        Recipe("bn-lstm", batch=16, epochs=5, seed=2, **adam),
    ]
