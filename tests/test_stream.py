"""Images read when needed: the pixels they should be, the same for any number of threads and any order of asking."""

import hashlib
import struct
import threading
import zlib

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

import small_folder as small
from sparsebench.data import crops, stream
from sparsebench.data.feed import Feed
from sparsebench.data.stream import Batches, Stream, evaluation
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


@pytest.mark.parametrize(("width", "height"), [(500, 375), (375, 500), (224, 224), (333, 501), (100, 90), (1024, 768)])
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
    np.testing.assert_array_equal(split.image(index, draw), wanted.transpose(2, 0, 1), strict=True)


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


def jpeg(path):
    return small.save(path, small.pixels(0)).read_bytes()


DAMAGED = {
    "empty": (lambda _: b"", "it is not a JPEG or PNG image"),
    "text": (lambda _: b"not an image", "it is not a JPEG or PNG image"),
    "another format": (lambda _: b"GIF89a" + bytes(20), "it is not a JPEG or PNG image"),
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


# ---- batches ----------------------------------------------------------------------------------------------------


def straight(split, feed, i, augmented):
    """A batch read one image after the other."""
    draws = feed.draws(i, i + 1)[0].tolist() if augmented else [None] * feed.batch
    rows = feed.indices(i, i + 1)[0].tolist()
    return np.stack([split.image(*place) for place in zip(rows, draws, strict=True)]), split.labels[rows]


def same(given, wanted):
    for one, other in zip(given, wanted, strict=True):
        np.testing.assert_array_equal(one, other, strict=True)


@pytest.mark.parametrize("augmented", [True, False])
@pytest.mark.parametrize("workers", [1, 2, 5, None])
def test_batches_are_the_same_for_any_number_of_threads(split, workers, augmented):
    feed, batches = Feed(5, 2, 7), Batches(split, Feed(5, 2, 7), 7, augmented, workers)
    for i in range(7):
        same(batches.batch(i), straight(split, feed, i, augmented))
    batches.close()


@settings(deadline=None, max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.integers(0, 9), max_size=8), st.integers(0, 4), st.integers(1, 10))
def test_any_batch_may_be_asked_for_at_any_time(split, asked, ahead, stop):
    feed, batches = Feed(5, 2, 7), Batches(split, Feed(5, 2, 7), stop, True, 2, ahead)
    for i in asked:
        same(batches.batch(i), straight(split, feed, i, augmented=True))
    batches.close()


def test_a_run_resumed_within_an_epoch_sees_what_the_straight_one_saw(split):
    whole, rest = (Batches(split, Feed(5, 2, 3), 8, True) for _ in range(2))
    seen = [whole.batch(i) for i in range(8)]
    for i in range(3, 8):
        same(rest.batch(i), seen[i])
    whole.close()
    rest.close()


def test_the_same_image_is_cropped_anew_in_every_epoch(split):
    feed, batches = Feed(5, 5, 0), Batches(split, Feed(5, 5, 0), 2, True)
    first, second = batches.batch(0)[0], batches.batch(1)[0]
    order = feed.indices(0, 2)
    pairs = [(first[k], second[order[1].tolist().index(index)]) for k, index in enumerate(order[0].tolist())]
    assert not any(np.array_equal(*pair) for pair in pairs)
    batches.close()


def test_what_was_handed_out_is_not_written_to_again(split):
    batches = Batches(split, Feed(5, 2, 7), 6, True)
    held = [batches.batch(i) for i in range(3)]
    kept = [images.copy() for images, _ in held]
    for i in range(3, 6):
        batches.batch(i)
    same([images for images, _ in held], kept)
    batches.close()


def test_without_a_feed_each_sample_is_a_batch(split):
    batches = Batches(split, None, 5, False)
    for i in range(5):
        same(batches.batch(i), (split.image(i, None)[None], split.labels[i : i + 1]))
    batches.close()
    with pytest.raises(ValueError, match="augmented batches need one"):
        Batches(split, None, 5, True)


# ---- reading ahead ----------------------------------------------------------------------------------------------


@pytest.fixture
def reads(split, monkeypatch):
    """Counts: a semaphore that is released once for every image read, and the list of them."""
    done, read, decoded = threading.Semaphore(0), [], stream._decoded

    def counted(path):
        picture = decoded(path)
        read.append(path)
        done.release()
        return picture

    monkeypatch.setattr(stream, "_decoded", counted)
    return done, read


@pytest.mark.parametrize("ahead", [0, 1, 3])
def test_the_next_batches_are_read_before_they_are_asked_for_and_no_more(split, reads, ahead):
    done, read = reads
    batches = Batches(split, Feed(5, 2, 0), 100, True, 2, ahead)
    batches.batch(0)
    assert all(done.acquire(timeout=30) for _ in range(2 * (ahead + 1)))
    batches.batch(1)
    assert all(done.acquire(timeout=30) for _ in range(2))
    batches.close()
    assert len(read) == 2 * (ahead + 2), "each image once"


def test_nothing_is_read_beyond_the_end(split, reads):
    batches = Batches(split, Feed(5, 2, 0), 2, True, 2, ahead=50)
    batches.batch(0)
    batches.batch(1)
    batches.close()
    assert len(reads[1]) == 4


def test_what_was_read_in_vain_is_dropped(split, monkeypatch):
    """The only thread is held up at the second image; of what waits behind it nothing is wanted any more."""
    gate, read, decoded = threading.Event(), [], stream._decoded

    def held(path):
        read.append(path)
        assert len(read) == 1 or gate.wait(30)
        return decoded(path)

    monkeypatch.setattr(stream, "_decoded", held)
    feed = Feed(5, 1, 0)
    batches = Batches(split, feed, 100, True, 1, ahead=4)
    batches.batch(0)
    opening = threading.Timer(0.05, gate.set)
    opening.start()
    batches.batch(52)
    batches.close()
    opening.join()
    order = [split.paths[feed.indices(i, i + 1)[0, 0]] for i in (0, 1, 52, 53, 54, 55, 56)]
    assert read in (order[:k] for k in (3, 4, 5, 6, 7))


# ---- the end of it ----------------------------------------------------------------------------------------------


def threads():
    return [thread for thread in threading.enumerate() if thread.name.startswith("sparsebench-read")]


def test_no_thread_outlives_the_run(split):
    batches = Batches(split, Feed(5, 2, 0), 100, True, 4, ahead=10)
    batches.batch(0)
    assert threads()
    batches.close()
    assert threads() == []
    batches.close()


def test_no_thread_outlives_an_evaluation_that_was_left(split):
    for images, _ in evaluation(split, 2, 3):
        assert threads()
        assert images.shape == (2, 3, 32, 32)
        break
    assert threads() == []


@pytest.mark.parametrize("batch", [1, 2, 5, 7])
def test_an_evaluation_sees_every_sample_once_in_order(split, batch):
    parts = list(evaluation(split, batch))
    assert [len(labels) for _, labels in parts][:-1] == [batch] * (len(parts) - 1)
    wanted = np.stack([split.image(k, None) for k in range(5)])
    same([np.concatenate(part) for part in zip(*parts, strict=True)], (wanted, split.labels))
    assert threads() == []


def test_a_bad_image_is_told_to_whoever_asks_for_its_batch(tmp_path):
    split, feed = small.stream(tmp_path), Feed(5, 1, 0)
    bad = split.paths[feed.indices(2, 3)[0, 0]]
    bad.unlink()
    batches = Batches(split, feed, 5, True, 2, ahead=4)
    for i in (0, 1, 3, 4):
        same(batches.batch(i), straight(split, feed, i, augmented=True))
    for _ in range(2):
        with pytest.raises(UserError, match="No such file") as error:
            batches.batch(2)
        assert str(bad) in str(error.value)
    batches.close()
    with pytest.raises(UserError, match="No such file"):
        list(evaluation(split, 2))
    assert threads() == []


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
