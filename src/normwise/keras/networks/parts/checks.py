"""Checks of shapes and options that several networks take."""

from normwise.errors import ModelError

#: Height, width, channels.
ImageShape = tuple[int, int, int]


def require_size(network: str, shape: ImageShape, least: int) -> None:
    """Raise ModelError unless the images are at least ``least`` pixels high and wide."""
    height, width, _ = shape
    if min(height, width) < least:
        raise ModelError(
            f"{network} needs images of at least {least}×{least} pixels, got {height}×{width}; "
            "use larger images, or dense_bn, which takes any"
        )


def check_dropout(network: str, dropout: float) -> None:
    """Raise ModelError unless it is a probability below 1."""
    if not 0 <= dropout < 1:
        raise ModelError(f"{network}: dropout must be at least 0 and below 1, got {dropout}")
