"""Whether an image is large enough for a network."""

from normwise.errors import ModelError

#: Channels, height, width.
ImageShape = tuple[int, int, int]


def require_size(network: str, shape: ImageShape, least: int) -> None:
    """Raise ModelError unless the images are at least ``least`` pixels high and wide."""
    _, height, width = shape
    if height < least or width < least:
        raise ModelError(
            f"{network} needs images of at least {least}×{least} pixels, got {height}×{width}; "
            "use larger images, or dense_bn or ioffe_mlp, which take any"
        )
