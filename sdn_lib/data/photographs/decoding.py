"""Pictures of any origin, decoded as every viewer shows them."""

from __future__ import annotations

import errno
import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
from PIL import ExifTags, Image, ImageCms, ImageFile, UnidentifiedImageError

from sdn_lib.errors import SDNError
from sdn_lib.files import explain

FORMATS = (
    "JPEG", "PNG", "GIF", "WEBP", "AVIF", "TIFF", "BMP", "DIB", "PPM", "JPEG2000", "ICO", "ICNS",
    "TGA", "PSD", "QOI", "PCX", "SGI",
)  # fmt: skip
"""What is read, as Pillow names it: pictures made of pixels, none that is a program to run."""

RULES = {
    "orientation": "as the file's tag says",
    "transparency": "on white",
    "animation": "the first picture",
}
"""What a prepared folder records of how its pictures were decoded."""

_TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
_AGAIN = "fetch it again, or export it again as JPEG or PNG"
_INSTEAD = "export it as JPEG or PNG"


def decode(
    path: str | Path, cut: Callable[[Image.Image], Image.Image] | None = None
) -> Image.Image:
    """Return the picture of a file, whatever its ending, in RGB with 8 bits a colour.

    It is turned upright as its orientation tag says; what is transparent is put on white; 16 bits
    become 8; numbers of 32 bits, whose white is not recorded, have for white the least of 1 (for
    fractions), 255, 65,535 and 4,294,967,295 that none of them exceeds. Of an animation it is the
    first picture. Colour profiles are not applied. `cut` gets the RGB picture as it is stored,
    before it is turned: boxes are measured there. Raises SDNError that names the file and the
    remedy where it is missing, truncated, too large for Pillow, or of a kind that is not read
    (HEIC).
    """
    try:
        with warnings.catch_warnings():
            # Of damaged tags, and of half the size that is refused: a camera's 100 megapixels.
            warnings.simplefilter("ignore")
            with Image.open(path, formats=FORMATS) as file:
                _note_transparency(file)
                file.load()
                image, turn = _to_rgb(file), _turn(file)
        if cut is not None:
            image = cut(image)
        return image if turn is None else image.transpose(turn)
    except SDNError as error:
        raise SDNError(f"{path}: {error}") from None
    except Image.DecompressionBombError:
        most = 2 * (Image.MAX_IMAGE_PIXELS or 0) // 10**6
        raise SDNError(
            f"{path} has more than {most} million pixels: scale it down, or take it out"
        ) from None
    except MemoryError:
        raise SDNError(f"{path} is too large for the memory: scale it down") from None
    except Exception as error:  # Pillow raises many kinds for what is damaged
        raise SDNError(f"{path} {_refusal(Path(path), error)}") from None


def _refusal(path: Path, error: Exception) -> str:
    """Return what is wrong with a file that cannot be decoded, and what to do."""
    if isinstance(error, OSError) and error.errno is not None:
        if error.errno == errno.ENOENT:
            return f"is no whole image ({error.strerror}): fetch it again"
        return "cannot be read: " + explain(OSError(error.errno, error.strerror))
    with path.open("rb") as file:
        head = file.read(64)
    if head[4:8] == b"ftyp":
        brands = {head[at : at + 4] for at in range(8, len(head) - 3, 4)}
        if brands & {b"avif", b"avis"}:
            return f"is an AVIF picture, which Pillow cannot read here ({error}): {_INSTEAD}"
        if any(brand[:3] in (b"hei", b"hev", b"mif", b"msf") for brand in brands):
            return f"is a HEIC picture, as phones take them, which is not read: {_INSTEAD}"
        return f"is a film, or a picture of a kind that is not read: {_INSTEAD}"
    if not head:
        return f"is no whole image (it is empty): {_AGAIN}"
    reason = str(error) or type(error).__name__
    if isinstance(error, UnidentifiedImageError):
        reason = "it is of no kind that is read: " + ", ".join(FORMATS[:6])
    return f"is no whole image ({reason}): {_AGAIN}"


def _turn(image: Image.Image) -> Image.Transpose | None:
    try:
        return _TURNS.get(image.getexif().get(ExifTags.Base.Orientation, 1))
    except Exception:  # a tag that is damaged: viewers show the picture as it lies
        return None


def _note_transparency(file: ImageFile.ImageFile) -> None:
    """Bring the transparent colour of a PNG, given in its own depth, to 8 bits."""
    clear = file.info.get("transparency")
    if file.format != "PNG" or clear is None or not file.tile:
        return
    raw = file.tile[0].args
    if raw == "L;2":
        file.info["transparency"] = clear * 85
    elif raw == "L;4":
        file.info["transparency"] = clear * 17
    elif raw == "RGB;16B":
        file.info["transparency"] = tuple(value >> 8 for value in clear)


def _to_rgb(image: Image.Image) -> Image.Image:
    if image.mode in ("I", "F") or image.mode.startswith("I;16"):
        return _to_8_bits(image).convert("RGB")
    if image.mode == "LAB":
        spaces = ImageCms.createProfile("LAB"), ImageCms.createProfile("sRGB")
        converted = ImageCms.profileToProfile(image, *spaces, outputMode="RGB")
        assert converted is not None, "only what is changed in place returns None"
        return converted
    if not image.has_transparency_data:
        return image.convert("RGB")
    if image.mode == "La":
        image = image.convert("LA")
    white = Image.new("RGBA", image.size, "white")
    return Image.alpha_composite(white, image.convert("RGBA")).convert("RGB")


def _to_8_bits(image: Image.Image) -> Image.Image:
    """Return greys of 16 or 32 bits in 8."""
    values = np.asarray(image)
    tags = getattr(image, "tag_v2", {})
    bits = tags.get(258, (16,))[0]
    if image.mode == "I" and bits == 32 and tags.get(339, (1,))[0] == 1:
        values = values.view(np.uint32)  # Pillow reads them as if they had a sign
    if not np.isfinite(values).all() or values.min() < 0:
        raise SDNError(f"has values that are no colours (below zero, not finite): {_INSTEAD}")
    if image.mode.startswith("I;16"):
        white = 2**bits - 1
    elif image.format == "PPM" and image.mode == "I":
        white = 2**16 - 1
    else:
        known: tuple[int, ...] = (2**8 - 1, 2**16 - 1, 2**32 - 1)
        if image.mode == "F":
            known = (1, *known)
        white = next((most for most in known if values.max() <= most), None)
        if white is None:
            raise SDNError(f"has values up to {values.max():g}, beyond any white: {_INSTEAD}")
    grey = np.rint(values * (255 / white)).astype(np.uint8)
    if tags.get(262) == 0:  # WhiteIsZero
        grey = 255 - grey
    clear = image.info.get("transparency")
    if clear is not None:
        grey[values == clear] = 255
    return Image.fromarray(grey)
