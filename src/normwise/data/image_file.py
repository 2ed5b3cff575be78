"""One image in a file."""

from pathlib import Path

import numpy as np
from torch import Tensor

from normwise.data._pixels import unit_pixels
from normwise.errors import DataError

SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp")
_GREY_MODES = ("1", "L", "LA")


def image_of(path: str | Path, shape: tuple[int, ...]) -> Tensor:
    """The image in a file as float32 (C, H, W), 0 to 1, for a network that takes this shape.

    Colours are averaged to grey, as luma, where C is 1, and grey is repeated where it is 3.

    Raises:
        DataError: the file is damaged or no image, or it has another size; or C is neither 1 nor 3.
    """
    channels, height, width = shape
    if channels not in (1, 3):
        raise DataError(f"{path}: the network takes {channels} channels, and an image file has 1 or 3")
    pixels = read_pixels(Path(path), grey=channels == 1)
    if pixels.shape[:2] != (height, width):
        raise DataError(
            f"{path}: is {pixels.shape[1]}×{pixels.shape[0]} pixels, expected {width}×{height}; resize it"
        )
    return unit_pixels((pixels if channels == 1 else as_colour(pixels))[None])[0]


def read_pixels(path: Path, *, grey: bool = False) -> np.ndarray:
    """uint8, (H, W) of a grey image and, unless ``grey`` is asked for, (H, W, 3) of one in colour; 0 to 255.

    Raises:
        DataError: the file is damaged, no image, or has more than 8 bits a pixel.
    """
    from PIL import Image

    try:
        with Image.open(path) as image:
            image.load()
            mode = image.mode
            # 16-bit and float images have no fixed white, and Pillow would clip them without a word.
            if mode.startswith(("I", "F")):
                raise DataError(f"{path}: has pixels of more than 8 bits (mode {mode}); save it with 8 bits")
            if mode in _GREY_MODES:
                return np.array(image.convert("L"))
            # By way of RGBA, for Pillow warns when a transparent palette is dropped at once.
            colour = image.convert("RGBA").convert("RGB")
            return np.array(colour.convert("L") if grey else colour)
    except DataError:
        raise
    except (
        Exception
    ) as error:  # Pillow's decoders raise many types for damaged files, SyntaxError among them.
        raise DataError(f"{path}: cannot be read as an image ({error}); replace or remove it") from error


def as_colour(pixels: np.ndarray) -> np.ndarray:
    """(H, W, 3), grey repeated."""
    return pixels if pixels.ndim == 3 else np.repeat(pixels[..., None], 3, axis=-1)
