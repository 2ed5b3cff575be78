"""The part of a picture where things are drawn, in its units, and what stands around it."""

from normwise.report.figures.chart.labels import fits
from normwise.report.figures.chart.scale import Scale
from normwise.report.figures.chart.words import Translation

WIDTH = 360
LEFT, TOP = 44, 24
#: Height of a picture whose horizontal axis has numbers, and the room below that axis.
_HEIGHT, _FOOT = 250, 38
#: Room where names stand below the axis in two lines; longer ones stand steeply, at so many degrees, and need so much
#: for each letter.
_FOOT_OF_NAMES = 46
STEEP, STEEP_LETTERS, _STEEP_RISE = 60, 17, 4.8
#: Room for names behind the ends of the lines.
_RIGHT = 118
#: Height of the row of runs that failed.
FAILED = 16
#: Width of a letter.
_LETTER = 6


class Area:
    """The part of the picture where things are drawn, in its units."""

    def __init__(self, x: Scale, y: Scale, failed: float, chinese: Translation):
        self.x_scale, self.y_scale, self.right = x, y, WIDTH - _RIGHT
        self.chinese = chinese
        #: Room of a category below the axis.
        self.room = (self.right - LEFT) / max(len(x.categories), 1)
        self.steep = not all(fits(name, self.letters, 2) for name in x.categories)
        longest = max((min(len(name), STEEP_LETTERS) for name in x.categories), default=0)
        foot_of_names = 24 + _STEEP_RISE * longest if self.steep else _FOOT_OF_NAMES
        foot = foot_of_names if x.categories else _FOOT
        self.height = _HEIGHT - _FOOT + foot
        #: Heights of the axis, and of the lowest value: between them runs stand that failed.
        self.axis, self.bottom = _HEIGHT - _FOOT, _HEIGHT - _FOOT - failed

    @property
    def letters(self) -> int:
        """Return how many letters a category has room for."""
        return max(int(self.room / _LETTER), 3)

    def x(self, value: float | str) -> float | None:
        """Return the horizontal place of a value; None where it has none."""
        place = self.x_scale.place(value)
        return None if place is None else round(LEFT + place * (self.right - LEFT), 1)

    def y(self, value: float) -> float | None:
        """Return the height of a value; None where it has none."""
        place = self.y_scale.place(value)
        if place is None:
            return None
        return round(self.bottom - min(max(place, 0.0), 1.0) * (self.bottom - TOP), 1)

    def end(self, value: float) -> float | None:
        """Return the height of an end of a spread; of one that the axis does not have, the foot."""
        return float(self.bottom) if self.y_scale.log and value <= 0 else self.y(value)
