"""Reading photos of every kind, folders, splits and exact few-shot draws."""

import numpy as np
import pytest
from PIL import Image

from sotglp_core import load_task
from sotglp_core.data import FolderImages, read_image
from sotglp_core.data.features import encode


def picture(size=(20, 12), mode="RGB"):
    x, y = np.meshgrid(np.linspace(0, 255, size[0]), np.linspace(0, 255, size[1]))
    return Image.fromarray(np.stack([x, y, 0 * x], -1).astype(np.uint8)).convert(mode)


@pytest.fixture
def folder(tmp_path):
    for name, count in {"red_fox": 11, "Grey-Wolf": 7, "owl": 13}.items():
        (tmp_path / "photos" / name).mkdir(parents=True)
        for i in range(count):
            picture().save(tmp_path / "photos" / name / f"{i:02}.jpg")
    (tmp_path / "photos" / ".thumbnails").mkdir()
    return tmp_path / "photos"


def sizes(task):
    return {p: np.bincount(getattr(task, p).labels).tolist() for p in ("train", "val", "test")}


def parts(task):
    """Path -> part."""
    return {path: p for p in ("train", "val", "test") for path in getattr(task, p).paths}


@pytest.mark.parametrize(
    "mode, suffix",
    [
        ("RGB", "jpg"),
        ("L", "jpg"),
        ("CMYK", "jpg"),
        ("P", "png"),
        ("RGBA", "png"),
        ("LA", "png"),
        ("1", "png"),
        ("RGB", "webp"),
        ("RGB", "bmp"),
        ("L", "tif"),
        ("P", "gif"),
    ],
)
def test_modes(tmp_path, mode, suffix):
    path = tmp_path / f"x.{suffix}"
    picture().convert("LA" if mode == "LA" else mode).save(path)
    image = read_image(path)
    assert image.mode == "RGB" and image.size == (20, 12)


def test_sixteen_bit_grey(tmp_path):
    Image.fromarray(np.linspace(0, 65535, 240).astype(np.uint16).reshape(12, 20)).save(
        tmp_path / "x.png"
    )
    pixels = np.asarray(read_image(tmp_path / "x.png"))
    assert pixels.min() == 0 and pixels.max() == 255 and abs(int(np.median(pixels)) - 127) < 3


def test_transparency_becomes_white(tmp_path):
    Image.new("RGBA", (4, 4), (255, 0, 0, 0)).save(tmp_path / "x.png")
    assert np.asarray(read_image(tmp_path / "x.png")).min() == 255


def test_exif_orientation(tmp_path):
    image, exif = picture(), Image.Exif()
    exif[0x0112] = 6
    image.save(tmp_path / "x.jpg", exif=exif)
    assert read_image(tmp_path / "x.jpg").size == (12, 20)


def test_animation_gives_its_first_frame(tmp_path):
    Image.new("RGB", (4, 4), "red").save(
        tmp_path / "x.gif", save_all=True, append_images=[Image.new("RGB", (4, 4), "blue")]
    )
    assert np.asarray(read_image(tmp_path / "x.gif"))[0, 0].tolist() == [255, 0, 0]


@pytest.mark.parametrize("content", [b"", b"text, not an image", "truncated"])
def test_unreadable_files_are_named(tmp_path, content):
    path = tmp_path / "bad.jpg"
    if content == "truncated":
        picture((200, 200)).save(path)
        content = path.read_bytes()[:2000]
    path.write_bytes(content)
    with pytest.raises(ValueError, match=r"can't read the image .*bad.jpg"):
        read_image(path)


def test_a_bomb_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr("sotglp_core.data.images.MAX_PIXELS", 100)
    picture().save(tmp_path / "x.png")
    with pytest.raises(ValueError, match="20 x 12 pixels"):
        read_image(tmp_path / "x.png")


def test_class_folders_are_split_once_and_for_all(folder):
    task = load_task(folder, shots=None)
    assert task.class_names == ("Grey-Wolf", "owl", "red fox")
    assert sizes(task) == {"train": [4, 8, 6], "val": [1, 2, 2], "test": [2, 3, 3]}
    everything = parts(task)
    assert len(everything) == 31 and parts(load_task(folder, shots=None)) == everything


def test_ready_made_splits(folder, tmp_path):
    for split in ("train", "test"):
        (tmp_path / "ready" / split).mkdir(parents=True)
        for name in ("owl", "red_fox"):
            (tmp_path / "ready" / split / name).symlink_to(folder / name)
    task = load_task(tmp_path / "ready", shots=None)
    assert task.class_names == ("owl", "red fox") and len(task.val) == 0
    assert len(task.train) == len(task.test) == 24


def test_task_from_a_folder(folder):
    task = load_task(folder, shots=3, classes=["owl", "red_fox"], ood=folder / "Grey-Wolf")
    assert task.class_names == ("owl", "red fox") and np.bincount(task.train.labels).tolist() == [
        3,
        3,
    ]
    assert len(task.ood["Grey-Wolf"]) == 7 and (task.ood["Grey-Wolf"].labels == -1).all()
    assert not {*task.train.paths} & {*task.test.paths}


def test_corrupt_files_stop_or_are_skipped(folder, capsys):
    (folder / "owl" / "99.jpg").write_bytes(b"junk")
    task = load_task(folder, shots=1, skip_corrupt=True)
    out, err = capsys.readouterr()
    assert out == "" and "skipped" in err and "99.jpg" in err
    assert all(
        "99.jpg" not in str(p) for images in (task.train, task.val, task.test) for p in images.paths
    )


@pytest.mark.parametrize(
    "arguments, message",
    [
        (dict(source="/no/such/folder"), "can't list the folder /no/such/folder: No such"),
        (dict(classes=["owl", "bat"]), "has no class 'bat'"),
        (dict(classes=["owl"]), "at least 2"),
        (dict(classes=["owl", "Owl"]), "same class name 'owl'; give each class once"),
        (dict(shots=9), "class 'Grey-Wolf' has 4 images to train on .*fewer than 9 shots"),
        (dict(ood="/no/such/folder"), "can't list the folder /no/such/folder: No such"),
    ],
)
def test_errors(folder, arguments, message):
    with pytest.raises(ValueError, match=message):
        load_task(**{"source": folder, "shots": 1, **arguments})


def test_an_empty_class_is_named(folder):
    (folder / "lynx").mkdir()
    with pytest.raises(ValueError, match="class 'lynx' has no images"):
        load_task(folder, shots=1)


def test_two_folders_of_one_name(folder):
    (folder / "red fox").mkdir()
    picture().save(folder / "red fox" / "0.jpg")
    with pytest.raises(ValueError, match="same class name 'red fox'"):
        load_task(folder, shots=1)


def test_two_ood_sets_of_one_name(folder, tmp_path):
    for place in ("here", "there"):
        (tmp_path / place).mkdir()
        (tmp_path / place / "owls").symlink_to(folder / "owl")
    with pytest.raises(ValueError, match="there/owls has the name of another one; rename its"):
        load_task(
            folder,
            shots=1,
            classes=["red_fox", "Grey-Wolf"],
            ood=[tmp_path / "here/owls", tmp_path / "there/owls"],
        )


def test_test_folder_is_needed(folder, tmp_path):
    (tmp_path / "half").mkdir()
    (tmp_path / "half" / "train").symlink_to(folder)
    (tmp_path / "half" / "more").mkdir()
    (tmp_path / "half" / "more" / "x.jpg").symlink_to(folder / "owl" / "00.jpg")
    with pytest.raises(ValueError, match=r"has no test images; add some"):
        load_task(tmp_path / "half", shots=1)
    (tmp_path / "half" / "train").rename(tmp_path / "half" / "test")
    with pytest.raises(ValueError, match=r"class 'Grey-Wolf' has 0 images to train on"):
        load_task(tmp_path / "half", shots=1)


def test_other_names_of_the_validation_folder(folder, tmp_path):
    for split in ("train", "valid", "test"):
        (tmp_path / "ready").mkdir(exist_ok=True)
        (tmp_path / "ready" / split).symlink_to(folder)
    assert len(load_task(tmp_path / "ready", shots=1).val) == 31


def test_hidden_folders_are_left_out(folder):
    (folder / "owl" / ".ipynb_checkpoints").mkdir()
    picture().save(folder / "owl" / ".ipynb_checkpoints" / "00-checkpoint.jpg")
    assert len(parts(load_task(folder, shots=None))) == 31


def test_a_new_photo_or_class_moves_few_others(folder):
    before = parts(load_task(folder, shots=None))
    picture().save(folder / "owl" / "new.jpg")
    after = parts(load_task(folder, shots=None, classes=["owl", "red_fox"]))
    moved = [p for p in after if p in before and before[p] != after[p]]
    assert len(moved) <= 2


def test_tiny_classes_still_have_a_test_image(tmp_path):
    for name in "ab":
        (tmp_path / name).mkdir()
        for i in range(3):
            picture().save(tmp_path / name / f"{i}.png")
    task = load_task(tmp_path, shots=2)
    assert np.bincount(task.test.labels).tolist() == [1, 1] and np.bincount(
        task.train.labels
    ).tolist() == [2, 2]


def test_damaged_exif_costs_nothing(tmp_path, monkeypatch):
    def broken(image):
        raise TypeError("bad tag")

    picture().save(tmp_path / "x.jpg")
    monkeypatch.setattr("PIL.ImageOps.exif_transpose", broken)
    assert read_image(tmp_path / "x.jpg").size == (20, 12)


def test_a_corrupt_photo_is_one_line_also_from_a_thread(folder, tiny):
    (folder / "owl" / "99.jpg").write_bytes(b"junk")
    images = FolderImages(sorted((folder / "owl").iterdir()), [0] * 14)
    with pytest.raises(ValueError, match="can't read the image .*99.jpg") as error:
        encode(tiny, images)
    assert len(str(error.value).splitlines()) == 1


def test_ood_images_can_be_skipped_too(folder, capsys):
    (folder / "Grey-Wolf" / "99.jpg").write_bytes(b"junk")
    task = load_task(
        folder, shots=1, classes=["owl", "red_fox"], ood=folder / "Grey-Wolf", skip_corrupt=True
    )
    assert len(task.ood["Grey-Wolf"]) == 7 and "99.jpg" in capsys.readouterr().err
