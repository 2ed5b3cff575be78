"""Lines without the points that make no visible difference: a page holds hundreds of them."""

from collections.abc import Sequence

Place = tuple[float, float]

#: Farthest that a point may lie from the line that is drawn instead, in the picture's units.
_TOLERANCE = 0.25


def simplified(places: Sequence[Place]) -> list[Place]:
    """Return the line through fewer of its points, which nowhere moves by more than a quarter of a unit.

    Reference: Douglas & Peucker 1973, Algorithms for the reduction of the number of points required to represent a
    digitized line or its caricature.
    """
    if len(places) < 3:
        return list(places)
    kept = {0, len(places) - 1}
    stretches = [(0, len(places) - 1)]
    while stretches:
        first, last = stretches.pop()
        distances = [_distance(places[i], places[first], places[last]) for i in range(first + 1, last)]
        farthest = max(distances, default=0.0)
        if farthest > _TOLERANCE:
            middle = first + 1 + distances.index(farthest)
            kept.add(middle)
            stretches += [(first, middle), (middle, last)]
    return [places[i] for i in sorted(kept)]


def path(places: Sequence[Place]) -> str:
    """Return the line as SVG writes it."""
    return "M" + "L".join(f"{x:g} {y:g}" for x, y in places)


def _distance(point: Place, start: Place, end: Place) -> float:
    """Return the distance of a point from the segment between two others."""
    along = (end[0] - start[0], end[1] - start[1])
    to_point = (point[0] - start[0], point[1] - start[1])
    length = along[0] ** 2 + along[1] ** 2
    part = 0.0 if length == 0 else (along[0] * to_point[0] + along[1] * to_point[1]) / length
    part = min(max(part, 0.0), 1.0)
    aside = (to_point[0] - part * along[0], to_point[1] - part * along[1])
    return float((aside[0] ** 2 + aside[1] ** 2) ** 0.5)
