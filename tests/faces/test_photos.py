"""Photographs in every mode and of every defect."""

import io

import numpy as np
import pytest
from PIL import Image

from selfcure.faces.photos import UnreadableImage, read_upright

PIXELS = np.zeros((20, 30, 3), np.uint8)
PIXELS[:8, :10] = (250, 10, 10)
PIXELS[12:, 20:] = (10, 10, 250)


def encoded(image: Image.Image, format: str = "png", **options) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, format, **options)
    return buffer.getvalue()


@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation(orientation):
    """What a viewer shows: each orientation says how the sensor lay, so the stored pixels are turned back."""
    stored = {
        1: PIXELS,
        2: PIXELS[:, ::-1],
        3: PIXELS[::-1, ::-1],
        4: PIXELS[::-1],
        5: PIXELS.transpose(1, 0, 2),
        6: np.rot90(PIXELS, 1),
        7: PIXELS[::-1, ::-1].transpose(1, 0, 2),
        8: np.rot90(PIXELS, -1),
    }[orientation]
    exif = Image.Exif()
    exif[0x0112] = orientation
    data = encoded(Image.fromarray(np.ascontiguousarray(stored)), exif=exif)
    np.testing.assert_array_equal(read_upright(data), PIXELS)


@pytest.mark.parametrize("mode", ["L", "1", "P", "CMYK", "RGBA", "LA", "YCbCr", "I;16", "I", "F"])
def test_modes(mode):
    grey = Image.fromarray(PIXELS).convert("L")
    if mode in ("I;16", "I"):
        image = Image.fromarray(np.asarray(grey).astype(np.uint16 if mode == "I;16" else np.int32) * 257)
    elif mode == "F":
        image = Image.fromarray(np.asarray(grey).astype(np.float32) / 255)
    elif mode == "P":
        image = Image.fromarray(PIXELS).quantize(8)
    else:
        image = (grey if mode in ("1", "LA") else Image.fromarray(PIXELS)).convert(mode)
    got = read_upright(encoded(image, "tiff"))
    colour = mode in ("P", "CMYK", "RGBA", "YCbCr")
    expected = PIXELS if colour else np.asarray(grey.convert(mode if mode == "1" else "L").convert("RGB"))
    assert got.shape == (20, 30, 3)
    assert got.dtype == np.uint8
    assert np.abs(got.astype(int) - expected).max() <= 3


@pytest.mark.parametrize("as_palette", [False, True])
def test_transparent_places_become_white(as_palette):
    image = Image.fromarray(np.dstack([PIXELS, np.where(PIXELS[..., 0] > 99, 255, 0).astype(np.uint8)]))
    got = read_upright(encoded(image.quantize(8) if as_palette else image))
    assert (got[15:, 25:] == 255).all()
    assert np.abs(got[0, 0].astype(int) - PIXELS[0, 0]).max() <= 3


def test_first_frame_of_an_animation():
    frames = [Image.fromarray(PIXELS), Image.fromarray(255 - PIXELS)]
    data = encoded(frames[0], "gif", save_all=True, append_images=frames[1:])
    np.testing.assert_array_equal(read_upright(data), PIXELS)


def test_from_a_file(tmp_path):
    (tmp_path / "a.png").write_bytes(encoded(Image.fromarray(PIXELS)))
    np.testing.assert_array_equal(read_upright(tmp_path / "a.png"), PIXELS)
    with pytest.raises(FileNotFoundError):
        read_upright(tmp_path / "b.png")


noise = Image.fromarray(np.random.default_rng(0).integers(0, 256, (80, 80, 3), np.uint8))


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "empty file"),
        (b"hello, this is text", "not an image"),
        (encoded(noise, "jpeg")[:2000], "truncated image"),
        (encoded(noise)[:2000], "truncated image"),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n%%EndComments\n", "EPS files are not read"),
    ],
    ids=["empty", "text", "cut jpeg", "cut png", "eps"],
)
def test_defects(data, reason):
    with pytest.raises(UnreadableImage) as caught:
        read_upright(data)
    assert caught.value.reason == reason


def test_decompression_bomb_is_refused_before_it_is_decoded(recwarn):
    bomb = encoded(Image.new("1", (12_000, 12_000)))
    limit = Image.MAX_IMAGE_PIXELS
    with pytest.raises(UnreadableImage, match=r"more than 100,000,000 pixels \(12,000 × 12,000\)"):
        read_upright(bomb)
    assert limit == Image.MAX_IMAGE_PIXELS
    assert not recwarn
    assert read_upright(encoded(noise), max_pixels=6400).shape == (80, 80, 3)
    with pytest.raises(UnreadableImage, match="more than 6,399 pixels"):
        read_upright(encoded(noise), max_pixels=6399)
