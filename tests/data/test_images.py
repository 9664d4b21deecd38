"""Decoding whatever Pillow opens, the same from memory and from the file, and errors that name the image."""

import io

import numpy as np
import pytest
import torch
from PIL import Image

from selfcure.data.images import ImageStore, are_grey, available_memory, decode
from selfcure.errors import SelfcureError

SIZE = 8


def encode(image: Image.Image, kind: str = "png", **options) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def noise(height: int = SIZE, width: int = SIZE, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3)).astype(np.uint8)


class Encoded:
    """Encoded images in memory."""

    def __init__(self, *images: bytes | None):
        self.images = images

    def __len__(self):
        return len(self.images)

    def read(self, rows):
        return [self.images[row] or b"" for row in rows]

    def name(self, row):
        return f"faces/{row}.png"


def test_rgb_comes_back_as_it_was_with_channels_first():
    pixels = noise()
    decoded = decode(encode(Image.fromarray(pixels)), SIZE)
    assert decoded.dtype == np.uint8
    np.testing.assert_array_equal(decoded, pixels.transpose(2, 0, 1))


# What each orientation tag says has to be done to the stored pixels to see them upright.
UPRIGHT = {
    1: lambda a: a,
    2: lambda a: a[:, ::-1],
    3: lambda a: a[::-1, ::-1],
    4: lambda a: a[::-1],
    5: lambda a: a.transpose(1, 0, 2),
    6: lambda a: np.rot90(a, -1),
    7: lambda a: a[::-1, ::-1].transpose(1, 0, 2),
    8: lambda a: np.rot90(a, 1),
}


@pytest.mark.parametrize("orientation", UPRIGHT)
def test_images_are_turned_upright(orientation):
    pixels, exif = noise(), Image.Exif()
    exif[0x0112] = orientation
    decoded = decode(encode(Image.fromarray(pixels), exif=exif), SIZE)
    np.testing.assert_array_equal(decoded.transpose(1, 2, 0), UPRIGHT[orientation](pixels))


def test_gray_is_repeated():
    gray = noise()[..., 0]
    decoded = decode(encode(Image.fromarray(gray)), SIZE)
    assert all((channel == gray).all() for channel in decoded)


@pytest.mark.parametrize("kind", ["png", "tiff"])
def test_sixteen_bits_a_pixel_are_scaled_not_cut_off(kind):
    gray = np.random.default_rng(0).integers(0, 65536, (SIZE, SIZE)).astype(np.uint16)
    decoded = decode(encode(Image.fromarray(gray), kind), SIZE)
    assert all((channel == gray // 256).all() for channel in decoded)


def test_one_bit_a_pixel_is_black_and_white():
    bits = noise()[..., 0] > 127
    decoded = decode(encode(Image.fromarray(bits)), SIZE)
    np.testing.assert_array_equal(decoded[0], bits * 255)


def test_palette_gives_its_colours():
    pixels = np.zeros((SIZE, SIZE, 3), np.uint8)
    pixels[:4], pixels[4:, :4] = (250, 10, 20), (5, 200, 100)
    palette = Image.fromarray(pixels).quantize(colors=4)
    assert palette.mode == "P"
    np.testing.assert_array_equal(decode(encode(palette), SIZE), pixels.transpose(2, 0, 1))


def test_transparency_is_dropped():
    pixels = np.dstack([noise(), noise(seed=1)[..., 0]])
    decoded = decode(encode(Image.fromarray(pixels)), SIZE)
    np.testing.assert_array_equal(decoded, pixels[..., :3].transpose(2, 0, 1))


@pytest.mark.parametrize(("height", "width"), [(32, 16), (16, 32), (5, 8), (1, 1)])
def test_an_oblong_image_is_stretched_to_the_square(height, width):
    pixels = np.zeros((height, width, 3), np.uint8)
    pixels[:, : width // 2] = 200
    decoded = decode(encode(Image.fromarray(pixels)), SIZE)
    assert decoded.shape == (3, SIZE, SIZE)
    if width > 1:
        assert (decoded[:, :, :3] > 180).all()
        assert (decoded[:, :, 5:] < 20).all()


def test_batches_hold_the_rows_asked_for_cached_or_not():
    pixels = [noise(seed=i) for i in range(7)]
    encoded = Encoded(*(encode(Image.fromarray(p)) for p in pixels))
    cached, uncached = ImageStore(encoded, SIZE), ImageStore(encoded, SIZE, cache_bytes=0)
    assert (cached.cached, uncached.cached) == (True, False)
    assert len(cached) == len(uncached) == 7
    rows = torch.tensor([6, 0, 3, 3])
    expected = np.stack([pixels[row].transpose(2, 0, 1) for row in rows])
    for store in (cached, uncached):
        batch = store.batch(rows)
        assert batch.dtype == torch.uint8
        np.testing.assert_array_equal(batch.numpy(), expected)
    assert uncached.batch(torch.empty(0, dtype=torch.int64)).shape == (0, 3, SIZE, SIZE)


def test_a_batch_is_the_callers_own():
    store = ImageStore(Encoded(*[encode(Image.fromarray(noise()))] * 2), SIZE)
    store.batch(torch.tensor([0])).zero_()
    assert store.batch(torch.tensor([0])).any()


def test_the_cache_is_used_exactly_where_it_fits():
    encoded = Encoded(*[encode(Image.fromarray(noise()))] * 2)
    needed = 2 * 3 * SIZE * SIZE
    assert ImageStore(encoded, SIZE, cache_bytes=needed).cached
    assert not ImageStore(encoded, SIZE, cache_bytes=needed - 1).cached
    assert not ImageStore(encoded, 2 * SIZE, cache_bytes=needed).cached


def test_loading_is_reported_to_its_end(monkeypatch):
    monkeypatch.setattr("selfcure.data.images._CHUNK", 2)
    heard = []
    ImageStore(
        Encoded(*[encode(Image.fromarray(noise()))] * 5), SIZE, progress=lambda *done: heard.append(done)
    )
    assert heard == [(2, 5), (4, 5), (5, 5)]


@pytest.mark.parametrize("broken", [b"", b"no image", None, "cut"], ids=["empty", "text", "null", "cut"])
@pytest.mark.parametrize("cache_bytes", [None, 0], ids=["cached", "uncached"])
def test_a_broken_image_is_named(broken, cache_bytes):
    good = encode(Image.fromarray(noise()))
    encoded = Encoded(good, good, good[:100] if broken == "cut" else broken, good)
    with pytest.raises(
        SelfcureError, match=r"image 'faces/2.png' \(row 2\) cannot be decoded: .*import the dataset again"
    ):
        ImageStore(encoded, SIZE, cache_bytes=cache_bytes).batch(torch.arange(4))


@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")
def test_an_image_that_claims_to_be_huge_is_named_too():
    bomb = bytearray(encode(Image.fromarray(noise()), "bmp"))
    bomb[18:26] = (60_000).to_bytes(4, "little") * 2
    with pytest.raises(SelfcureError, match=r"image 'faces/0.png' \(row 0\) cannot be decoded"):
        ImageStore(Encoded(bytes(bomb)), SIZE)


def test_free_memory_is_a_plausible_number_of_bytes(monkeypatch):
    assert 2**24 < available_memory() < 2**50

    def no_proc(*arguments, **keywords):
        raise FileNotFoundError

    monkeypatch.setattr("builtins.open", no_proc)
    assert 2**24 < available_memory() < 2**50


def test_images_without_colour_are_known():
    grey, colour = (Image.fromarray(noise(seed=k)) for k in (0, 1))
    grey = grey.convert("L")
    traces = encode(grey.resize((64, 64)).convert("RGB"), "jpeg", quality=50)
    assert are_grey(Encoded(encode(grey), encode(grey.convert("RGB")), traces))
    assert not are_grey(Encoded(encode(grey), encode(colour)))
    assert are_grey(Encoded(*[encode(grey)] * 9, encode(colour)), num=1), "no more than num are looked at"
    with pytest.raises(SelfcureError, match=r"image 'faces/1.png' \(row 1\) cannot be decoded"):
        are_grey(Encoded(encode(grey), b"broken"))
