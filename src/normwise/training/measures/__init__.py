"""Quantities that a run can measure besides its accuracy, at every evaluation or once at its end."""

from normwise.training.measures.by_name import AT_EVERY_POINT, AT_THE_END, Measure, check_measures

__all__ = ["AT_EVERY_POINT", "AT_THE_END", "Measure", "check_measures"]
