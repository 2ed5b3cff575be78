"""Texts of the page of an operation on a model: what it did on the whole, and to each layer."""

from normwise.records import (
    Acceleration,
    BiasRemoval,
    Calibration,
    Change,
    Conversion,
    Folding,
    Freezing,
    Insertion,
    LayerCalibration,
    LayerChange,
    PortedLayer,
    Porting,
)

OPERATION_HEADER = ("Layer", "Class", "Outcome")

Operation = Acceleration | BiasRemoval | Calibration | Conversion | Folding | Freezing | Insertion | Porting
_TITLES = {
    Acceleration: "Faster layers",
    BiasRemoval: "Biases removed",
    Calibration: "Running statistics from data",
    Conversion: "Normalisation converted",
    Folding: "Batch normalization folded",
    Freezing: "Statistics fixed",
    Insertion: "Batch normalization inserted",
    Porting: "Weights moved",
}
_Layer = Change | LayerCalibration | LayerChange | PortedLayer


def operation_title(record: Operation) -> str:
    """Return the title of the page."""
    if isinstance(record, Freezing) and not record.frozen:
        return "Statistics learn again"
    return _TITLES[type(record)]


def operation_summary(record: Operation) -> tuple[str, ...]:
    """Return what the report says on the whole, in paragraphs."""
    if isinstance(record, Calibration):
        return record.headline, *record.notes
    # Each layer has a line of its own before that.
    return tuple(str(record).splitlines()[len(_layers(record)) :])


def operation_rows(record: Operation) -> tuple[tuple[str, ...], ...]:
    """Return a row for each layer, as ``OPERATION_HEADER`` says."""
    if isinstance(record, Freezing):
        outcome = "frozen" if record.frozen else "learns again"
        return tuple((path or "the model", "", outcome) for path in record.layers)
    return tuple(_row(layer) for layer in _layers(record))


def _layers(record: Operation) -> tuple[_Layer, ...]:
    if isinstance(record, Freezing):
        return ()
    if isinstance(record, (Acceleration, Calibration, Porting)):
        return record.layers
    return record.changes


def _row(layer: _Layer) -> tuple[str, ...]:
    if isinstance(layer, LayerChange):
        return layer.path or "the model", layer.kind, layer.outcome
    name = f"{layer.source} → {layer.target}" if isinstance(layer, PortedLayer) else layer.path
    return name or "the model", layer.kind, str(layer).split(f" ({layer.kind}): ", 1)[-1]
