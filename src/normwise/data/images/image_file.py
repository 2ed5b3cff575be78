"""One image in a file."""

import warnings
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, NamedTuple

import numpy as np
from torch import Tensor

from normwise.data.files.user_file import opened
from normwise.data.images.image_data import unit_pixels
from normwise.errors import DataError
from normwise.extras import needs_extra

if TYPE_CHECKING:
    from PIL.Image import Image

SUFFIXES = (
    *(".png", ".jpg", ".jpeg", ".jpe", ".jfif", ".bmp", ".gif", ".tif", ".tiff", ".webp"),
    *(".pbm", ".pgm", ".ppm", ".pnm"),
)
# The only decoders that are tried, whatever the file is called: others run programs or have no pixels of their own.
_FORMATS = ("PNG", "JPEG", "BMP", "GIF", "TIFF", "WEBP", "PPM")
_GREY_MODES = ("1", "L", "LA")
_LARGEST = 2**30
_ORIENTATION, _BITS_PER_SAMPLE = 0x0112, 0x0102


class ReadImage(NamedTuple):
    """A still image, as :func:`read_image` returns it.

    Attributes:
        pixels: uint8, 0 to 255, (H, W) if it is grey and (H, W, 3) if not.
        mode: Pillow's name of how the file stores colours, such as "L" (grey), "RGBA" or "P" (palette).
        transparent: Whether the file makes any pixel transparent, which ``pixels`` leave out.
    """

    pixels: np.ndarray
    mode: str
    transparent: bool


def image_of(path: str | Path, shape: tuple[int, ...]) -> Tensor:
    """Return the image in a file as float32 (C, H, W), 0 to 1, for a network that takes this shape.

    Colours are averaged to grey, as luma, where C is 1, and grey is repeated where it is 3. An image of another size is
    resized, as :func:`resized` does it.

    Raises:
        DataError: as :func:`read_pixels`; or C is neither 1 nor 3.
    """
    if len(shape) != 3:
        raise DataError(f"{path}: the network takes inputs of shape {shape}, expected (C, H, W) of images")
    channels, height, width = shape
    if channels not in (1, 3):
        raise DataError(f"{path}: the network takes {channels} channels, and an image file has 1 or 3")
    pixels = resized(read_pixels(Path(path), grey=channels == 1), height, width)
    return unit_pixels((pixels if channels == 1 else as_colour(pixels))[None])[0]


def read_pixels(path: Path, *, grey: bool = False) -> np.ndarray:
    """Return the pixels alone of what :func:`read_image` returns."""
    return read_image(path, grey=grey).pixels


def read_image(path: Path, *, grey: bool = False) -> ReadImage:
    """Return a still image upright, made grey if that is asked for.

    PNG, JPEG, BMP, GIF, TIFF, WebP, PBM, PGM or PPM, told by the content and not by the name. An image that says by its
    orientation tag (EXIF, or that of XMP) that it was taken by a turned camera is turned as viewers do. Transparency is
    dropped: a transparent pixel has the colour that the file stores for it.

    Raises:
        DataError: the file is damaged, no image or no regular file; it has more than 8 bits a colour, several frames,
            or more pixels than Pillow lets pass.
    """
    with needs_extra("study", "reading an image file"):
        from PIL import UnidentifiedImageError

    with opened(path, _LARGEST) as file, warnings.catch_warnings():
        # Pillow warns of damaged metadata, which are none of the pixels.
        warnings.simplefilter("ignore")
        try:
            return _read(path, file, grey)
        except DataError:
            raise
        except UnidentifiedImageError as error:
            raise DataError(
                f"{path}: cannot be read as an image (it is none of {', '.join(_FORMATS)}); replace or remove it"
            ) from error
        # Pillow's decoders raise many types for damaged files, SyntaxError among them.
        except Exception as error:
            what = str(error) or type(error).__name__
            raise DataError(f"{path}: cannot be read as an image ({what}); replace or remove it") from error


def resized(pixels: np.ndarray, height: int, width: int) -> np.ndarray:
    """Return uint8 pixels in another size: each is the mean of those that it covers, linearly weighted.

    Height and width are scaled by themselves, so that nothing is cut off.
    """
    if pixels.shape[:2] == (height, width):
        return pixels
    from PIL import Image

    return np.array(Image.fromarray(pixels).resize((width, height), Image.Resampling.BILINEAR))


def as_colour(pixels: np.ndarray) -> np.ndarray:
    """Return (H, W, 3), grey repeated."""
    return pixels if pixels.ndim == 3 else np.repeat(pixels[..., None], 3, axis=-1)


def _read(path: Path, file: BinaryIO, grey: bool) -> ReadImage:
    from PIL import Image

    # Of an image with more pixels than this Pillow only warns, up to twice as many.
    warnings.simplefilter("error", Image.DecompressionBombWarning)
    with Image.open(file, formats=_FORMATS) as image:
        # A JPEG of several pictures has the photograph first, and then its previews.
        if image.format != "MPO" and getattr(image, "is_animated", False):
            raise DataError(f"{path}: has several frames or pages; save one of them as a still image")
        # 16-bit and float images have no fixed white, and Pillow would clip them, or drop bits of colours, in silence.
        if image.mode.startswith(("I", "F")) or _is_deep(image):
            raise DataError(f"{path}: has pixels of more than 8 bits a colour; save it with 8 bits")
        image.load()
        upright = _upright(image)
        transparent = _is_transparent(upright)
        if upright.mode in _GREY_MODES:
            return ReadImage(np.array(upright.convert("L")), image.mode, transparent)
        # By way of RGBA, for Pillow warns when a transparent palette is dropped at once.
        colour = upright.convert("RGBA").convert("RGB")
        return ReadImage(np.array(colour.convert("L") if grey else colour), image.mode, transparent)


def _is_transparent(image: "Image") -> bool:
    if not image.mode.endswith(("A", "a")) and "transparency" not in image.info:
        return False
    return bool(np.array(image.convert("RGBA"))[..., 3].min() < 255)


def _is_deep(image: "Image") -> bool:
    """Return whether a colour has more than 8 bits in the file, which Pillow would drop."""
    if image.format == "TIFF":
        return max(image.tag_v2.get(_BITS_PER_SAMPLE, (1,))) > 8  # pyright: ignore[reportAttributeAccessIssue]
    for tile in getattr(image, "tile", ()):
        layout, *more = tile.args if isinstance(tile.args, tuple) else (tile.args,)
        # "RGB;16B" of a PNG; of a portable pixmap its largest number.
        if (isinstance(layout, str) and ";16" in layout) or (
            image.format == "PPM" and more and more[0] > 255
        ):
            return True
    return False


def _upright(image: "Image") -> "Image":
    from PIL.Image import Transpose

    try:
        # Of a TIFF it is 1 by now: Pillow turns that when it is loaded.
        orientation = image.getexif().get(_ORIENTATION, 1)
    # Metadata that can't be parsed don't say that the camera was turned, and viewers show the image as it is.
    except Exception:
        return image
    turn = {
        2: Transpose.FLIP_LEFT_RIGHT,
        3: Transpose.ROTATE_180,
        4: Transpose.FLIP_TOP_BOTTOM,
        5: Transpose.TRANSPOSE,
        6: Transpose.ROTATE_270,
        7: Transpose.TRANSVERSE,
        8: Transpose.ROTATE_90,
    }
    return image.transpose(turn[orientation]) if orientation in turn else image
