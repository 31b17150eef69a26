"""Situations of real folders, lists and files: the task that comes out, or what is said."""

import io
import os
import subprocess
import sys
import unicodedata

import numpy as np
import pytest
from PIL import Image

from sotglp_core import load_task
from sotglp_core.data import FolderImages, images, read_image
from sotglp_core.data.folders import list_images, part_of
from sotglp_core.data.names import same
from sotglp_core.data.task import load_test_task

CLASSES = ("cup", "emu", "lotus")
NFC, NFD = (unicodedata.normalize(form, "Müller") for form in ("NFC", "NFD"))
STREAM = io.BytesIO()
Image.effect_noise((24, 20), 60).save(STREAM, "JPEG")


def photos(folder, number=6, classes=CLASSES):
    for name in classes:
        (folder / name).mkdir(parents=True, exist_ok=True)
        for i in range(number):
            (folder / name / f"{i}.jpg").write_bytes(STREAM.getvalue())
    return folder


def sizes(task):
    return [len(part) for part in (task.train, task.val, task.test)]


@pytest.mark.parametrize(
    "train, val, test",
    [
        ("Train", "Valid", "Test"),
        ("TRAIN", "VAL", "TEST"),
        ("training_set", "validation_set", "test_set"),
        ("train2017", "val2017", "test2017"),
        ("train_images", "dev", "testing"),
    ],
)
def test_split_folders_are_no_classes(tmp_path, train, val, test):
    for name, number in ((train, 6), (val, 2), (test, 3)):
        photos(tmp_path / name, number)
    task = load_task(tmp_path, shots=4)
    assert task.class_names == CLASSES and sizes(task) == [12, 6, 9]
    assert sizes(load_test_task(tmp_path, CLASSES)) == [0, 0, 9]


@pytest.mark.parametrize("name", ["trains", "latest", "value", "contest", "train station"])
def test_other_words_are_no_parts(name):
    assert part_of(name) == ""


def test_a_class_may_be_called_train(tmp_path):
    task = load_task(photos(tmp_path, classes=("train", "bus", "test")), shots=2)
    assert task.class_names == ("bus", "test", "train")


@pytest.mark.parametrize("inner", ["photos", "images", "a/b/c"])
def test_the_only_folder_with_images_is_read(tmp_path, inner):
    photos(tmp_path / inner)
    (tmp_path / "annotations").mkdir()
    (tmp_path / "annotations" / "x.xml").write_text("")
    assert load_task(tmp_path, shots=1).class_names == CLASSES


def test_folders_that_may_be_anything_are_refused(tmp_path):
    for name in ("fold1", "fold2"):
        photos(tmp_path / "folds" / name)
    for name in CLASSES:
        photos(tmp_path / "turned" / name, classes=("train", "test"))
    for folder, folders in (("folds", "cup, emu, lotus"), ("turned", "test, train")):
        with pytest.raises(ValueError, match=f"all have the folders {folders}, so it is not clear"):
            load_task(tmp_path / folder, shots=1)


@pytest.mark.parametrize(
    "nested, refused", [("cup/cup", True), ("emu/cup", True), ("emu/old", False)]
)
def test_a_class_in_a_class(tmp_path, nested, refused):
    photos(photos(tmp_path) / nested, classes=(".",))
    if refused:
        with pytest.raises(ValueError, match="has a folder 'cup', which is a class, too"):
            load_task(tmp_path, shots=1)
    else:
        assert sum(sizes(load_task(tmp_path, shots=None))) == 24


def test_two_folders_for_one_part(tmp_path):
    for name in ("train", "val", "valid", "test"):
        photos(tmp_path / name)
    with pytest.raises(ValueError, match="has val/ and valid/, which both are val images"):
        load_task(tmp_path, shots=1)


def test_what_is_left_out_is_said(tmp_path, capsys):
    photos(tmp_path / "train")
    photos(tmp_path / "test", classes=CLASSES[:2])
    photos(tmp_path / "unlabelled", 3, classes=("a",))
    (tmp_path / "train" / "cup" / "clip.mov").write_text("")
    (tmp_path / "test" / "loose.jpg").write_text("")
    (tmp_path / "train" / "gone").symlink_to("nowhere")
    load_task(tmp_path, shots=1)
    said = capsys.readouterr().err
    assert "left out are 6 files, such as" in said
    assert "there are no test images of 1 classes, such as lotus" in said
    photos(tmp_path / "test", classes=("ant",))
    with pytest.raises(ValueError, match="class 'ant' has 0 images to train on"):
        load_task(tmp_path, shots=1)
    assert len(load_task(tmp_path, shots=1, classes=CLASSES).test) == 12


def test_what_systems_leave_behind_is_nothing(tmp_path, capsys):
    litter = (
        "cup/@eaDir/x.jpg",
        "__MACOSX/cup/y.jpg",
        "cup/.DS_Store",
        "Thumbs.db",
        "#recycle/z.jpg",
    )
    for name in litter:
        path = photos(tmp_path) / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(STREAM.getvalue())
    task = load_task(tmp_path, shots=None)
    assert task.class_names == CLASSES and sum(sizes(task)) == 18 and not capsys.readouterr().err


def test_an_ood_set_may_not_hold_the_tasks_images(tmp_path, capsys):
    photos(tmp_path / "a")
    with pytest.raises(ValueError, match="has 18 images, 12 of them the task's own .*cup/"):
        load_task(tmp_path / "a", shots=None, classes=CLASSES[:2], ood=tmp_path / "a")
    task = load_task(
        tmp_path / "a", classes=CLASSES[:2], shots=1, ood=tmp_path / "a", ood_exclude=CLASSES[:2]
    )
    assert len(task.ood["a"]) == 6
    photos(tmp_path / "other", classes=("Cup", "bat"))
    load_task(tmp_path / "a", shots=1, ood=tmp_path / "other")
    assert "has a folder 'cup', which is a class of the task" in capsys.readouterr().err


@pytest.mark.parametrize("here, there", [(NFC, NFD), (NFD, NFC)])
def test_composed_and_decomposed_names_are_the_same(tmp_path, here, there):
    photos(tmp_path / "a", classes=(here, "b"))
    assert load_task(tmp_path / "a", shots=1).class_names == (NFC, "b")
    for arguments in (dict(classes=["b", there]), dict(names={there: "Mueller", "b": "b"})):
        assert len(load_task(tmp_path / "a", shots=1, **arguments).class_names) == 2
    assert len(load_test_task(tmp_path / "a", ("b", there)).test) == 12
    rows = [f"{here}/{i}.jpg,{there}\nb/{i}.jpg,b" for i in range(6)]
    (tmp_path / "a" / "x.csv").write_text("\n".join(["path,label", *rows]), encoding="utf-8")
    assert load_task(tmp_path / "a" / "x.csv", shots=1).class_names == (NFC, "b")
    for part, name in (("train", here), ("test", there)):
        photos(tmp_path / "parts" / part, classes=(name, "b"))
    assert load_task(tmp_path / "parts", shots=1).class_names == (NFC, "b")


def test_spellings_of_one_name():
    assert same("Red_fox") == same("red fox") == same("RedFox") == same(" RED-FOX")
    assert len({same(name) for name in ("C", "C++", "C#", "c.")}) == 4


def test_everything_that_is_given_is_tested(tmp_path, capsys):
    photos(tmp_path / "new", 20)
    task = load_test_task(tmp_path / "new", ("lotus", "CUP", "emu", "crab"))
    assert task.class_names == ("lotus", "CUP", "emu", "crab")
    assert np.bincount(task.test.labels).tolist() == [20, 20, 20]
    assert all(
        ("lotus", "cup", "emu")[label] in path.parts
        for path, label in zip(task.test.paths, task.test.labels)
    )
    assert "60 images of 3 of the 4 classes" in capsys.readouterr().err
    task = load_test_task(tmp_path / "new", ("emu", "lotus"))
    assert len(task.test) == 40 and "left out are cup" in capsys.readouterr().err
    with pytest.raises(ValueError, match=r"none of the classes \(ant, bat ...\); it has cup, emu"):
        load_test_task(tmp_path / "new", ("ant", "bat"))
    photos(tmp_path / "half" / "test", 3, classes=("emu",))
    assert load_test_task(tmp_path / "half", CLASSES).test.labels.tolist() == [1, 1, 1]
    rows = "".join(f"new/{name}/1.jpg,{name},test\n" for name in ("lotus", "cup"))
    (tmp_path / "list.csv").write_text("path,label,split\n" + rows)
    assert load_test_task(tmp_path / "list.csv", CLASSES).test.labels.tolist() == [2, 0]
    names = {"cup": "mug", "emu": "bird", "lotus": "flower"}
    assert len(load_test_task(tmp_path / "new", ("flower", "mug"), names=names).test) == 40


def test_a_test_task_of_the_embedded_world():
    everything = load_task(shots=1)
    names = everything.class_names[5:2:-1]
    task = load_test_task("pocket", names, shifts="night")
    assert task.class_names == names and len(task.train) == len(task.val) == 0
    assert np.bincount(task.test.labels).tolist() == [50, 50, 50]
    assert task.test.names == everything.test.names[150:300]
    assert task.test.labels.tolist() == [2] * 50 + [1] * 50 + [0] * 50
    assert set(task.ood) == set(everything.ood) and len(task.shifts["night"]) == 150


@pytest.mark.parametrize("head", ["path,label", "path;label"])
def test_lists_from_windows(tmp_path, head):
    photos(tmp_path)
    comma = head[-6]
    rows = [f"{name}\\{i}.jpg{comma}{name}" for name in CLASSES for i in range(6)]
    text = "\ufeff" + "\r\n".join([head, *rows]) + "\r\n"
    (tmp_path / "list.csv").write_bytes(text.encode())
    assert load_task(tmp_path / "list.csv", shots=1).class_names == CLASSES
    (tmp_path / "names.csv").write_bytes(
        "\ufefffolder,name\r\ncup,mug\r\nemu,bird\r\nlotus,flower\r\n".encode()
    )
    task = load_task(tmp_path / "list.csv", shots=1, names=tmp_path / "names.csv")
    assert task.class_names == ("mug", "bird", "flower")


def test_of_two_columns_of_labels_the_names_are_taken(tmp_path):
    photos(tmp_path)
    rows = "".join(f"{label},{name}/1.jpg,{name}\n" for label, name in enumerate(CLASSES))
    (tmp_path / "list.csv").write_text("label,path,species\n" + rows)
    assert load_test_task(tmp_path / "list.csv", CLASSES).test.labels.tolist() == [0, 1, 2]


@pytest.mark.parametrize("bits", [9, 10, 12, 14, 16])
def test_grey_levels_of_any_depth_are_seen(tmp_path, bits):
    levels = np.linspace(0, 2**bits - 1, 240).astype(np.uint16).reshape(12, 20)
    for number, brightest in enumerate((1, 3)):
        Image.fromarray(levels // brightest).save(tmp_path / f"{number}.png")
        pixels = np.asarray(read_image(tmp_path / f"{number}.png"))
        assert pixels.max() == 255 and abs(int(np.median(pixels)) - 127) < 3


def test_no_other_program_runs(tmp_path):
    eps = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n%%EndComments\n{} loop\n"
    for name in ("x.jpg", "x.eps"):
        (tmp_path / name).write_bytes(eps)
        with pytest.raises(ValueError, match="is not an image in one of the formats .*JPEG"):
            read_image(tmp_path / name)
    assert "EPS" not in images.FORMATS and [p.name for p in list_images(tmp_path)] == ["x.jpg"]


def test_a_jpeg_of_endless_scans_is_refused(tmp_path):
    stream = io.BytesIO()
    Image.new("L", (64, 64)).save(stream, "JPEG", progressive=True)
    content = stream.getvalue()
    last = content.rindex(b"\xff\xda")
    for scans, refused in ((50, False), (5000, True)):
        (tmp_path / "x.jpg").write_bytes(content[:-2] + content[last:-2] * scans + b"\xff\xd9")
        if refused:
            with pytest.raises(ValueError, match="it is a JPEG of more than 200 scans"):
                read_image(tmp_path / "x.jpg")
        else:
            assert read_image(tmp_path / "x.jpg").size == (64, 64)


def test_a_file_is_hashed_again_only_after_a_change(tmp_path, monkeypatch):
    photos(tmp_path)
    paths = list_images(tmp_path)
    first = FolderImages(paths, [0] * 18).fingerprint()
    with monkeypatch.context() as patch:
        patch.setattr("hashlib.file_digest", lambda *_: pytest.fail("hashed again"))
        assert FolderImages(paths, [1] * 18).subset(range(18)).fingerprint() == first
    os.replace(tmp_path / "cup" / "0.jpg", tmp_path / "cup" / "9.jpg")
    (tmp_path / "cup" / "0.jpg").write_bytes(STREAM.getvalue() + b"x")
    assert FolderImages(paths, [0] * 18).fingerprint() != first


@pytest.mark.slow
def test_warnings_of_damaged_files_are_not_shown(tmp_path):
    Image.new("RGB", (9, 9)).save(tmp_path / "x.jpg", exif=b"Exif\0\0II*\0\x08\0\0\0\xff\xff")
    Image.new("L", (12_000, 9_000)).save(tmp_path / "y.png")
    code = (
        "import sys; from sotglp_core.data import read_image\nfor p in sys.argv[1:]: read_image(p)"
    )
    command = [sys.executable, "-c", code, tmp_path / "x.jpg", tmp_path / "y.png"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0 and not done.stderr


@pytest.mark.parametrize("number", [4, 5])
def test_halves_of_the_classes(tmp_path, number):
    """As in CoCoOp: of an odd number, the base classes are one more."""
    names = tuple("abcde"[:number])
    photos(tmp_path, classes=names)
    halves = [load_task(tmp_path, shots=1, classes=[half]) for half in ("base", "new")]
    half = (number + 1) // 2
    assert [task.class_names for task in halves] == [names[:half], names[half:]]
    assert [sizes(task) for task in halves] == [[n, n, n] for n in (half, number - half)]
