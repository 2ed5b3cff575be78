"""From finished runs to verdicts: selection, intervals, bounds, series and figures."""
