"""Figures of an examination: each layer's statistics, the noise of batches, the flow of activations, dead channels."""

import math
from collections.abc import Callable, Sequence

from normwise.records import Examination, Figure, LayerHealth, Series
from normwise.records.doctor.examination_text import shown_path
from normwise.report.figures.layer_figure import LayerFigure

#: Error of normalised values, in σ, up to which running statistics are fine, however little the batches scatter.
FINE_ERROR = 0.15
_ERROR, _DEAD, _MEAN, _DEVIATION, _REFERENCE, _AFTER = 0, 1, 3, 0, 6, 2
_X_LABEL = "BN layer, from input to output"


def examination_figures(
    examination: Examination, after: Examination | None = None
) -> tuple[LayerFigure, ...]:
    """Return a figure for each idea of which anything was measured.

    Args:
        examination: The examination.
        after: Examination of the same model after the fixes, drawn in the same figures.
    """
    before, healed = measured_layers(examination), measured_layers(after) if after else []
    if not before:
        return ()
    figures = [_statistics(before, healed), _noise(before), _flow(before, healed)]
    if any(layer.dead > 0 for layer in before):
        figures.append(_dead(before))
    return tuple(one for one in figures if one.figure.series)


def measured_layers(examination: Examination) -> list[LayerHealth]:
    """Return the layers that were reached, in the order of their calls."""
    reached = [layer for layer in examination.layers if not math.isnan(layer.input_deviation)]
    return sorted(reached, key=lambda layer: layer.depth)


def _statistics(before: Sequence[LayerHealth], healed: Sequence[LayerHealth]) -> LayerFigure:
    if healed:
        series = [
            _series("before", _ERROR, before, lambda layer: layer.error),
            _series("after", _AFTER, healed, lambda layer: layer.error),
        ]
    else:
        series = [_series("error of normalised values", _ERROR, before, lambda layer: layer.error)]
    figure = Figure(
        "statistics",
        "Running against exact statistics",
        "Distance of the normalised values in evaluation from those with the exact statistics of the data: the root "
        "mean square over channels. A healthy model lies in the green band, or above it by no more than batches "
        "scatter. The scale is the same for every model; points at its ends may lie beyond it.",
        _X_LABEL,
        "error (σ of the data)",
        _known(series),
        y_log=True,
        lines=False,
    )
    return LayerFigure(figure, 0.01, 100, "σ", FINE_ERROR)


def _noise(layers: Sequence[LayerHealth]) -> LayerFigure:
    series = [
        _series("noise of the batches' means", _ERROR, layers, lambda layer: layer.noise),
        _series("1/√n for n values per channel", _REFERENCE, layers, _independent),
    ]
    figure = Figure(
        "noise",
        "Noise of batch statistics",
        "Scatter of the batches' means, the median over channels. Training normalises by these means, so this noise "
        "shifts the values of each batch. It would be 1/√n for n independent values. Values of one image are "
        "similar, which makes it greater; BN layers before remove differences between batches, which makes it "
        "smaller.",
        _X_LABEL,
        "noise (σ of the data)",
        _known(series),
        y_log=True,
        lines=False,
    )
    return LayerFigure(figure, 0.001, 10, "σ")


def _flow(before: Sequence[LayerHealth], healed: Sequence[LayerHealth]) -> LayerFigure:
    series = [
        _series("mean", _MEAN, before, lambda layer: layer.input_mean),
        _series("deviation", _DEVIATION, before, lambda layer: layer.input_deviation),
    ]
    if healed:
        series.append(_series("deviation after", _AFTER, healed, lambda layer: layer.input_deviation))
    figure = Figure(
        "flow",
        "Flow of activations",
        "Mean and standard deviation of what each BN layer gets, the root mean square over channels. A line that "
        "climbs or falls by powers of ten is a signal that explodes or vanishes; a mean far above the deviation costs "
        "digits in half precision.",
        _X_LABEL,
        "input of the layer",
        _known(series),
        y_log=True,
    )
    values = [v for one in figure.series for v in one.y if math.isfinite(v) and v > 0]
    low, high = min([1e-3, *values]), max([1e3, *values])
    return LayerFigure(figure, 10.0 ** math.floor(math.log10(low)), 10.0 ** math.ceil(math.log10(high)))


def _dead(layers: Sequence[LayerHealth]) -> LayerFigure:
    figure = Figure(
        "dead",
        "Dead channels",
        "Share of channels whose input is the same for all data: they carry no information.",
        _X_LABEL,
        "dead channels",
        _known([_series("dead channels", _DEAD, layers, lambda layer: layer.dead)]),
        y_percent=True,
        lines=False,
    )
    return LayerFigure(figure, 0, 1)


def _series(
    label: str, style: int, layers: Sequence[LayerHealth], of: Callable[[LayerHealth], float]
) -> Series:
    names = tuple(shown_path(layer.path) for layer in layers)
    return Series(label, names, tuple(of(layer) for layer in layers), style=style)


def _known(series: Sequence[Series]) -> tuple[Series, ...]:
    return tuple(one for one in series if not all(map(math.isnan, one.y)))


def _independent(layer: LayerHealth) -> float:
    return layer.values**-0.5 if layer.values > 0 and not math.isnan(layer.noise) else math.nan
