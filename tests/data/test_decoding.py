"""Pictures are decoded as every viewer shows them."""

from __future__ import annotations

import io
import struct
import zlib

import numpy as np
import pytest
from PIL import Image

from sdn_lib.data import photographs
from sdn_lib.data.photographs import decoding
from sdn_lib.errors import SDNError

DRAW = np.random.default_rng(0)
RGB = DRAW.integers(0, 256, (6, 9, 3), np.uint8)
GREY = np.arange(0, 256, 5, np.uint8)[:50].reshape(5, 10)


def shown(path):
    image = decoding.decode(path)
    assert image.mode == "RGB"
    return np.asarray(image)


def chunk(kind, content):
    return (
        struct.pack(">I", len(content))
        + kind
        + content
        + struct.pack(">I", zlib.crc32(kind + content))
    )


def png(depth, colour, size, rows, *extra):
    """A PNG of the depths that Pillow does not write; `rows` are the packed bytes of each row."""
    header = struct.pack(">IIBBBBB", *size, depth, colour, 0, 0, 0)
    data = zlib.compress(b"".join(b"\0" + row for row in rows))
    body = [chunk(b"IHDR", header), *extra, chunk(b"IDAT", data), chunk(b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(body)


# --- upright --------------------------------------------------------------------------------------

UPRIGHT = {
    None: lambda a: a,
    1: lambda a: a,
    2: lambda a: a[:, ::-1],
    3: lambda a: a[::-1, ::-1],
    4: lambda a: a[::-1],
    5: lambda a: a.transpose(1, 0, 2),
    6: lambda a: np.rot90(a, -1),
    7: lambda a: np.rot90(a, 2).transpose(1, 0, 2),
    8: lambda a: np.rot90(a),
    9: lambda a: a,
}


@pytest.mark.parametrize("ending", ["png", "tif", "webp", "jpg"])
@pytest.mark.parametrize("tag", UPRIGHT)
def test_orientation(tmp_path, tag, ending):
    exif = Image.Exif()
    if tag is not None:
        exif[0x0112] = tag
    blocks = np.kron(RGB[:2, :3], np.ones((16, 16, 1), np.uint8))
    path = tmp_path / f"a.{ending}"
    options = {"jpg": {"quality": 100, "subsampling": 0}, "webp": {"lossless": True}}
    Image.fromarray(blocks).save(path, exif=exif, **options.get(ending, {}))
    expected = UPRIGHT[tag](blocks)
    found = shown(path)
    assert found.shape == expected.shape
    assert np.abs(found.astype(int) - expected).max() <= (12 if ending == "jpg" else 0)


def test_a_damaged_tag_turns_nothing(tmp_path):
    for number, exif in enumerate((b"Exif\0\0garbage", b"Exif\0\0II*\0\x08\0\0\0\xff\xff\x12\x01")):
        path = tmp_path / f"{number}.jpg"
        Image.fromarray(RGB).save(path, exif=exif)
        Image.fromarray(RGB).save(tmp_path / "plain.jpg")
        np.testing.assert_array_equal(shown(path), shown(tmp_path / "plain.jpg"))


def test_boxes_are_measured_before_a_picture_is_turned(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(RGB).save(tmp_path / "a.png", exif=exif)
    found = decoding.decode(tmp_path / "a.png", lambda image: image.crop((1, 2, 5, 6)))
    np.testing.assert_array_equal(found, np.rot90(RGB[2:6, 1:5], -1))


# --- depths and modes -----------------------------------------------------------------------------


@pytest.mark.parametrize("ending", ["png", "tif", "pgm"])
def test_16_bits_of_grey(tmp_path, ending):
    path = tmp_path / f"a.{ending}"
    Image.fromarray(GREY.astype(np.uint16) * 257).save(path)
    np.testing.assert_array_equal(shown(path), np.repeat(GREY[..., None], 3, 2))


def test_16_bits_of_colour(tmp_path):
    path = tmp_path / "a.png"
    wide = (RGB.astype(">u2") * 257).astype(">u2")
    path.write_bytes(png(16, 2, (9, 6), [row.tobytes() for row in wide]))
    np.testing.assert_array_equal(shown(path), RGB)
    clear = chunk(b"tRNS", wide[0, 0].tobytes())
    path.write_bytes(png(16, 2, (9, 6), [row.tobytes() for row in wide], clear))
    expected = RGB.copy()
    expected[0, 0] = 255
    np.testing.assert_array_equal(shown(path), expected)


@pytest.mark.parametrize(
    "values",
    [
        GREY.astype(np.int32),
        GREY.astype(np.int32) * 257,
        GREY.astype(np.float32) / 255,
        GREY.astype(np.float32),
        GREY.astype(np.float32) * 257,
    ],
)
def test_32_bits(tmp_path, values):
    Image.fromarray(values).save(tmp_path / "a.tif")
    np.testing.assert_array_equal(shown(tmp_path / "a.tif")[..., 0], GREY)


@pytest.mark.parametrize("value", [np.nan, np.inf, -0.5, 1e12])
def test_32_bits_without_a_white_are_refused(tmp_path, value):
    Image.fromarray(np.full((3, 3), value, np.float32)).save(tmp_path / "a.tif")
    with pytest.raises(SDNError, match="a.tif: has values .*export it as JPEG or PNG"):
        decoding.decode(tmp_path / "a.tif")


def test_grey_whose_white_is_zero(tmp_path):
    path = tmp_path / "a.tif"
    Image.fromarray(GREY.astype(np.uint16) * 257).save(path, tiffinfo={262: 0})
    with Image.open(path) as file:
        assert file.tag_v2[262] == 0 and file.mode == "I;16"
    np.testing.assert_array_equal(shown(path)[..., 0], 255 - GREY)


def test_one_bit_grey_palette_and_lab(tmp_path):
    bits = GREY > 100
    Image.fromarray(bits).save(tmp_path / "one.png")
    np.testing.assert_array_equal(shown(tmp_path / "one.png")[..., 1], bits * 255)
    Image.fromarray(GREY).save(tmp_path / "grey.png")
    np.testing.assert_array_equal(shown(tmp_path / "grey.png")[..., 2], GREY)
    palette = Image.fromarray(RGB).quantize(64)
    palette.save(tmp_path / "palette.png")
    np.testing.assert_array_equal(shown(tmp_path / "palette.png"), palette.convert("RGB"))
    Image.new("LAB", (4, 4), (255, 128, 128)).save(tmp_path / "lab.tif")
    assert shown(tmp_path / "lab.tif").min() >= 250


def test_cmyk_of_printers_and_photoshop(tmp_path):
    red = Image.new("CMYK", (16, 16), (0, 255, 255, 0))
    for name in ("a.jpg", "a.tif"):
        red.save(tmp_path / name)
        assert np.abs(shown(tmp_path / name).astype(int) - (255, 0, 0)).max() < 6


# --- transparency ---------------------------------------------------------------------------------


def test_what_is_transparent_is_white(tmp_path):
    alpha = np.zeros((6, 9), np.uint8)
    alpha[:, 3:] = 255
    alpha[0, 8] = 102  # two fifths
    expected = np.where(alpha[..., None] == 0, 255, RGB)
    expected[0, 8] = np.rint(RGB[0, 8] * 0.4 + 255 * 0.6)
    for name in ("a.png", "a.webp", "a.tif"):
        Image.fromarray(np.dstack([RGB, alpha])).save(tmp_path / name, lossless=True)
        found = shown(tmp_path / name)
        assert np.abs(found.astype(int) - expected).max() <= 1
        assert (found[:, :3] == 255).all() and (found[1:, 3:] == RGB[1:, 3:]).all()
    Image.fromarray(np.dstack([RGB[..., 0], alpha]), "LA").save(tmp_path / "grey.png")
    found = shown(tmp_path / "grey.png")
    assert (found[:, :3] == 255).all() and (found[1:, 3:, 0] == RGB[1:, 3:, 0]).all()


@pytest.mark.parametrize("ending", ["png", "gif"])
def test_a_transparent_colour_of_a_palette(tmp_path, ending):
    image = Image.new("P", (4, 2), 0)
    image.putpalette([0, 0, 0, 10, 200, 30, 0, 0, 255])
    image.putpixel((1, 0), 1)
    image.putpixel((2, 1), 2)
    path = tmp_path / f"a.{ending}"
    image.save(path, transparency=0)
    found = shown(path)
    assert found[0, 1].tolist() == [10, 200, 30] and found[1, 2].tolist() == [0, 0, 255]
    assert (found.reshape(-1, 3) == 255).all(1).sum() == 6
    if ending == "png":
        image.save(path, transparency=b"\x00\xff\x00")
        assert (shown(path).reshape(-1, 3) == 255).all(1).sum() == 7


def test_a_transparent_colour_of_grey_and_colour(tmp_path):
    path = tmp_path / "a.png"
    Image.fromarray(RGB).save(path, transparency=tuple(RGB[2, 3].tolist()))
    expected = RGB.copy()
    expected[2, 3] = 255
    np.testing.assert_array_equal(shown(path), expected)
    Image.fromarray(GREY).save(path, transparency=20)
    np.testing.assert_array_equal(shown(path)[..., 0], np.where(GREY == 20, 255, GREY))


@pytest.mark.parametrize(
    ("depth", "rows", "clear", "expected"),
    [
        (1, [b"\x50"], 0, [255, 255, 255, 255]),
        (2, [b"\x1b"], 1, [0, 255, 170, 255]),
        (4, [b"\x01\x2f"], 2, [0, 17, 255, 255]),
        (16, [struct.pack(">4H", 0, 257, 514, 65535)], 514, [0, 1, 255, 255]),
    ],
)
def test_a_transparent_grey_is_given_in_the_depth_of_the_file(
    tmp_path, depth, rows, clear, expected
):
    path = tmp_path / "a.png"
    path.write_bytes(png(depth, 0, (4, 1), rows, chunk(b"tRNS", struct.pack(">H", clear))))
    assert shown(path)[0, :, 0].tolist() == expected


# --- kinds ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("ending", ["gif", "png", "webp"])
def test_of_an_animation_the_first_picture_is_shown(tmp_path, ending):
    first, second = Image.new("RGB", (8, 8), "red"), Image.new("RGB", (8, 8), "blue")
    path = tmp_path / f"a.{ending}"
    first.save(path, save_all=True, append_images=[second], lossless=True)
    assert (shown(path) == (255, 0, 0)).all()


def test_content_counts_not_the_ending(tmp_path):
    Image.fromarray(RGB).save(tmp_path / "a.jpg", format="PNG")
    np.testing.assert_array_equal(shown(tmp_path / "a.jpg"), RGB)


def isobmff(*brands):
    body = b"ftyp" + brands[0] + bytes(4) + b"".join(brands)
    return struct.pack(">I", len(body) + 4) + body + bytes(200)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (isobmff(b"heic", b"mif1"), "is a HEIC picture.*export it as JPEG or PNG"),
        (isobmff(b"mif1", b"heic"), "is a HEIC picture"),
        (isobmff(b"hevc", b"msf1"), "is a HEIC picture"),
        (isobmff(b"avif", b"mif1"), "is an AVIF picture.*export it as JPEG or PNG"),
        (isobmff(b"isom", b"mp42"), "is a film"),
        (b"", "is no whole image .it is empty"),
        (b"<!DOCTYPE html>", "is no whole image .it is of no kind that is read"),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", "is no whole image"),
        (png(8, 2, (90, 90), [RGB[0].tobytes()] * 6), "is no whole image"),
        (png(8, 2, (20000, 20000), [b""]), "has more than 178 million pixels: scale it down"),
    ],
)
@pytest.mark.parametrize("name", ["a.jpg", "a.heic"])
def test_what_cannot_be_shown_is_named_with_the_remedy(tmp_path, content, words, name):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(SDNError, match=f"{name} {words}") as error:
        decoding.decode(tmp_path / name)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("ending", ["jpg", "png", "gif", "webp", "tif", "avif", "jp2"])
def test_a_truncated_file_is_named(tmp_path, ending):
    path = tmp_path / f"a.{ending}"
    Image.fromarray(DRAW.integers(0, 256, (64, 64, 3), np.uint8)).save(path)
    assert shown(path).shape == (64, 64, 3)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(SDNError, match=f"a.{ending} is "):
        decoding.decode(path)


def test_folders_and_missing_files_are_named(tmp_path):
    with pytest.raises(SDNError, match="none.png is no whole image .No such file"):
        decoding.decode(tmp_path / "none.png")
    with pytest.raises(SDNError, match=f"{tmp_path.name} cannot be read: is a directory"):
        decoding.decode(tmp_path)


def test_size_is_an_error_from_twice_the_limit_of_pillow_on(tmp_path, monkeypatch, recwarn):
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 1_000_000)
    Image.new("1", (1000, 1900)).save(tmp_path / "a.png")
    assert decoding.decode(tmp_path / "a.png").size == (1000, 1900) and not recwarn.list
    Image.new("1", (1000, 2100)).save(tmp_path / "b.png")
    with pytest.raises(SDNError, match="b.png has more than 2 million pixels"):
        decoding.decode(tmp_path / "b.png")


def test_the_prepared_folder_says_how_pictures_were_decoded(tmp_path):
    reading = photographs.Reading(
        names=["a"],
        class_ids=[1],
        class_names={1: "a"},
        images=[tmp_path / "a.png"],
        captions=[["a thing"]],
        splits=["train"],
        boxes=None,
        embeddings=None,
        source={"kind": "folder"},
    )
    Image.new("LA", (9, 9), (0, 0)).save(tmp_path / "a.png")
    made = photographs.prepare(reading, tmp_path / "out", 4)
    assert (made.images[0] == 255).all()
    assert made.manifest["source"]["decoding"]["transparency"] == "on white"


def test_official_pictures_are_decoded_as_before(shared):
    paths = sorted((shared / "datasets/cub10/CUB_200_2011/images").rglob("*.jpg"))[::40]
    assert len(paths) > 10
    for path in paths:
        with Image.open(io.BytesIO(path.read_bytes())) as image:
            np.testing.assert_array_equal(shown(path), image.convert("RGB"))
