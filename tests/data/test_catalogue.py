"""The catalogue: every dataset from a miniature of its real layout; split files; shifted and OOD sets; `sotglp data`."""

import io
import json
import shutil
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
import torchvision
from commands import run
from PIL import Image

from sotglp_core import SOTGLP, evaluate, load_task, preset
from sotglp_core.data.catalogue import CATALOGUE, ROWS, detect
from sotglp_core.data.sampling import few_shot
from sotglp_core.data.splits import parse_community, read_split
from sotglp_core.method.model import with_template

DATA = Path(__file__).parents[3] / "shared" / "data"
TEN = range(1, 11)
CLASSES = [row for row in ROWS if row.kind == "classes"]
BUFFER = io.BytesIO()
Image.new("RGB", (8, 8), "teal").save(BUFFER, "JPEG")


def picture(path):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(BUFFER.getvalue())


def text(path, lines):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(f"{line}\n" for line in lines))


def imagenet(folder):
    text(folder / "classnames.txt", ["n01440764 tench", "n03773504 missile", "n04008634 missile"])
    for key in ("n01440764", "n03773504", "n04008634"):
        for i in TEN:
            picture(folder / f"images/train/{key}/{key}_{i}.JPEG")
        picture(folder / f"images/val/{key}/ILSVRC2012_val_0000000{i}.JPEG")
    return ("tench", "missile", "projectile"), (30, 0, 3)


def caltech101(folder):
    for name in ("BACKGROUND_Google", "Faces_easy", "Faces", "airplanes", "cougar_body"):
        for i in TEN:
            picture(folder / f"101_ObjectCategories/{name}/image_{i:04}.jpg")
    return ("face", "airplane", "cougar body"), (15, 6, 9)


def oxford_pets(folder):
    for part, numbers in (("trainval", TEN[:5]), ("test", TEN[5:])):
        breeds = ("Abyssinian", "great_pyrenees", "yorkshire_terrier")
        rows = [(f"{breed}_{i}", label) for label, breed in enumerate(breeds, 1) for i in numbers]
        text(folder / f"annotations/{part}.txt", [f"{image} {label} 1 1" for image, label in rows])
        for image, _ in rows:
            picture(folder / f"images/{image}.jpg")
    return ("abyssinian", "great pyrenees", "yorkshire terrier"), (12, 3, 15)


def stanford_cars(folder):
    savemat = pytest.importorskip("scipy.io").savemat
    (folder / "devkit").mkdir(parents=True)
    models = ["AM General Hummer SUV 2000", "Acura RL Sedan 2012", "smart fortwo Convertible 2012"]
    savemat(folder / "devkit/cars_meta.mat", {"class_names": np.array(models, dtype=object)})
    for place, file in (
        ("cars_train", "devkit/cars_train_annos.mat"),
        ("cars_test", "cars_test_annos_withlabels.mat"),
    ):
        rows = [(f"{i + 5 * label:05}.jpg", label) for label in (1, 2, 3) for i in TEN[:5]]
        savemat(
            folder / file,
            {"annotations": np.array(rows, dtype=[("fname", object), ("class", object)])},
        )
        for name, _ in rows:
            picture(folder / place / name)
    return ("2000 AM General Hummer SUV", "2012 Acura RL Sedan", "2012 smart fortwo Convertible"), (
        12,
        3,
        15,
    )


def oxford_flowers(folder):
    savemat = pytest.importorskip("scipy.io").savemat
    for i in range(1, 31):
        picture(folder / f"jpg/image_{i:05}.jpg")
    savemat(folder / "imagelabels.mat", {"labels": np.repeat([1, 2, 3], 10)[None]})
    number = np.arange(1, 31).reshape(3, 10)
    savemat(
        folder / "setid.mat",
        {
            "trnid": number[:, :2].ravel(),
            "valid": number[:, 2:4].ravel(),
            "tstid": number[:, 4:].ravel(),
        },
    )
    (folder / "cat_to_name.json").write_text(
        json.dumps({"1": "pink primrose", "2": "hard-leaved pocket orchid", "3": "sweet pea"})
    )
    return ("pink primrose", "hard-leaved pocket orchid", "sweet pea"), (6, 6, 18)


def food101(folder):
    for part, numbers in (("train", TEN[:5]), ("test", TEN[5:])):
        rows = [f"{name}/{i}" for name in ("apple_pie", "pho", "waffles") for i in numbers]
        text(folder / f"meta/{part}.txt", rows)
        for row in rows:
            picture(folder / f"images/{row}.jpg")
    return ("apple pie", "pho", "waffles"), (12, 3, 15)


def fgvc_aircraft(folder):
    names = ("707-320", "Boeing 717", "An-12")
    text(folder / "variants.txt", names)
    for part, numbers in (("train", TEN[:3]), ("val", TEN[3:6]), ("test", TEN[6:])):
        rows = [
            (f"{100 * label + i:07}", name) for label, name in enumerate(names) for i in numbers
        ]
        text(folder / f"images_variant_{part}.txt", [f"{image} {name}" for image, name in rows])
        for image, _ in rows:
            picture(folder / f"images/{image}.jpg")
    return names, (9, 9, 12)


def sun397(folder):
    names = ("/a/abbey", "/a/apartment_building/outdoor", "/b/bar")
    text(folder / "ClassName.txt", names)
    for file, numbers in (("Training_01.txt", TEN[:5]), ("Testing_01.txt", TEN[5:])):
        rows = [f"{name}/sun_{i}.jpg" for name in names for i in numbers]
        text(folder / file, rows)
        for row in rows:
            picture(folder / f"SUN397{row}")
    return ("abbey", "outdoor apartment building", "bar"), (12, 3, 15)


def dtd(folder):
    for part, numbers in (("train", TEN[:3]), ("val", TEN[3:6]), ("test", TEN[6:])):
        rows = [
            f"{name}/{name}_{i:04}.jpg"
            for name in ("banded", "dotted", "polka-dotted")
            for i in numbers
        ]
        text(folder / f"labels/{part}1.txt", rows)
        for row in rows:
            picture(folder / f"images/{row}")
    return ("banded", "dotted", "polka-dotted"), (9, 9, 12)


def eurosat(folder):
    for name in ("AnnualCrop", "Forest", "SeaLake"):
        for i in TEN:
            picture(folder / f"2750/{name}/{name}_{i}.jpg")
    return ("Annual Crop Land", "Forest", "Sea or Lake"), (15, 6, 9)


def ucf101(folder):
    names = {"ApplyEyeMakeup": "Apply_Eye_Makeup", "Archery": "Archery", "YoYo": "Yo_Yo"}
    text(
        folder / "ucfTrainTestlist/classInd.txt", [f"{i} {name}" for i, name in enumerate(names, 1)]
    )
    for part, numbers in (("train", TEN[:5]), ("test", TEN[5:])):
        rows = [(name, f"v_{name}_g{i:02}_c01") for name in names for i in numbers]
        text(
            folder / f"ucfTrainTestlist/{part}list01.txt",
            [f"{name}/{video}.avi" for name, video in rows],
        )
        for name, video in rows:
            picture(folder / f"UCF-101-midframes/{names[name]}/{video}.jpg")
    return ("Apply Eye Makeup", "Archery", "Yo Yo"), (12, 3, 15)


def make(row, root):
    return globals()[row.name](root / row.folder)


def counts(task_or_split):
    return tuple(len(task_or_split[part]) for part in ("train", "val", "test"))


@pytest.mark.parametrize("row", CLASSES, ids=lambda row: row.name)
def test_the_official_split_of_every_dataset(row, tmp_path, capsys):
    names, sizes = make(row, tmp_path)
    split = read_split(row, row.find(tmp_path))
    assert split.class_names == names and counts(split.images) == sizes
    assert not {*split.images["train"].paths} & {*split.images["test"].paths}
    again = read_split(row, row.find(tmp_path))
    assert again.images["train"].paths == split.images["train"].paths
    task = load_task(row.name, root=tmp_path, shots=2)
    assert (
        task.class_names == names
        and np.bincount(task.train.labels).tolist() == [2, 2, 2]
        and task.template == row.template
    )
    assert task.train[0].size == (8, 8)
    said = capsys.readouterr().err
    assert (
        row.title in said
        and split.source in said
        and (not row.split or f"no {row.split}, so" in said)
    )


@pytest.mark.parametrize("row", [r for r in CLASSES if r.split], ids=lambda row: row.name)
def test_the_community_split_comes_first_and_names_the_folder(row, tmp_path, capsys):
    names, _ = make(row, tmp_path)
    folder = row.find(tmp_path)
    images = read_split(row, folder).images
    base = folder / row.images
    rows = {
        part: [
            [p.relative_to(base).as_posix(), int(label), names[label].replace(" ", "_")]
            for p, label in zip(i.paths, i.labels)
        ]
        for part, i in images.items()
    }
    rows["train"].append(rows["test"].pop())
    (folder / row.split).write_text(json.dumps(rows))
    folder = folder.rename(tmp_path / "elsewhere")
    assert detect(folder) is row
    task = load_task(folder, shots=1)
    assert task.class_names == names and len(task.test) == len(images["test"]) - 1
    assert f"{row.title}: {row.split}: " in capsys.readouterr().err


@pytest.mark.parametrize("row", [r for r in ROWS if r.kind == "ood"], ids=lambda row: row.name)
def test_every_out_of_distribution_set(row, tmp_path):
    make(CATALOGUE["caltech101"], tmp_path)
    for name in ("a/1.jpg", "a/2.jpg", "3.jpg"):
        picture(tmp_path / row.folder / row.images / name)
    picture(tmp_path / "mine" / "4.jpg")
    task = load_task("caltech101", root=tmp_path, shots=1, ood=[row.name, tmp_path / "mine"])
    assert {name: len(images) for name, images in task.ood.items()} == {
        row.name: 3,
        "mine": 1,
    } and set(task.ood[row.name].labels) == {-1}
    assert (
        len(
            load_task("caltech101", root=tmp_path, shots=1, ood=row.name, ood_exclude=["a"]).ood[
                row.name
            ]
        )
        == 1
    )
    with pytest.raises(ValueError, match="no out-of-distribution folder has a sub-folder 'b'"):
        load_task("caltech101", root=tmp_path, shots=1, ood=row.name, ood_exclude=["a", "b"])


@pytest.mark.parametrize("row", [r for r in ROWS if r.kind == "shift"], ids=lambda row: row.name)
def test_every_shift_of_imagenet(row, tmp_path, capsys):
    make(CATALOGUE["imagenet"], tmp_path)
    base = tmp_path / row.folder / row.images
    for number, wnid in ((1, "n03773504"), (2, "n04008634")):
        picture(base / (str(number) if row.name == "imagenetv2" else wnid) / "x.jpg")
    picture(base / "README" / "x.jpg")
    task = load_task("imagenet", root=tmp_path, shots=1, shifts=row.name)
    assert task.shifts[row.name].labels.tolist() == [1, 2]
    assert "2 images of 2 of the 3 classes; 1 other folders are left out" in capsys.readouterr().err
    task = load_task(
        "imagenet", root=tmp_path, shots=1, shifts=row.name, classes=["projectile", "n03773504"]
    )
    assert task.class_names == ("projectile", "missile") and task.shifts[
        row.name
    ].labels.tolist() == [1, 0]


def test_shifts_of_own_folders_and_of_the_embedded_task(tmp_path):
    for folder in (
        "photos/red_fox",
        "photos/owl",
        "sketches/Red-Fox",
        "sketches/owl",
        "sketches/bat",
        "one/owl",
        "cubs/001.owl",
        "cubs/RedFox",
        "cubs/___",
    ):
        for i in range(4):
            picture(tmp_path / folder / f"{i}.jpg")
    task = load_task(tmp_path / "photos", shots=1, shifts=tmp_path / "sketches")
    assert Counter(task.shifts["sketches"].labels.tolist()) == {
        0: 4,
        1: 4,
    } and task.class_names == ("owl", "red fox")
    assert (
        len(load_task(tmp_path / "photos", shots=1, shifts=tmp_path / "cubs").shifts["cubs"]) == 8
    )
    task = load_task(
        tmp_path / "photos",
        shots=1,
        shifts=tmp_path / "sketches",
        names={"red_fox": "vulpes vulpes", "owl": "bird of night"},
    )
    assert (
        task.class_names == ("bird of night", "vulpes vulpes") and len(task.shifts["sketches"]) == 8
    )
    with pytest.raises(ValueError, match="shares 1 classes with the task"):
        load_task(tmp_path / "photos", shots=1, shifts=[tmp_path / "one"])
    with pytest.raises(ValueError, match="there is no folder"):
        load_task(tmp_path / "photos", shots=1, shifts=[tmp_path / "none"])
    assert len(load_task("pocket", shots=1, shifts="night").shifts["night"]) == 24 * 50


def test_accuracy_under_shift_is_among_the_classes_that_are_there(tiny, features, names):
    model = SOTGLP(tiny, names, preset("zeroshot"))
    only = replace(features, labels=torch.tensor([1, 3] * 5 + [1]))
    result = evaluate(model, features, shifts={"two": only}, progress=False)
    with torch.no_grad():
        answer = model(only.batch(slice(None))).logits[:, [1, 3]].argmax(-1) * 2 + 1
    assert (
        result.shifts["two"]
        == pytest.approx(float((answer == only.labels).double().mean()))
        == result.to_dict()["shifts"]["two"]
    )


def test_imagenets_two_missiles_are_told_apart_only_if_they_need_to_be(tmp_path):
    make(CATALOGUE["imagenet"], tmp_path)
    text(
        tmp_path / "imagenet/classnames.txt",
        ["n01440764 tench", "n03773504 missile", "n04008634 flying thing"],
    )
    assert read_split(CATALOGUE["imagenet"], tmp_path / "imagenet").class_names == (
        "tench",
        "missile",
        "flying thing",
    )


def test_a_split_of_some_classes(tmp_path):
    make(CATALOGUE["caltech101"], tmp_path)
    task = load_task("caltech101", root=tmp_path, shots=2, classes=["Airplane", "Faces"])
    assert task.class_names == ("airplane", "face") and all(
        "airplanes" in str(p) for p in task.train.paths[:2]
    )
    for classes, message in (
        (["bat", "face"], "no class 'bat'"),
        (["face"], "at least two"),
        (["face", "Faces"], "name each once"),
    ):
        with pytest.raises(ValueError, match=message):
            load_task("caltech101", root=tmp_path, classes=classes)


@pytest.mark.parametrize(
    "change, message",
    [
        (lambda s: s["train"].append(["../../secret.jpg", 0, "face"]), "lies outside"),
        (lambda s: s["train"].append(["/etc/passwd", 0, "face"]), "lies outside"),
        (lambda s: s["val"].append(["a\\..\\b.jpg", 0, "face"]), "lies outside"),
        (lambda s: s["val"].append(["", 0, "face"]), "lies outside"),
        (
            lambda s: s["train"].append(["x.jpg", 0, "crab"]),
            "label 0 has two class names, 'face' and 'crab'",
        ),
        (lambda s: s["train"].append(["x.jpg", 2, "face"]), "class 'face' has two labels, 0 and 2"),
        (lambda s: s["train"].append(["x.jpg", 3, "crab"]), "the labels skip 2"),
        (lambda s: s["train"].append(["x.jpg", -1, "crab"]), "the labels skip 1|must be 0 to"),
        (
            lambda s: s["train"].append(["x.jpg", "0", "face"]),
            r"entry 1 of train .*needs \[image, label, class name\]",
        ),
        (lambda s: s["train"].append(["x.jpg", True, "face"]), "entry 1 of train"),
        (lambda s: s["train"].append({"x.jpg": 0}), "entry 1 of train"),
        (
            lambda s: s["test"].append(["Faces/1.jpg", 0, "face"]),
            "named twice, in train and in test",
        ),
        (lambda s: s["test"].append(["./Faces/1.jpg", 0, "face"]), "named twice"),
        (lambda s: s["train"].append(["a\nb\ud800.jpg", 0, "face"]), "3 of the 3 images"),
        (lambda s: s["train"].append(["x.jpg", 2, "cr\ud800ab"]), "can't be written in a prompt"),
        (lambda s: s["train"].append(["x.jpg", 2, " _ "]), "can't be written in a prompt"),
        (lambda s: s["test"].clear(), "it has 1 classes"),
        (lambda s: s.pop("test"), "lists named train, val and test"),
        (lambda s: s.update(val={}), "lists named train, val and test"),
        (lambda s: None, "2 of the 2 images of Caltech-101 are not there"),
    ],
)
def test_damaged_split_files(change, message, tmp_path):
    folder = tmp_path / "caltech-101"
    (folder / "101_ObjectCategories").mkdir(parents=True)
    split = {
        "train": [["Faces/1.jpg", 0, "face"]],
        "val": [],
        "test": [["airplanes/1.jpg", 1, "airplane"]],
    }
    change(split)
    (folder / "split_zhou_Caltech101.json").write_text(json.dumps(split))
    with pytest.raises(ValueError, match=message) as error:
        load_task(folder)
    assert len(str(error.value).splitlines()) == 1 and str(error.value).encode()


@pytest.mark.parametrize("content", [b"", b"[]", b"{", b"\xff\xfe\x00", b"[" * 100_000])
def test_split_files_that_are_none(content, tmp_path):
    (tmp_path / "split.json").write_bytes(content)
    with pytest.raises(ValueError, match="can't be read as JSON|is not a split file") as error:
        parse_community(tmp_path / "split.json", tmp_path)
    assert len(str(error.value).splitlines()) == 1


@pytest.mark.parametrize(
    "name, file, content, message",
    [
        (
            "oxford_pets",
            "annotations/trainval.txt",
            None,
            "the community's split_zhou_OxfordPets.json and the official annotat",
        ),
        ("oxford_pets", "annotations/trainval.txt", b"Abyssinian_1\n", "fewer than 2 words"),
        ("oxford_pets", "annotations/test.txt", b"\xff\xfe", "can't be read"),
        ("food101", "meta/train.txt", b"../../etc/1\n", "lies outside"),
        ("fgvc_aircraft", "variants.txt", b"707-320\nAn-12\n", "names the class 'Boeing 717'"),
        (
            "ucf101",
            "ucfTrainTestlist/testlist01.txt",
            b"Archery/v_none.avi\n",
            "1 of the 16 images .* are not there",
        ),
        ("imagenet", "classnames.txt", b"n01440764 tench\n", "is no class of classnames.txt"),
        ("oxford_flowers", "setid.mat", b"junk", "can't be read as a MATLAB file"),
        ("oxford_flowers", "cat_to_name.json", b"{}", "don't fit each other"),
        ("oxford_flowers", "cat_to_name.json", None, "nor the flowers' names, cat_to_name.json"),
        ("stanford_cars", "devkit/cars_meta.mat", b"junk", "can't be read as a MATLAB file"),
        (
            "stanford_cars",
            "devkit/cars_meta.mat",
            "cars_test_annos_withlabels.mat",
            "are not the Stanford Cars annotations",
        ),
        (
            "imagenet",
            "images/val",
            "images/elsewhere",
            "there is no folder .*; unpack ImageNet's val images there",
        ),
        (
            "ucf101",
            "ucfTrainTestlist/classInd.txt",
            b"1 ApplyEyeMakeup\n2 Archery\n3 YoYo\n4 Yo_Yo\n",
            "two classes have the name 'Yo Yo'",
        ),
    ],
)
def test_damaged_official_splits(name, file, content, message, tmp_path):
    make(CATALOGUE[name], tmp_path)
    path = tmp_path / CATALOGUE[name].folder / file
    if isinstance(content, str):  # another place, whose content it gets
        other = tmp_path / CATALOGUE[name].folder / content
        path.replace(other) if path.is_dir() else shutil.copy(other, path)
    else:
        path.write_bytes(content) if content is not None else path.unlink()
    with pytest.raises(ValueError, match=message) as error:
        load_task(name, root=tmp_path, shots=1)
    assert len(str(error.value).splitlines()) == 1


@pytest.mark.parametrize(
    "arguments, message",
    [
        (dict(source="caltech101"), "give the folder that holds caltech-101 with --root"),
        (dict(source="caltech101", root="ROOT"), "`sotglp data get caltech101"),
        (dict(source="caltech", root="ROOT"), "did you mean 'caltech101'"),
        (dict(source="pocket", names={"a": "b"}), "names are for photos of your own"),
        (dict(source="eurosat", root="MADE", names={"a": "b"}), "names are for photos of your own"),
    ],
)
def test_datasets_that_are_not_there(arguments, message, tmp_path):
    make(CATALOGUE["eurosat"], tmp_path / "made")
    arguments = {
        key: tmp_path / "made" if value == "MADE" else value for key, value in arguments.items()
    }
    with pytest.raises(ValueError, match=message):
        load_task(
            **{key: tmp_path if value == "ROOT" else value for key, value in arguments.items()}
        )


@pytest.mark.parametrize("row", [r for r in ROWS if r.split], ids=lambda row: row.name)
def test_real_split_files(row):
    found = [p for p in (DATA / "splits" / row.split, DATA / row.folder / row.split) if p.is_file()]
    if not found:
        pytest.skip(f"{row.split} is not on this machine")
    split = parse_community(found[0], "images")
    assert counts(split.images) == row.counts and len(split.class_names) == row.classes == len(
        set(split.class_names)
    )
    assert all(set(range(row.classes)) == set(images.labels) for images in split.images.values())


@pytest.mark.skipif(
    not (DATA / "caltech-101").is_dir(), reason="the Caltech-101 photos are not on this machine"
)
def test_real_caltech_is_as_it_should_be(monkeypatch, capsys, tmp_path):
    code, out, _ = run(monkeypatch, capsys, "data", "check", DATA, "--json")
    line = next(line for line in json.loads(out) if line["name"] == "caltech101")
    assert (
        code == 0
        and line["images"] == [4128, 1649, 2465]
        and line["classes"] == 100
        and not line["wrong"]
    )
    (tmp_path / "caltech-101").mkdir()
    (tmp_path / "caltech-101" / "101_ObjectCategories").symlink_to(
        DATA / "caltech-101" / "101_ObjectCategories"
    )
    assert counts(read_split(CATALOGUE["caltech101"], tmp_path / "caltech-101").images) == (
        4128,
        1649,
        2465,
    ), "CoOp's 50/20/30 by itself"


def test_check_says_what_is_wrong(tmp_path, monkeypatch, capsys):
    make(CATALOGUE["caltech101"], tmp_path)
    make(CATALOGUE["oxford_pets"], tmp_path)
    (tmp_path / "oxford_pets/images/Abyssinian_1.jpg").write_bytes(b"junk")
    (tmp_path / "oxford_pets/images/Abyssinian_2.jpg").unlink()
    Image.effect_noise((90, 90), 60).save(tmp_path / "noise.jpg")
    (tmp_path / "oxford_pets/images/Abyssinian_3.jpg").write_bytes(
        (tmp_path / "noise.jpg").read_bytes()[:2000]
    )
    picture(tmp_path / "iNaturalist/images/x.jpg")
    code, out, _ = run(monkeypatch, capsys, "data", "check", tmp_path)
    assert (
        code == 1
        and "100 classes are expected" in out
        and "4,128 / 1,649 / 2,465 images are expected" in out
    )
    assert "not there: imagenet, stanford_cars" in out
    for extra, unreadable in (((), 1), (("--full",), 2)):
        code, out, _ = run(
            monkeypatch, capsys, "data", "check", tmp_path / "oxford_pets", "--json", *extra
        )
        (line,) = json.loads(out)
        assert code == 1 and any(w.startswith("1 images are missing") for w in line["wrong"])
        assert any(w.startswith(f"{unreadable} images can't be read") for w in line["wrong"])
    (tmp_path / "oxford_pets/annotations/test.txt").unlink()
    code, out, _ = run(monkeypatch, capsys, "data", "check", tmp_path, "--json")
    assert code == 1 and any(
        "missing are the community's" in w for line in json.loads(out) for w in line["wrong"]
    )
    for folder in (tmp_path / "none", tmp_path / "iNaturalist"):
        code, _, err = run(monkeypatch, capsys, "data", "check", folder)
        assert code == 2 and "there is no" in err and len(err.splitlines()) == 1


def test_list(monkeypatch, capsys):
    code, out, _ = run(monkeypatch, capsys, "data", "list")
    assert code == 0 and all(row.name in out and row.title in out for row in ROWS)
    code, out, _ = run(monkeypatch, capsys, "data", "list", "--json")
    assert [line["name"] for line in json.loads(out)] == list(CATALOGUE) and len(
        CATALOGUE
    ) == 11 + 4 + 4


def test_links_are_torchvisions():
    have = {archive.url: archive.md5 for row in ROWS for archive in row.archives}
    pets, flowers, datasets = (
        torchvision.datasets.OxfordIIITPet,
        torchvision.datasets.Flowers102,
        torchvision.datasets,
    )
    theirs = dict(pets._RESOURCES) | {
        flowers._download_url_prefix + name: md5 for name, md5 in flowers._file_dict.values()
    }
    theirs |= {
        cls._URL: getattr(cls, "_MD5", None)
        for cls in (datasets.Food101, datasets.DTD, datasets.FGVCAircraft)
    }
    assert (
        theirs.items() <= have.items() and len(have) == len(theirs) + 2
    )  # Caltech-101's and EuroSAT's links are inside their functions


@pytest.mark.parametrize("template", sorted({row.template for row in CLASSES}))
def test_zero_shot_uses_the_datasets_template(template, tiny, names):
    config = with_template(preset("zeroshot"), template, tiny)
    with torch.no_grad():
        ours = SOTGLP(tiny, names, config).text_features().global_text[:, 0]
        theirs = torch.nn.functional.normalize(
            tiny.encode_text([template.format(name) for name in names]), dim=-1
        )
    torch.testing.assert_close(ours, theirs, atol=1e-4, rtol=1e-4)


def test_train_on_a_dataset_of_the_catalogue(tmp_path, monkeypatch, capsys):
    make(CATALOGUE["dtd"], tmp_path)
    for name in ("banded", "dotted"):
        picture(tmp_path / "photos" / name / "1.jpg")
    picture(tmp_path / "SUN/images/1.jpg")
    common = (
        "--data",
        "dtd",
        "--root",
        tmp_path,
        "--ood",
        "sun",
        "--ood",
        tmp_path / "photos",
        "--ood-exclude",
        "banded",
        "--shift",
        tmp_path / "photos",
    )
    code, out, err = run(
        monkeypatch,
        capsys,
        "train",
        *common,
        "--shots",
        "2",
        "--preset",
        "zeroshot",
        "--out",
        tmp_path / "run",
        "--json",
    )
    assert (
        code == 0
        and set(json.loads(out)["ood"]) == {"sun", "photos", "mean"}
        and set(json.loads(out)["shifts"]) == {"photos"}
    )
    config = json.loads((tmp_path / "run/config.json").read_text())
    assert (
        config["template"] == "{} texture."
        and config["global_context"] == 0
        and "no split_zhou_DescribableTextures.json, so" in err
    )
    code, again, _ = run(monkeypatch, capsys, "evaluate", tmp_path / "run", *common, "--json")
    assert code == 0 and json.loads(again) == json.loads(out)
    code, out, _ = run(
        monkeypatch,
        capsys,
        "train",
        *common[:4],
        "--shots",
        "2",
        "--draw",
        "proportional",
        "--set",
        "epochs=1",
        "--out",
        tmp_path / "two",
    )
    assert (
        code == 0
        and json.loads((tmp_path / "two/config.json").read_text())["template"] == "a photo of a {}."
    )


@pytest.mark.parametrize(
    "sizes, shots", [((60, 30, 11), 7), ((500, 7, 5, 3), 11), ((13, 13, 13), 5), ((97, 2, 2), 1)]
)
def test_the_proportional_draw_is_the_released_codes(sizes, shots):
    from sklearn.model_selection import StratifiedShuffleSplit

    labels = np.repeat(range(len(sizes)), sizes)
    chosen = few_shot(labels, "abcd"[: len(sizes)], shots, 3, draw="proportional")
    theirs, _ = next(
        StratifiedShuffleSplit(1, train_size=shots * len(sizes), random_state=3).split(
            labels, labels
        )
    )
    assert len(set(chosen)) == len(theirs) == shots * len(sizes)
    difference = np.abs(
        np.bincount(labels[chosen], minlength=len(sizes))
        - np.bincount(labels[theirs], minlength=len(sizes))
    )
    assert difference.max() <= 1, "only ties between remainders may fall differently"
    assert (chosen == few_shot(labels, "abcd"[: len(sizes)], shots, 3, draw="proportional")).all()


def test_proportional_draws_that_do_not_work(tmp_path, capsys):
    labels = np.repeat([0, 1], [5, 7])
    with pytest.raises(ValueError, match="12 images to train on, fewer than 7 shots times 2"):
        few_shot(labels, "ab", 7, 1, draw="proportional")
    assert len(few_shot(labels, "ab", 7, 1, draw="proportional", allow_fewer=True)) == 12
    with pytest.raises(ValueError, match="choose exact or proportional"):
        few_shot(labels, "ab", 1, 1, draw="fair")
    for name, number in (("many", 40), ("few", 2)):
        for i in range(number):
            picture(tmp_path / name / f"{i}.jpg")
    load_task(tmp_path, shots=1, draw="proportional")
    assert "leaves 1 of the 2 classes without a training image" in capsys.readouterr().err
