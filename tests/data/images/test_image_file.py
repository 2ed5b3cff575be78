"""Images as cameras, browsers and editors save them: upright, or refused by name."""

import io
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image, PngImagePlugin

from normwise.data.images.image_file import SUFFIXES, image_of, read_pixels, resized
from normwise.errors import DataError

#: Six grey pixels that all differ, three wide and two high.
PIXELS = np.array([[0, 50, 100], [150, 200, 250]], dtype=np.uint8)
#: How the pixels are stored for each orientation, by the definition in EXIF: where the 0th row and column are.
STORED = {
    1: PIXELS,
    2: PIXELS[:, ::-1],
    3: PIXELS[::-1, ::-1],
    4: PIXELS[::-1],
    5: PIXELS.T,
    6: PIXELS.T[::-1],
    7: PIXELS.T[::-1, ::-1],
    8: PIXELS.T[:, ::-1],
}


def _saved(path: Path, pixels: np.ndarray, **options: object) -> Path:
    # Blocks of 16 pixels, so that what a JPEG blurs does not reach their middles.
    large = np.ascontiguousarray(np.kron(pixels, np.ones((16, 16), np.uint8)))
    Image.fromarray(large).save(path, **options)  # pyright: ignore[reportArgumentType]
    return path


def _middles(pixels: np.ndarray) -> np.ndarray:
    grey = pixels if pixels.ndim == 2 else pixels[..., 1]
    return grey[8::16, 8::16].astype(int)


def _oriented(value: object) -> Image.Exif:
    exif = Image.Exif()
    exif[0x0112] = value
    return exif


@pytest.mark.parametrize("orientation", STORED)
@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("a.jpg", {"quality": 95}),
        ("a.png", {}),
        ("a.webp", {"lossless": True}),
        ("a.tif", {}),
        ("a.tiff", {"compression": "tiff_lzw"}),
    ],
)
def test_an_image_of_a_turned_camera_is_turned(
    name: str, options: dict[str, object], orientation: int, tmp_path: Path
) -> None:
    path = _saved(tmp_path / name, STORED[orientation], exif=_oriented(orientation), **options)
    np.testing.assert_allclose(_middles(read_pixels(path)), PIXELS, atol=6)


def test_an_image_is_turned_before_it_is_resized(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    Image.fromarray(STORED[6].copy()).save(path, exif=_oriented(6))
    assert torch.equal(image_of(path, (1, 2, 3))[0].mul(255).round(), torch.from_numpy(PIXELS).float())
    assert torch.equal(
        image_of(path, (1, 3, 2))[0].mul(255).round(), torch.from_numpy(resized(PIXELS, 3, 2)).float()
    )


def test_an_orientation_in_xmp_counts_too(tmp_path: Path) -> None:
    xmp = '<rdf:Description xmlns:tiff="http://ns.adobe.com/tiff/1.0/" tiff:Orientation="3"/>'
    text = PngImagePlugin.PngInfo()
    text.add_itxt("XML:com.adobe.xmp", xmp)
    path = _saved(tmp_path / "a.png", STORED[3], pnginfo=text)
    np.testing.assert_array_equal(_middles(read_pixels(path)), PIXELS)


@pytest.mark.parametrize(
    "exif", [b"Exif\0\0nonsense", b"\xff" * 20, b"", _oriented(9).tobytes(), _oriented(0).tobytes()]
)
def test_an_orientation_that_says_nothing_leaves_the_image(exif: bytes, tmp_path: Path) -> None:
    path = _saved(tmp_path / "a.png", PIXELS, exif=exif)
    np.testing.assert_array_equal(_middles(read_pixels(path)), PIXELS)


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_every_kind_that_is_read_is_read(suffix: str, tmp_path: Path) -> None:
    pixels = PIXELS if suffix != ".pbm" else (PIXELS > 120)
    path = tmp_path / f"a{suffix}"
    Image.fromarray(np.kron(pixels, np.ones((16, 16), pixels.dtype))).save(path)
    expected = pixels if suffix != ".pbm" else pixels * 255
    np.testing.assert_allclose(_middles(read_pixels(path)), expected, atol=8)


def test_the_content_says_what_it_is_and_not_the_name(tmp_path: Path) -> None:
    _saved(tmp_path / "a.webp", PIXELS, lossless=True).rename(tmp_path / "a.png")
    np.testing.assert_allclose(_middles(read_pixels(tmp_path / "a.png")), PIXELS, atol=2)


@pytest.mark.parametrize("name", ["a.gif", "a.png", "a.webp", "a.tif"])
def test_several_frames_are_refused(name: str, tmp_path: Path) -> None:
    frames = [Image.fromarray(np.full((4, 4, 3), value, np.uint8)) for value in (0, 128, 255)]
    frames[0].save(tmp_path / name, save_all=True, append_images=frames[1:])
    with pytest.raises(DataError, match=rf"{name}: has several frames or pages; save one of them"):
        read_pixels(tmp_path / name)


def test_of_a_phone_s_jpeg_of_several_pictures_the_photograph_is_read(tmp_path: Path) -> None:
    photograph, preview = (Image.fromarray(np.full((16, 16), value, np.uint8)) for value in (200, 10))
    photograph.save(tmp_path / "a.mpo", save_all=True, append_images=[preview], exif=_oriented(1))
    (tmp_path / "a.mpo").rename(tmp_path / "a.jpg")
    assert read_pixels(tmp_path / "a.jpg").mean() == pytest.approx(200, abs=2)


def _deep_png(channels: int) -> bytes:
    """A PNG of 16 bits a colour; Pillow writes none in colour."""
    rows = b"".join(b"\0" + bytes(range(2 * channels * 3)) for _ in range(2))
    kind = {1: 0, 2: 4, 3: 2, 4: 6}[channels]

    def chunk(name: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))

    header = struct.pack(">IIBBBBB", 3, 2, 16, kind, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", header)
        + chunk(b"IDAT", zlib.compress(rows))
        + chunk(b"IEND", b"")
    )


def _deep_tiff(planar: int) -> bytes:
    """A TIFF of 16 bits a colour, in one plane or three, which Pillow does not write either."""
    tags = [
        (256, 3, 1, 2), (257, 3, 1, 1), (258, 3, 3, 200), (259, 3, 1, 1), (262, 3, 1, 2),
        (273, 4, 1, 300) if planar == 1 else (273, 4, 3, 220), (277, 3, 1, 3), (278, 3, 1, 1),
        (279, 4, 1, 12) if planar == 1 else (279, 4, 3, 240), (284, 3, 1, planar),
    ]  # fmt: skip
    content = bytearray(400)
    content[:10] = b"II*\0" + struct.pack("<IH", 8, len(tags))
    for number, (tag, kind, count, value) in enumerate(tags):
        struct.pack_into("<HHII", content, 10 + 12 * number, tag, kind, count, value)
    struct.pack_into("<HHH", content, 200, 16, 16, 16)
    struct.pack_into("<III", content, 220, 300, 304, 308)
    struct.pack_into("<III", content, 240, 4, 4, 4)
    return bytes(content)


@pytest.mark.parametrize(
    ("name", "content"),
    [
        *((f"{channels}.png", _deep_png(channels)) for channels in (1, 2, 3, 4)),
        ("16.ppm", b"P6 3 2 65535\n" + bytes(36)),
        ("16.pgm", b"P5 3 2 65535\n" + bytes(12)),
        ("10.ppm", b"P6 3 2 1023\n" + bytes(36)),
        ("plain.ppm", b"P3 1 1 65535\n0 1 2\n"),
        ("one plane.tif", _deep_tiff(1)),
        ("three planes.tif", _deep_tiff(2)),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_more_than_8_bits_a_colour_are_refused(name: str, content: bytes, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(DataError, match=rf"{name}: has pixels of more than 8 bits"):
        read_pixels(tmp_path / name)


@pytest.mark.parametrize("mode", ["I", "F", "I;16"])
def test_whole_and_float_images_are_refused(mode: str, tmp_path: Path) -> None:
    Image.new(mode, (3, 2)).save(tmp_path / "a.tif")
    with pytest.raises(DataError, match=r"a\.tif: has pixels of more than 8 bits"):
        read_pixels(tmp_path / "a.tif")


def test_fewer_than_8_bits_are_spread_over_0_to_255(tmp_path: Path) -> None:
    (tmp_path / "a.ppm").write_bytes(b"P5 3 1 3\n\0\1\3")
    assert read_pixels(tmp_path / "a.ppm").tolist() == [[0, 85, 255]]


def test_a_palette_and_cmyk_are_their_colours(tmp_path: Path) -> None:
    colours = np.array([[[255, 0, 0], [0, 255, 0], [0, 0, 255]]], np.uint8)
    Image.fromarray(colours).convert("P", palette=Image.Palette.ADAPTIVE).save(
        tmp_path / "a.png", transparency=0
    )
    np.testing.assert_allclose(read_pixels(tmp_path / "a.png").astype(int), colours, atol=4)
    Image.fromarray(colours).convert("CMYK").save(tmp_path / "a.tif")
    np.testing.assert_allclose(read_pixels(tmp_path / "a.tif").astype(int), colours, atol=1)


@pytest.mark.parametrize("side", [10_000, 65_500])
def test_more_pixels_than_pillow_lets_pass_are_refused_without_reading_them(
    side: int, tmp_path: Path
) -> None:
    small = io.BytesIO()
    Image.new("L", (1, 1)).save(small, "PNG")
    content = bytearray(small.getvalue())
    struct.pack_into(">II", content, 16, side, side)
    struct.pack_into(">I", content, 29, zlib.crc32(content[12:29]))
    (tmp_path / "a.png").write_bytes(content)
    with pytest.raises(DataError, match=r"a\.png: cannot be read as an image \(Image size .* exceeds limit"):
        read_pixels(tmp_path / "a.png")


@pytest.mark.parametrize(
    "content", [b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", b"8BPS\0\1", b"GIF89", b"text"]
)
def test_what_is_no_image_is_told_what_was_expected(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(content)
    with pytest.raises(DataError, match=r"a\.png: cannot be read as an image \(it is none of PNG, JPEG, BMP"):
        read_pixels(tmp_path / "a.png")
