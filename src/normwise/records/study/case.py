"""A case of a claim: one network, or one condition, with the effect that was measured and its outcome."""

import math
from dataclasses import dataclass
from typing import Literal

from normwise.records.study.wording import Bilingual

#: What a case says about its claim: shown, where the effect is larger than what matters; refuted, where it is smaller;
#: reversed, where the contrary is larger than what matters; open, where its interval leaves that undecided.
Outcome = Literal["shown", "refuted", "reversed", "open"]
#: Kind of network, which has a shape of its own in the plot.
Family = Literal["dense", "convolution", "recurrent", "deep"]


@dataclass(frozen=True)
class Effect:
    """A number with its confidence interval over seeds.

    Attributes:
        name: Name of the measured quantity.
        unit: Unit, such as "times", "percentage points" or "decades"; empty for a plain number.
        estimate, low, high: The estimate and the ends of the interval. Both ends are NaN where one seed
            alone was measured; one is infinite where a budget ended too early to see it.
        level: Confidence of the interval.
        seeds: Number of seeds.
        note: What a reader must know to read it, such as a value that the budget cut off; else empty.
    """

    name: str
    unit: str
    estimate: float
    low: float
    high: float
    level: float
    seeds: int
    note: str = ""

    def __post_init__(self) -> None:
        # A file has no infinity and says the same of it as of NaN; an interval of which one end is known has the other.
        if math.isnan(self.high) and math.isfinite(self.low):
            object.__setattr__(self, "high", math.inf)
        if math.isnan(self.low) and math.isfinite(self.high):
            object.__setattr__(self, "low", -math.inf)

    @property
    def is_ratio(self) -> bool:
        """Tell whether no effect is 1, and not 0."""
        return self.unit == "times"


@dataclass(frozen=True)
class Case:
    """One network, or another condition that a claim was tested under.

    Attributes:
        name: Name of the network or condition.
        gloss: Description for a reader who does not know the name, such as "3 sigmoid layers".
        family: Kind of network.
        effect: Measured effect, above 0 (a ratio: above 1) if the claim is right.
        smallest: Smallest effect that matters, in the same unit; of a ratio above 1.
        outcome: Outcome for the claim.
        exact: Whether the case is an identity, without an interval.
        seeds_needed: Estimated number of seeds that would decide an open case, if fewer than a thousand.
    """

    name: str
    gloss: Bilingual
    family: Family
    effect: Effect
    smallest: float
    outcome: Outcome
    exact: bool = False
    seeds_needed: int | None = None

    @property
    def position(self) -> tuple[float, float, float]:
        """Return estimate and interval in units of the smallest effect that matters; a ratio by its logarithm."""
        ends = (self.effect.estimate, self.effect.low, self.effect.high)
        # A file may have any number here.
        unit = _log(self.smallest) if self.effect.is_ratio else self.smallest
        if not 0 < unit < math.inf:
            return math.nan, math.nan, math.nan
        estimate, low, high = (_log(value) / unit if self.effect.is_ratio else value / unit for value in ends)
        return estimate, low, high

    @property
    def is_bound(self) -> bool:
        """Tell whether the effect may be larger, or smaller, by any amount than anything measured."""
        return any(map(math.isinf, self.position[1:])) or math.isnan(self.effect.estimate)


def _log(value: float) -> float:
    return math.log(value) if value > 0 or math.isnan(value) else -math.inf
