"""A fault that is planted into copies of healthy models, and the code that the doctor is to give it."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from torch import nn

from benchmarks.doctor_calibration.recipes import Kind, Recipe
from benchmarks.doctor_calibration.trained import Trained
from normwise.doctor import Case

FEED_FORWARD: tuple[Kind, ...] = ("dense", "cnn", "resnet")
WITH_UNITS: tuple[Kind, ...] = ("dense", "cnn")
SEQUENCES: tuple[Kind, ...] = ("lstm", "steps")
ALL: tuple[Kind, ...] = (*FEED_FORWARD, *SEQUENCES)


@dataclass(frozen=True)
class Plant:
    """A fault, and the models that get it.

    Attributes:
        code: Code of the rule that is to find it.
        fault: The fault in words.
        make: Makes the sick model and what the doctor gets with it.
        kinds: Networks that it is planted into.
        models: Number of models.
        suits: Says whether a recipe's model can have it.
    """

    code: str
    fault: str
    make: Callable[[Trained], Case]
    kinds: tuple[Kind, ...]
    models: int
    suits: Callable[[Recipe], bool]

    def chosen(self, recipes: Sequence[Recipe]) -> list[Recipe]:
        """Return the recipes whose models get it: different ones for different faults, and all kinds in turn.

        Those of a usual momentum, since many faults are followed by some steps of training.
        """
        usual = [one for one in recipes if one.momentum == 0.1 and self.suits(one)]
        pools = [[one for one in usual if one.kind == kind] for kind in self.kinds]
        pools = [pool for pool in pools if pool]
        shift = sum(map(ord, self.code + self.fault))
        found: list[Recipe] = []
        for number in range(self.models if pools else 0):
            pool = pools[(shift + number) % len(pools)]
            one = pool[(shift // len(pools) + number // len(pools)) % len(pool)]
            if one not in found:
                found.append(one)
        return found


class Plants:
    """The faults of one family."""

    def __init__(self) -> None:
        self.found: list[Plant] = []

    def add(
        self,
        code: str,
        fault: str,
        ways: Mapping[str, Any] | None = None,
        *,
        on: tuple[Kind, ...] = ALL,
        models: int = 4,
        suits: Callable[[Recipe], bool] = lambda recipe: True,
    ) -> Callable[[Callable[..., Case]], Callable[..., Case]]:
        """Add the decorated function, which makes a case of a trained model, once for each way.

        Args:
            code: Code that is expected.
            fault: The fault in words.
            ways: Values of its second argument by words that say them; None where it has none.
            on, models, suits: As :class:`Plant` has them.
        """

        def add(make: Callable[..., Case]) -> Callable[..., Case]:
            for words, value in (ways or {"": None}).items():
                chosen = make if ways is None else _with(make, value)
                self.found.append(Plant(code, f"{fault} {words}".strip(), chosen, on, models, suits))
            return make

        return add


def _with(make: Callable[..., Case], value: Any) -> Callable[[Trained], Case]:
    return lambda base: make(base, value)


def norms(model: nn.Module) -> dict[str, nn.modules.batchnorm._BatchNorm]:
    """Return the BN layers of torch's classes and ours by path."""
    return {
        path: module
        for path, module in model.named_modules()
        if isinstance(module, nn.modules.batchnorm._BatchNorm)
    }


def weighted_before_norms(model: nn.Module) -> dict[str, tuple[nn.Linear | nn.Conv2d, nn.Module]]:
    """Return the linear layers and convolutions of units, each with its BN layer, by the path of the unit."""
    return {
        path: (module.weighted, module.norm)  # type: ignore[misc]
        for path, module in model.named_modules()
        if hasattr(module, "weighted")
    }


def before_activation(recipe: Recipe) -> bool:
    """Return whether BN comes straight after a layer without a bias."""
    return recipe.place == "before" and not recipe.bias
