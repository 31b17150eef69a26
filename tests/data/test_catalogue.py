"""The catalogue: every dataset from a miniature of its real layout; split files; shifted and OOD
sets; `sotglp data`.
"""

import hashlib
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
from sotglp_core.data.catalogue import CATALOGUE, known, read_split
from sotglp_core.data.labels import read_list

DATA = Path(__file__).parents[3] / "shared" / "data"
TEN = range(1, 11)
ROWS = list(CATALOGUE.values())
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


def community(row, folder):
    """A miniature of any dataset whose split is CoOp's file."""
    names = ("face", "airplane", "cougar_body")
    rows = {"train": [], "val": [], "test": []}
    for label, name in enumerate(names):
        for i in TEN:
            image = f"{name}/image_{i:04}.jpg"
            picture(folder / row.images / image)
            part = "train" if i < TEN[-5] else "val" if i < TEN[-3] else "test"
            rows[part].append([image, label, name])
    (folder / row.split).write_text(json.dumps(rows))
    return ("face", "airplane", "cougar body"), (15, 6, 9)


def make(row, root):
    """A dataset below ``root``: what its classes are called, and how many images each part has."""
    folder = root / row.folder
    return community(row, folder) if row.split else globals()[row.name](folder)


def counts(listing):
    return tuple(map(len, listing.parts.values()))


@pytest.mark.parametrize("row", CLASSES, ids=lambda row: row.name)
def test_the_split_of_every_dataset(row, tmp_path, capsys):
    names, sizes = make(row, tmp_path)
    split = read_split(row, row.find(tmp_path))
    assert counts(split) == sizes
    task = load_task(row.name, root=tmp_path, shots=2)
    assert task.class_names == names and task.template == row.template
    assert np.bincount(task.train.labels).tolist() == [2, 2, 2]
    assert (len(task.val), len(task.test)) == sizes[1:] and task.train[0].size == (8, 8)
    said = f"{row.title}: {row.split or 'its official split'}: {sizes[0]} train, {sizes[1]} val"
    assert said in capsys.readouterr().err


@pytest.mark.parametrize("row", [r for r in CLASSES if r.split], ids=lambda row: row.name)
def test_a_split_file_names_the_folder_and_is_missed(row, tmp_path):
    names, sizes = make(row, tmp_path)
    folder = row.find(tmp_path).rename(tmp_path / "elsewhere")
    assert known(folder) == (row, folder) == known(folder / row.split)
    for source in (folder, folder / row.split):
        task = load_task(source, shots=1)
        assert task.class_names == names and len(task.test) == sizes[2]
    (folder / row.split).unlink()
    folder = folder.rename(tmp_path / row.folder)
    with pytest.raises(ValueError, match=f"{row.split} is missing; `sotglp data get {row.name}`"):
        load_task(folder)


def test_a_split_file_of_ones_own(tmp_path):
    for name in ("owl", "fox"):
        for i in TEN:
            picture(tmp_path / f"all/{name}/{i}.jpg")
    rows = [
        [f"all\\{name}\\{i}.jpg", label, name]
        for label, name in enumerate(("owl", "fox"))
        for i in TEN
    ]
    content = {"train": rows[:5] + rows[10:15], "val": [], "test": rows[5:10] + rows[15:]}
    (tmp_path / "mine.json").write_text(json.dumps(content), encoding="utf-8-sig")
    task = load_task(tmp_path / "mine.json", shots=3)
    assert task.class_names == ("owl", "fox") and len(task.test) == 10


@pytest.mark.parametrize("row", [r for r in ROWS if r.kind == "ood"], ids=lambda row: row.name)
def test_every_ood_set(row, tmp_path):
    make(CATALOGUE["caltech101"], tmp_path)
    for name in ("a/1.jpg", "a/2.jpg", "3.jpg"):
        picture(tmp_path / row.folder / row.images / name)
    picture(tmp_path / "mine" / "4.jpg")
    here = dict(root=tmp_path, shots=1)
    task = load_task("caltech101", **here, ood=[row.name, tmp_path / "mine"])
    assert {name: len(images) for name, images in task.ood.items()} == {row.name: 3, "mine": 1}
    assert set(task.ood[row.name].labels) == {-1}
    task = load_task("caltech101", **here, ood=row.name, ood_exclude=["a"])
    assert len(task.ood[row.name]) == 1
    with pytest.raises(ValueError, match="no OOD folder has a sub-folder 'b'"):
        load_task("caltech101", **here, ood=row.name, ood_exclude=["a", "b"])


@pytest.mark.parametrize("row", [r for r in ROWS if r.kind == "shift"], ids=lambda row: row.name)
def test_every_shift_of_imagenet(row, tmp_path, capsys):
    make(CATALOGUE["imagenet"], tmp_path)
    base = tmp_path / row.folder / row.images
    for number, wnid in ((1, "n03773504"), (2, "n04008634")):
        picture(base / (str(number) if row.name == "imagenetv2" else wnid) / "x.jpg")
    picture(base / "README" / "x.jpg")
    task = load_task("imagenet", root=tmp_path, shots=1, shifts=row.name)
    assert task.shifts[row.name].labels.tolist() == [1, 2]
    assert "2 images of 2 of the 3 classes; left out are README" in capsys.readouterr().err
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
        "none/bat",
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
    with pytest.raises(ValueError, match=r"images of none of the classes \(owl, red fox .* bat"):
        load_task(tmp_path / "photos", shots=1, shifts=[tmp_path / "none"])
    with pytest.raises(ValueError, match="can't list the folder .*nowhere: No such"):
        load_task(tmp_path / "photos", shots=1, shifts=[tmp_path / "nowhere"])
    with pytest.raises(ValueError, match="pocket has test images of none of the classes"):
        load_task(tmp_path / "photos", shots=1, shifts="pocket")
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


def test_a_split_of_some_classes(tmp_path):
    make(CATALOGUE["caltech101"], tmp_path)
    task = load_task("caltech101", root=tmp_path, shots=2, classes=["Airplane", "face"])
    assert task.class_names == ("airplane", "face") and all(
        "airplane" in str(p) for p in task.train.paths[:2]
    )
    for classes, message in (
        (["bat", "face"], "no class 'bat'"),
        (["face"], "at least 2"),
        (["face", "Face"], "give each class once"),
    ):
        with pytest.raises(ValueError, match=message):
            load_task("caltech101", root=tmp_path, classes=classes)


@pytest.mark.parametrize(
    "change, message",
    [
        (lambda s: s["train"].append(["../../secret.jpg", 0, "face"]), "lies outside"),
        (lambda s: s["train"].append(["/etc/passwd", 0, "face"]), "lies outside"),
        (lambda s: s["val"].append(["a\\..\\..\\b.jpg", 0, "face"]), "lies outside"),
        (lambda s: s["val"].append(["", 0, "face"]), "lies outside"),
        (
            lambda s: s["train"].append(["x.jpg", 0, "crab"]),
            "don't belong to each other one by one",
        ),
        (lambda s: s["train"].append(["x.jpg", 2, "face"]), "one by one, as 0, 1"),
        (lambda s: s["train"].append(["x.jpg", 3, "crab"]), "one by one, as 0, 1"),
        (lambda s: s["train"].append(["x.jpg", -1, "crab"]), "one by one, as 0, 1"),
        (
            lambda s: s["train"].append(["x.jpg", "0", "face"]),
            r"is not \[path, label, class name\]",
        ),
        (lambda s: s["train"].append(["x.jpg", 0.5, "face"]), r"'x.jpg', 0.5, 'face'\] is not"),
        (lambda s: s["train"].append({"x.jpg": 0}), r"\{'x.jpg': 0\} is not"),
        (
            lambda s: s["test"].append(["Faces/1.jpg", 0, "face"]),
            "listed twice",
        ),
        (lambda s: s["test"].append(["./Faces/1.jpg", 0, "face"]), "listed twice"),
        (
            lambda s: s["train"].append(["a\nb\ud800.jpg", 0, "face"]),
            "can't read the image .*Faces/1.jpg: No such file",
        ),
        (
            lambda s: s["train"].append(["x.jpg", 2, "cr\ud800ab"]),
            "no name that can be written in a prompt",
        ),
        (
            lambda s: s["train"].append(["x.jpg", 2, " _ "]),
            "no name that can be written in a prompt",
        ),
        (lambda s: s["test"].clear(), "has one class"),
        (lambda s: s.pop("test"), "no column|entry 1 has no label"),
        (lambda s: s.update(val={}), "no column|entry 1 has no label"),
        (
            lambda s: None,
            "can't read the image .*Faces/1.jpg: No such file",
        ),
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
    for name in ("Faces/1", "airplanes/1", "x") if "No such" not in message else ():
        picture(folder / f"101_ObjectCategories/{name}.jpg")
    (folder / "split_zhou_Caltech101.json").write_text(json.dumps(split))
    with pytest.raises(ValueError, match=message) as error:
        load_task(folder)
    assert len(str(error.value).splitlines()) == 1 and str(error.value).encode()


@pytest.mark.parametrize("content", [b"", b"[]", b"{", b"\xff\xfe\x00", b"[" * 100_000])
def test_split_files_that_are_none(content, tmp_path):
    (tmp_path / "split.json").write_bytes(content)
    with pytest.raises(ValueError, match="as a table|is not a table|is not UTF-8") as error:
        read_list(tmp_path / "split.json")
    assert len(str(error.value).splitlines()) == 1


@pytest.mark.parametrize(
    "name, file, content, message",
    [
        ("fgvc_aircraft", "variants.txt", None, "variants.txt is missing; `sotglp data get fgvc_"),
        ("fgvc_aircraft", "images_variant_test.txt", b"1000001\n", "fewer than 2 words"),
        ("fgvc_aircraft", "images_variant_val.txt", b"\xff\xfe", "is not UTF-8"),
        ("fgvc_aircraft", "images_variant_val.txt", b"../../etc/1 An-12\n", "lies outside"),
        ("fgvc_aircraft", "variants.txt", b"707-320\nAn-12\n", "'Boeing 717' is not in the list"),
        ("fgvc_aircraft", "variants.txt", b"707-320\nBoeing 717\nAn-12\nAn_12\n", "the same class"),
        (
            "imagenet",
            "classnames.txt",
            b"n01440764 tench\n",
            "class names have none for 'n03773504'",
        ),
        (
            "imagenet",
            "images/val",
            "images/elsewhere",
            "can't list the folder .*images/val: No such",
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
        (dict(source="caltech101"), "caltech101 is a dataset, and needs its root folder"),
        (dict(source="caltech101", root="ROOT"), "`sotglp data get caltech101"),
        (dict(source="caltech", root="ROOT"), "did you mean 'caltech101'"),
        (dict(source="pocket", names={"a": "b"}), "class names have none for"),
        (dict(source="eurosat", root="MADE", names={"a": "b"}), "class names have none for"),
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
    split = read_list(found[0])
    assert list(counts(split)) == row.counts
    assert len(split.keys) == row.classes == len(set(split.names.values()))
    assert hashlib.sha256(found[0].read_bytes()).hexdigest() == row.split_sha256
    for part in ("train", "val", "test"):
        assert {*split.parts[part].labels} == {*range(len(split.keys))}


@pytest.mark.skipif(
    not (DATA / "caltech-101").is_dir(), reason="the Caltech-101 photos are not on this machine"
)
def test_real_caltech_is_as_it_should_be(monkeypatch, capsys):
    code, out, _ = run(monkeypatch, capsys, "data", "check", DATA, "--json")
    line = next(line for line in json.loads(out) if line["name"] == "caltech101")
    assert (
        code == 0
        and line["images"] == [4128, 1649, 2465]
        and line["classes"] == 100
        and not line["wrong"]
    )


def test_check_says_what_is_wrong(tmp_path, monkeypatch, capsys):
    make(CATALOGUE["caltech101"], tmp_path)
    make(CATALOGUE["oxford_pets"], tmp_path)
    images = tmp_path / "oxford_pets/images/face"
    (images / "image_0001.jpg").write_bytes(b"junk")
    (images / "image_0002.jpg").unlink()
    Image.effect_noise((90, 90), 60).save(tmp_path / "noise.jpg")
    (images / "image_0003.jpg").write_bytes((tmp_path / "noise.jpg").read_bytes()[:2000])
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
    (tmp_path / "oxford_pets/split_zhou_OxfordPets.json").unlink()
    code, out, _ = run(monkeypatch, capsys, "data", "check", tmp_path, "--json")
    assert code == 1 and any(
        "split_zhou_OxfordPets.json is missing" in w
        for line in json.loads(out)
        for w in line["wrong"]
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
    datasets = torchvision.datasets
    pets, flowers = datasets.OxfordIIITPet, datasets.Flowers102
    theirs = dict(pets._RESOURCES[:1])
    name, md5 = flowers._file_dict["image"]
    theirs[flowers._download_url_prefix + name] = md5
    for own in (datasets.Food101, datasets.DTD, datasets.FGVCAircraft):
        theirs[own._URL] = getattr(own, "_MD5", None)
    assert theirs.items() <= have.items()
    assert len(have) == len(theirs) + 2, "Caltech-101's and EuroSAT's are inside their functions"


@pytest.mark.slow
def test_train_on_a_dataset_of_the_catalogue(tmp_path, monkeypatch, capsys):
    make(CATALOGUE["dtd"], tmp_path)
    for name in ("face", "airplane", "wall"):
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
        "face,airplane",
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
        and "Describable Textures (DTD): split_zhou_DescribableTextures.json: 15 train" in err
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
        "stratified",
        "--set",
        "epochs=1",
        "--out",
        tmp_path / "two",
    )
    assert (
        code == 0
        and json.loads((tmp_path / "two/config.json").read_text())["template"] == "a photo of a {}"
    )
