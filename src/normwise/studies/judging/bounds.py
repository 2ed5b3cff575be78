"""Words of a note that say that only a bound of an effect is known: a budget or a sweep ended before its end."""

LOWER, UPPER = "a lower bound", "an upper bound"
