"""Generated bad inputs: lists of paths and labels, and split files."""

import json
import os

from bad_inputs import GOOD, Case

ROWS = [[f"{label}s/{i}.png", label] for label in ("cat", "dog") for i in range(3)]


def list_cases():
    def case(name, file, content, **arguments):
        def build(folder):
            for row in ROWS:
                (folder / "photos" / row[0]).parent.mkdir(parents=True, exist_ok=True)
                (folder / "photos" / row[0]).write_bytes(GOOD)
            (folder / "secret.png").write_bytes(GOOD)
            list_ = folder / "photos" / file
            content(list_) if callable(content) else list_.write_bytes(
                content.encode() if isinstance(content, str) else content
            )
            return {"source": list_, **arguments}

        return Case(f"{file}: {name}", build, private="can't be opened" in name)

    def rows(*more, head="path,label", keep=6):
        return "\n".join([head, *map(",".join, ROWS[:keep]), *more]) + "\n"

    def objects(*more):
        return json.dumps([*({"path": p, "label": label} for p, label in ROWS), *more])

    for name, row in {
        "a path that climbs out": "../secret.png,cat",
        "a path that climbs out from within": "cats/../../secret.png,cat",
        "an absolute path elsewhere": "/etc/hostname,cat",
        "no path": ",cat",
        "a path of dots": ".,cat",
        "no label": "cats/0.png,",
        "a blank label": "cats/0.png,  ",
        "a label that is not a number": "cats/3.png,NaN",
        "no such photo": "cats/9.png,cat",
        "a folder for a photo": "cats,cat",
        "a photo twice": "cats/0.png,cat",
        "a photo twice, otherwise spelt": "cats/./0.png,cat",
        "a photo of two classes": "cats/0.png,dog",
        "too many columns": "cats/0.png,cat,train,3",
        "too few columns": "cats/0.png",
        "a quote without end": '"cats/0.png,cat',
        "an escape": "cats/\x1b[31m.png,cat",
        "a null": "cats/\0.png,cat",
        "a second class of one name": "cats/0.png,Dog",
        "a label of underscores": "secret.png,___",
    }.items():
        yield case(name, "list.csv", rows(row))
    yield case("nothing", "list.csv", "")
    yield case("a header alone", "list.csv", "path,label\n")
    yield case("no header", "list.csv", rows(head="cats/3.png,cat"))
    yield case("no label column", "list.csv", rows(head="path,colour"))
    yield case("no path column", "list.csv", rows(head="place,label"))
    yield case("Latin-1", "list.csv", rows("caf\xe9.png,cat").encode("latin-1"))
    yield case("UTF-16", "list.csv", rows().encode("utf-16"))
    yield case("bytes", "list.csv", bytes(range(256)) * 9)
    yield case("an endless field", "list.csv", rows("x" * 200_000 + ",cat"))
    yield case("one class", "list.csv", rows(keep=3))
    yield case("labels outside the list of classes", "list.csv", rows(), classes=["cat", "bat"])
    yield case("labels outside the class names", "list.csv", rows(), names={"cat": "tabby"})
    yield case(
        "a split that is none",
        "list.csv",
        rows("dogs/1.png,dog,exam", head="path,label,split", keep=0),
    )
    yield case(
        "a split for some",
        "list.csv",
        rows("cats/1.png,cat,test", "dogs/1.png,dog,", head="path,label,split", keep=0),
    )
    yield case(
        "no test",
        "list.csv",
        rows("cats/1.png,cat,train", "dogs/1.png,dog,train", head="path,label,split", keep=0),
    )
    yield case(
        "no train",
        "list.csv",
        rows("cats/1.png,cat,test", "dogs/1.png,dog,test", head="path,label,split", keep=0),
    )
    yield case("a pipe", "list.csv", os.mkfifo)
    yield case("an endless device", "list.csv", lambda path: path.symlink_to("/dev/zero"))
    yield case("a link to itself", "list.csv", lambda path: path.symlink_to(path))
    yield case("a folder", "list.csv", os.mkdir)
    yield case("can't be opened", "list.csv", lambda path: (path.write_text(rows()), path.chmod(0)))
    yield case(
        "a pipe for a photo",
        "list.csv",
        lambda path: os.mkfifo(path.parent / "p.png") or path.write_text(rows("p.png,cat")),
    )
    wrong = {
        "a label NaN": {"path": "c", "label": float("nan")},
        "a label true": {"path": "c", "label": True},
        "a label null": {"path": "c", "label": None},
        "a label list": {"path": "c", "label": ["cat"]},
        "a path number": {"path": 1.5, "label": "cat"},
        "a path outside": {"path": "../secret.png", "label": "cat"},
        "half a character": {"path": "\ud800.png", "label": "cat"},
    }
    for name, content in {
        **{name: objects(record) for name, record in wrong.items()},
        "nothing": "",
        "half of it": objects()[:50],
        "a comma at the end": objects()[:-1] + ",]",
        "a number": "3",
        "a text": '"x"',
        "an empty list": "[]",
        "an empty object": "{}",
        "null": "null",
        "brackets without end": "[" * 100_000,
        "numbers": "[1, 2]",
        "lists": json.dumps(ROWS),
        "a key twice": '{"cats/0.png": "cat", "cats/0.png": "dog"}',
        "paths to lists": '{"train": [["cats/0.png", 0]]}',
    }.items():
        yield case(name, "list.json", content)


def split_cases():
    """The community's split file of a catalogue dataset."""
    good = {
        part: [[f"fox/{part}.jpg", 0, "fox"], [f"owl/{part}.jpg", 1, "owl"]]
        for part in ("train", "val", "test")
    }

    def case(name, change):
        def build(folder):
            base = folder / "caltech-101" / "101_ObjectCategories"
            for part in ("train", "val", "test"):
                for c in ("fox", "owl"):
                    (base / c).mkdir(parents=True, exist_ok=True)
                    (base / c / f"{part}.jpg").write_bytes(GOOD)
            (folder / "secret.jpg").write_bytes(GOOD)
            content = change(json.loads(json.dumps(good)))
            (folder / "caltech-101" / "split_zhou_Caltech101.json").write_text(
                content if isinstance(content, str) else json.dumps(content)
            )
            return {"source": folder / "caltech-101"}

        return Case(f"split file: {name}", build)

    for name, row in {
        "a path that climbs out": ["../../secret.jpg", 0, "fox"],
        "an absolute path": ["/etc/hostname", 0, "fox"],
        "a label beyond the others": ["fox/x.jpg", 7, "bat"],
        "a negative label": ["fox/x.jpg", -1, "bat"],
        "a label with a second name": ["fox/x.jpg", 0, "dog"],
        "a name with a second label": ["fox/x.jpg", 1, "fox"],
        "a label that is a text": ["fox/x.jpg", "0", "fox"],
        "a label NaN": ["fox/x.jpg", float("nan"), "fox"],
        "an image twice": ["fox/train.jpg", 0, "fox"],
        "an image that is not there": ["fox/x.jpg", 0, "fox"],
        "a row of two": ["fox/x.jpg", 0],
        "a row that is none": 3,
    }.items():
        yield case(name, lambda content, row=row: {**content, "test": [*content["test"], row]})
    yield case("no test", lambda content: {"train": content["train"], "val": content["val"]})
    yield case("a list", lambda content: content["train"])
    yield case("cut off", lambda content: json.dumps(content)[:70])
