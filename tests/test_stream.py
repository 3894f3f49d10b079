"""Images that are read when needed: the pixels they should be, or a refusal that names the file."""

import hashlib
import io
import struct
import zlib

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

import small_folder as small
from sparsebench.data import crops
from sparsebench.data.stream import Stream
from sparsebench.errors import UserError

DRAWS = st.integers(0, 2**64 - 1)
SIZES = [(50, 40), (40, 50), (37, 37), (32, 32), (20, 90), (90, 20), (641, 480), (333, 501), (1, 1), (3, 200), (1, 700)]


@pytest.fixture(scope="module")
def split(tmp_path_factory):
    return small.stream(tmp_path_factory.mktemp("small"))


def alone(path, size=32):
    return Stream((path,), np.zeros(1, np.int32), size)


def decoded(path):
    return np.asarray(Image.open(path).convert("RGB"))


# ---- one image ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("width", "height"), SIZES)
def test_an_evaluated_image_is_the_middle_of_the_resized_one(tmp_path, width, height):
    """Resized as a whole by Pillow, cut by NumPy; in one step, rounding differs by one level at most."""
    pixels = np.random.default_rng(0).integers(0, 256, (height, width, 3), np.uint8)
    given = alone(small.save(tmp_path / "a.png", pixels)).image(0, None)
    scale = 37 / min(width, height)  # 32 · 8 / 7, rounded
    columns, rows = (37 if side == min(width, height) else int(side * scale + 1e-9) for side in (width, height))
    whole = np.asarray(Image.fromarray(pixels).resize((columns, rows), Image.Resampling.BILINEAR))
    top, left = round((rows - 32) / 2), round((columns - 32) / 2)
    wanted = whole[top : top + 32, left : left + 32].transpose(2, 0, 1)
    assert (given.dtype, given.shape) == (np.uint8, (3, 32, 32))
    assert np.abs(given.astype(int) - wanted).max() <= 1


@pytest.mark.parametrize(("width", "height"), [(500, 375), (375, 500), (224, 224), (333, 501), (335, 256), (1024, 768)])
def test_an_evaluated_image_is_the_one_of_torchvision(tmp_path, width, height):
    """On a smooth picture and on noise: no value is off by more than rounding."""
    transforms = pytest.importorskip("torchvision.transforms", reason="torchvision is not installed")
    seen = transforms.Compose([transforms.Resize(256), transforms.CenterCrop(224)])
    noise = np.random.default_rng(0).integers(0, 256, (height, width, 3), np.uint8)
    for pixels in (small.pixels(1, width, height), noise):
        given = alone(small.save(tmp_path / "a.png", pixels), 224).image(0, None)
        wanted = np.asarray(seen(Image.fromarray(pixels))).transpose(2, 0, 1)
        assert np.abs(given.astype(int) - wanted).max() <= 1


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.integers(0, 4), DRAWS)
def test_an_augmented_image_is_its_crop_resized_and_flipped(split, index, draw):
    whole = decoded(split.paths[index])
    crop = crops.random(whole.shape[1], whole.shape[0], draw)
    left, top, right, bottom = crop.box
    cut = Image.fromarray(whole[top:bottom, left:right])
    wanted = np.asarray(cut.resize((32, 32), Image.Resampling.BILINEAR))
    wanted = wanted[:, ::-1] if crop.flip else wanted
    given = split.image(index, draw)
    np.testing.assert_array_equal(given, wanted.transpose(2, 0, 1), strict=True)
    assert given.flags.c_contiguous
    assert given.flags.writeable


def test_an_augmented_image_is_the_one_of_torchvision_for_the_same_box(split):
    functional = pytest.importorskip("torchvision.transforms.functional", reason="torchvision is not installed")
    for draw in range(40):
        picture = Image.open(split.paths[0]).convert("RGB")
        crop = crops.random(*picture.size, draw)
        left, top, right, bottom = crop.box
        wanted = functional.resized_crop(picture, top, left, bottom - top, right - left, [32, 32])
        wanted = functional.hflip(wanted) if crop.flip else wanted
        np.testing.assert_array_equal(split.image(0, draw), np.asarray(wanted).transpose(2, 0, 1))


@pytest.mark.parametrize("size", [1, 7, 32, 224, 300])
@pytest.mark.parametrize(("width", "height"), SIZES)
def test_any_image_has_any_size(tmp_path, width, height, size):
    flat = np.broadcast_to(np.array([10, 200, 90], np.uint8), (height, width, 3))
    images = alone(small.save(tmp_path / "a.png", np.ascontiguousarray(flat))).at(size)
    assert images.shape == (3, size, size)
    for draw in (None, 0, 1, 2):
        given = images.image(0, draw)
        assert (given.shape, np.unique(given[1]).tolist()) == ((3, size, size), [200])


MODES = ("1", "L", "LA", "P", "RGB", "RGBA")


@pytest.mark.parametrize("mode", MODES)
def test_images_of_any_mode_become_rgb(tmp_path, mode):
    path = tmp_path / "a.png"
    colour = Image.fromarray(small.pixels(3))
    colour.putalpha(Image.fromarray(small.pixels(4)[:, :, 0]))
    picture = colour.convert("RGB").convert(mode) if mode == "P" else colour.convert(mode)
    picture.save(path, **({"transparency": bytes(range(200))} if mode == "P" else {}))
    given, wanted = alone(path).image(0, 5), alone(path)
    assert given.shape == (3, 32, 32)
    picture.convert("RGB").save(tmp_path / "b.png")
    np.testing.assert_array_equal(given, alone(tmp_path / "b.png").image(0, 5))
    if mode in ("1", "L", "LA"):
        assert np.ptp(wanted.image(0, None), axis=0).max() == 0, "three channels alike"


@pytest.mark.parametrize("mode", ["L", "CMYK"])
def test_grey_and_printers_jpegs_become_rgb(tmp_path, mode):
    wanted = small.pixels(3)
    Image.fromarray(wanted).convert(mode).save(tmp_path / "a.jpg", quality=100)
    given = alone(tmp_path / "a.jpg", 40).image(0, None)
    grey = np.asarray(Image.fromarray(wanted).convert("L"))[..., None] if mode == "L" else wanted
    Image.fromarray(np.broadcast_to(grey, wanted.shape).astype(np.uint8)).save(tmp_path / "b.png")
    same = alone(tmp_path / "b.png", 40).image(0, None)
    assert np.abs(given.astype(int) - same).max() <= 8, "but for what JPEG loses"


def test_the_orientation_a_camera_noted_is_ignored(tmp_path):
    picture = Image.fromarray(small.pixels(3))
    picture.save(tmp_path / "a.jpg")
    noted = picture.getexif()
    noted[0x0112] = 6
    picture.save(tmp_path / "b.jpg", exif=noted)
    with Image.open(tmp_path / "b.jpg") as written:
        assert written.getexif()[0x0112] == 6
    np.testing.assert_array_equal(alone(tmp_path / "a.jpg").image(0, 3), alone(tmp_path / "b.jpg").image(0, 3))


# ---- what cannot be read ----------------------------------------------------------------------------------------


def png(width, height):
    """A file that says it is an image of this size; there is little in it."""
    chunks = [(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)), (b"IDAT", zlib.compress(bytes(9)))]
    packed = (
        struct.pack(">I", len(d)) + n + d + struct.pack(">I", zlib.crc32(n + d)) for n, d in [*chunks, (b"IEND", b"")]
    )
    return b"\x89PNG\r\n\x1a\n" + b"".join(packed)


def gif():
    file = io.BytesIO()
    Image.fromarray(small.pixels(0)).save(file, format="GIF")
    return file.getvalue()


def jpeg(path):
    return small.save(path, small.pixels(0)).read_bytes()


DAMAGED = {
    "empty": (lambda _: b"", "it is not a JPEG or PNG image"),
    "text": (lambda _: b"not an image", "it is not a JPEG or PNG image"),
    "another format": (lambda _: gif(), "it is not a JPEG or PNG image"),
    "within the pixels": (lambda whole: whole[:-40], "image file is truncated"),
    "within the header": (lambda whole: whole[: len(whole) // 2], "Truncated File Read"),
    "first bytes alone": (lambda whole: whole[:30], "Truncated File Read"),
    "no pixels": (lambda _: png(1000, 1000), "image file is truncated"),
    "a bomb": (lambda _: png(20_000, 20_000), "(400000000 pixels) exceeds limit"),
    "half a bomb, warnings being errors": (lambda _: png(12_000, 12_000), "(144000000 pixels) exceeds limit"),
}


@pytest.mark.parametrize(("damage", "told"), DAMAGED.values(), ids=DAMAGED)
def test_what_is_not_a_whole_image_is_refused_by_name(tmp_path, damage, told):
    path = tmp_path / "bad.JPEG"
    path.write_bytes(damage(jpeg(path)))
    with pytest.raises(UserError) as error:
        alone(path).image(0, None)
    assert str(error.value).startswith(f"image {path} cannot be used: ")
    assert told in str(error.value)
    assert "\n" not in str(error.value)


def test_an_image_too_large_is_refused_where_pillow_would_not(tmp_path, monkeypatch):
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", None)
    (tmp_path / "a.png").write_bytes(png(20_000, 20_000))
    with pytest.raises(UserError, match=r"20000 × 20000 pixels, allowed are 178956970"):
        alone(tmp_path / "a.png").image(0, None)


def test_pixels_of_sixteen_bits_are_refused(tmp_path):
    Image.fromarray(np.full((9, 9), 40_000, np.uint16)).save(tmp_path / "a.png")
    with pytest.raises(UserError, match=r"more than 8 bits \(mode I;16\)"):
        alone(tmp_path / "a.png").image(0, None)


@pytest.mark.parametrize("suffix", [".png", ".jpg"])
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_any_damage_is_an_image_or_a_refusal(tmp_path, suffix, data):
    whole = bytearray(small.save(tmp_path / f"a{suffix}", small.pixels(1, 20, 20)).read_bytes())
    for _ in range(data.draw(st.integers(1, 4))):
        whole[data.draw(st.integers(0, len(whole) - 1))] = data.draw(st.integers(0, 255))
    (tmp_path / "bad.jpg").write_bytes(whole[: data.draw(st.integers(0, len(whole)))])
    try:
        given = alone(tmp_path / "bad.jpg").image(0, 0)
    except UserError:
        return
    assert given.shape == (3, 32, 32)


# ---- what identifies a split --------------------------------------------------------------------------------------


def identified(split):
    digest = hashlib.sha256()
    split.identify(digest)
    return digest.hexdigest()


def test_a_split_is_identified_by_names_and_sizes_wherever_it_is(tmp_path):
    here, there = small.stream(tmp_path / "here"), small.stream(tmp_path / "elsewhere" / "there")
    assert identified(here) == identified(there) == identified(here.at(64))
    with here.paths[1].open("ab") as file:
        file.write(b"\0")
    assert identified(here) != identified(there)
    here.paths[1].unlink()
    with pytest.raises(UserError, match=r"cannot be used: No such file"):
        identified(here)
