"""Image folders: listed as they lie, the same wherever they are, refused in one line if they lie otherwise."""

import os
import shutil
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

import small_folder as small
from sparsebench import plugins
from sparsebench.data import folder
from sparsebench.data.source import Dataset, Split
from sparsebench.errors import UserError

SHARED = Path(__file__).resolve().parents[2] / "shared" / "data"


@pytest.fixture(autouse=True)
def unnamed(monkeypatch):
    """No folder is named by the environment."""
    monkeypatch.delenv("SPARSEBENCH_DATA", raising=False)


def load(root, name="image-folder"):
    return plugins.load("datasets", name).load(root)


def refusal(root, name="image-folder"):
    """What is said when the folder cannot be used: one line."""
    with pytest.raises(UserError) as error:
        load(root, name)
    assert "\n" not in str(error.value)
    return str(error.value)


def empty(root, files):
    """Files without content, in folders that are made for them."""
    for file in files:
        (root / file).parent.mkdir(parents=True, exist_ok=True)
        (root / file).touch()
    return root


def listed(split, root):
    return [
        (str(path.relative_to(root)), label) for path, label in zip(split.paths, split.labels.tolist(), strict=True)
    ]


# ---- what is listed ---------------------------------------------------------------------------------------------


def test_images_are_listed_by_class_and_name(tmp_path):
    data = load(small.write(tmp_path))
    train = [("ant/d.JPEG", 0), ("ant/e.JPEG", 0), ("cat/a.jpg", 1), ("cat/b.JPEG", 1), ("cat/c.png", 1)]
    assert listed(data.train, tmp_path / "train") == train
    assert listed(data.test, tmp_path / "val") == [("ant/g.JPEG", 0), ("ant/h.JPEG", 0), ("cat/f.JPEG", 1)]
    assert (data.name, data.classes, data.shape) == ("image-folder", 2, (3, 224, 224))
    assert data.train.labels.dtype == np.int32


NAMES = st.text("abAB01._é-", min_size=1, max_size=6).filter(lambda name: name.strip("."))
FILES = st.sets(st.tuples(NAMES, st.sampled_from([".JPEG", ".jpg", ".png", ".jpeg", ".JPG", ".txt", ""])), max_size=6)


@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.dictionaries(NAMES, FILES, max_size=4))
def test_any_tree_is_listed_as_torchvision_would_or_refused(tmp_path, tree):
    """Names in order of code points; hidden ones and other files are passed over."""
    shutil.rmtree(tmp_path / "it", ignore_errors=True)
    root = empty(
        tmp_path / "it", [f"{p}/{kind}/{'.'.join(f)}" for p in ("train", "val") for kind in tree for f in tree[kind]]
    )
    for part in ("train", "val"):
        for kind in tree:
            (root / part / kind).mkdir(parents=True, exist_ok=True)
    present = {kind: {path.name for path in (root / "train" / kind).iterdir()} for kind in tree if kind[0] != "."}
    wanted = {kind: sorted(n for n in present[kind] if is_image(n)) for kind in sorted(present)}
    if not wanted or not all(wanted.values()):
        assert "expected train/CLASS/*.JPEG" in refusal(root)
        return
    rows = [(f"{kind}/{name}", label) for label, kind in enumerate(wanted) for name in wanted[kind]]
    assert listed(load(root).train, root / "train") == listed(load(root).test, root / "val") == rows


def is_image(name):
    return not name.startswith(".") and Path("x" + name).suffix.lower() in {".jpeg", ".jpg", ".png"}


def test_what_is_hidden_or_no_image_is_passed_over(tmp_path):
    whole = load(small.write(tmp_path))
    rows = listed(whole.train, tmp_path)
    others = (
        "train/.git/a.jpg",
        "train/ant/.a.jpg",
        "train/ant/notes.txt",
        "train/a.jpg",
        "val/README",
        "train/cat/x.jpg/y",
    )
    empty(tmp_path, others)
    assert listed(load(tmp_path).train, tmp_path) == rows
    assert load(tmp_path).fingerprint == whole.fingerprint


def test_links_to_files_and_folders_are_followed(tmp_path):
    small.write(tmp_path / "it")
    (tmp_path / "it" / "train" / "cat").rename(tmp_path / "elsewhere")
    (tmp_path / "it" / "train" / "cat").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "elsewhere" / "a.jpg").rename(tmp_path / "content")
    (tmp_path / "elsewhere" / "a.jpg").symlink_to(tmp_path / "content")
    (tmp_path / "link").symlink_to(tmp_path / "it")
    data, plain = load(tmp_path / "link"), load(small.write(tmp_path / "plain"))
    assert data.fingerprint == plain.fingerprint
    np.testing.assert_array_equal(data.train.image(2, 7), plain.train.image(2, 7))


def test_a_link_that_leads_nowhere_is_refused_not_passed_over(tmp_path):
    (small.write(tmp_path) / "train" / "ant" / "z.jpg").symlink_to(tmp_path / "nowhere")
    with pytest.raises(UserError, match=r"z\.jpg cannot be used: No such file"):
        load(tmp_path).fingerprint  # noqa: B018


def test_pixels_are_normalised_by_the_moments_of_imagenet(tmp_path):
    table = load(small.write(tmp_path)).table
    assert (table.dtype, table.shape) == (np.float32, (256, 3))
    for value in (0, 1, 128, 255):
        for channel, (mean, deviation) in enumerate(((0.485, 0.229), (0.456, 0.224), (0.406, 0.225))):
            assert table[value, channel] == np.float32((value / 255 - mean) / deviation)


# ---- fingerprint ------------------------------------------------------------------------------------------------


def test_the_fingerprint_does_not_depend_on_where_the_folder_is(tmp_path):
    first, second = load(small.write(tmp_path / "one")), load(small.write(tmp_path / "far" / "two"))
    assert first.fingerprint == second.fingerprint


CHANGES = {
    "a file renamed": lambda root: (root / "train/ant/d.JPEG").rename(root / "train/ant/dd.JPEG"),
    "a file of val renamed": lambda root: (root / "val/ant/g.JPEG").rename(root / "val/ant/gg.JPEG"),
    "a file moved": lambda root: (root / "train/ant/d.JPEG").rename(root / "train/cat/d.JPEG"),
    "a file gone": lambda root: (root / "train/ant/d.JPEG").unlink(),
    "a byte more": lambda root: os.truncate(root / "val/cat/f.JPEG", 5000),
    "one more file": lambda root: shutil.copy(root / "val/cat/f.JPEG", root / "val/cat/ff.JPEG"),
    "a class renamed": lambda root: [(root / part / "ant").rename(root / part / "bee") for part in ("train", "val")],
    "parts exchanged": lambda root: [
        (root / a).rename(root / b) for a, b in (("val", "x"), ("train", "val"), ("x", "train"))
    ],
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_any_name_or_size_that_changes_changes_the_fingerprint(tmp_path, change):
    before = load(small.write(tmp_path)).fingerprint
    change(tmp_path)
    assert load(tmp_path).fingerprint != before


def test_the_fingerprint_knows_where_train_ends(tmp_path):
    one = empty(tmp_path / "one", ["train/a/1.jpg", "train/a/2.jpg", "val/a/3.jpg"])
    two = empty(tmp_path / "two", ["train/a/1.jpg", "val/a/2.jpg", "val/a/3.jpg"])
    assert load(one).fingerprint != load(two).fingerprint


def test_the_fingerprint_is_this_one_for_ever(tmp_path):
    root = empty(tmp_path, ["train/a/1.jpg", "train/b/é.png", "val/a/2.jpg", "val/b/3.jpg"])
    assert load(root).fingerprint == "895f4c41ce8b305508a2f9729749312ea871be62f1f53272abda23ad32d83058"


def test_a_data_set_may_be_half_in_memory(tmp_path):
    images = load(small.write(tmp_path)).train
    drawn = Split(np.zeros((2, 3, 224, 224), np.uint8), np.zeros(2, np.int32))
    data = Dataset("half", 2, images, drawn, folder.imagenet_table())
    assert data.shape == images.shape == drawn.shape == (3, 224, 224)
    assert len(data.fingerprint) == 64


# ---- the folder that is named -----------------------------------------------------------------------------------


def test_the_folder_may_be_named_by_the_environment(tmp_path, monkeypatch):
    monkeypatch.setenv("SPARSEBENCH_DATA", str(small.write(tmp_path / "it")))
    assert len(load(None).train.labels) == 5
    assert "other is not a folder" in refusal(tmp_path / "other")


@pytest.mark.parametrize("name", ["image-folder", "imagenet"])
def test_without_a_folder_it_says_to_name_one(name):
    assert f"data set {name!r} is read from a folder: name one that has train/CLASS/*.JPEG" in refusal(None, name)


@pytest.mark.parametrize("name", ["image-folder", "imagenet"])
def test_a_folder_around_it_is_told_which_to_name(tmp_path, name):
    small.write(tmp_path / "mine")
    told = refusal(tmp_path, name)
    assert f"{tmp_path} has no folder train and no folder val, expected train/CLASS/*.JPEG" in told
    assert told.endswith(f"did you mean --data {tmp_path / 'mine'}?")


def test_a_folder_without_one_of_its_parts_says_which(tmp_path):
    shutil.rmtree(small.write(tmp_path) / "val")
    assert f"{tmp_path} has no folder val, expected" in refusal(tmp_path)
    (tmp_path / "val").touch()
    assert refusal(tmp_path).endswith("name the folder that has it with --data")


def test_a_folder_that_may_not_be_read_is_refused(tmp_path, monkeypatch):
    small.write(tmp_path)
    scan = os.scandir

    def forbidden(path):
        if str(path).endswith("cat"):
            raise PermissionError(13, "Permission denied", str(path))
        return scan(path)

    monkeypatch.setattr(os, "scandir", forbidden)
    assert "train/cat cannot be read (Permission denied)" in refusal(tmp_path)


# ---- classes ------------------------------------------------------------------------------------------------------


def test_train_and_val_must_have_the_same_classes(tmp_path):
    small.write(tmp_path)
    (tmp_path / "val" / "cat").rename(tmp_path / "val" / "dog")
    told = refusal(tmp_path)
    assert "val has no class 'cat'; val has a class that train has not, 'dog'" in told


def test_many_missing_classes_are_not_all_named(tmp_path):
    root = empty(tmp_path, [f"train/c{k}/a.jpg" for k in range(9)])
    empty(root, ["val/c0/a.jpg"])
    assert "val has no class 'c1', 'c2', 'c3', 'c4', 'c5' and 3 more: " in refusal(root)


@pytest.mark.parametrize("part", ["train", "val"])
def test_a_class_without_images_is_refused(tmp_path, part):
    (small.write(tmp_path) / part / "cow").mkdir()
    empty(tmp_path, [f"{part}/cow/notes.txt", f"{part}/cow/images/a.jpg"])
    assert f"{tmp_path / part}: no images directly in the folder of class 'cow'" in refusal(tmp_path)


def test_images_that_are_not_in_folders_by_class_are_refused(tmp_path):
    root = empty(tmp_path, ["train/a/1.jpg", "val/1.jpg"])
    assert f"{root / 'val'} has no folder of a class" in refusal(root)


# ---- imagenet ---------------------------------------------------------------------------------------------------


def test_a_part_of_imagenet_is_not_imagenet(tmp_path):
    told = refusal(small.write(tmp_path / "imagenet"), "imagenet")
    assert "2 classes, 5 training and 3 validation images, but ImageNet has 1,000 classes, 1,281,167 training" in told
    assert "use the data set 'image-folder'" in told
    assert told == refusal(tmp_path, "imagenet"), "a folder of that name is looked for in the one that was named"


def test_what_has_the_numbers_of_imagenet_is_imagenet(tmp_path, monkeypatch):
    monkeypatch.setattr(folder, "IMAGENET", (2, 5, 3))
    data = load(small.write(tmp_path / "imagenet").parent, "imagenet")
    assert (data.name, data.fingerprint) == ("imagenet", load(tmp_path / "imagenet").fingerprint)
    assert load(tmp_path / "imagenet", "imagenet").fingerprint == data.fingerprint


# ---- the real thing ---------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def imagenette():
    root = SHARED / "imagenette-224-mini"
    if not root.is_dir():
        pytest.skip("no copy of imagenette-224-mini in ../shared/data")
    return folder.dataset("image-folder", root)


def test_imagenette_is_listed_whole(imagenette):
    wordnet = "n01440764 n02102040 n02979186 n03000684 n03028079 n03394916 n03417042 n03425413 n03445777 n03888257"
    for split, images in ((imagenette.train, 150), (imagenette.test, 50)):
        assert np.bincount(split.labels).tolist() == [images] * 10
        assert [path.parent.name for path in split.paths[::images]] == wordnet.split()
    assert (imagenette.classes, len(imagenette.train.labels), len(imagenette.test.labels)) == (10, 1500, 500)


def test_the_grey_images_of_imagenette_become_rgb(imagenette):
    grey = [path for split in (imagenette.train, imagenette.test) for path in split.paths if mode(path) == "L"]
    assert len(grey) == 37
    split = folder.Stream(tuple(grey), np.zeros(37, np.int32), 224)
    for index in range(0, 37, 6):
        image = split.image(index, None)
        assert image.shape == (3, 224, 224)
        assert np.ptp(image, axis=0).max() == 0 < np.ptp(image)


def mode(path):
    with Image.open(path) as picture:
        return picture.mode
