"""Anybody's own photos: files of every kind, lists of paths and labels, one's own class names."""

import json

import numpy as np
import PIL
import pytest
import torch
from PIL import Image, features
from test_cli import run

from sotglp_core import load_task
from sotglp_core.data import read_image
from sotglp_core.data.folders import list_images
from sotglp_core.data.labels import read_list, read_names
from sotglp_core.data.names import class_names

QUARTERS = np.array(
    [[[255, 0, 0], [0, 255, 0]], [[0, 0, 255], [255, 255, 255]]], np.uint8
)  # red, green / blue, white
COLOURS = Image.fromarray(QUARTERS.repeat(10, 0).repeat(15, 1))
GREYS = np.array([[0, 85], [170, 255]], np.uint8).repeat(10, 0).repeat(15, 1)


def quarters(image):
    assert image.mode == "RGB"
    w, h = image.size
    return np.asarray(image).astype(int)[
        [h // 4, h // 4, 3 * h // 4, 3 * h // 4], [w // 4, 3 * w // 4, w // 4, 3 * w // 4]
    ]


def clear_corner(mode):
    """The colours, the last quarter transparent over black."""
    image = COLOURS.convert("RGBA")
    image.paste((0, 0, 0, 0), (15, 10, 30, 20))
    return image.convert(mode)


def palette_with_transparent_index():
    image = COLOURS.quantize(4)
    image.info["transparency"] = image.getpixel((25, 15))
    return image


GREY16 = Image.fromarray(GREYS.astype(np.uint16) * 257)
KINDS = {
    "jpeg": (COLOURS, "jpg", {"quality": 95}, "colours"),
    "progressive jpeg": (COLOURS, "JPEG", {"progressive": True, "quality": 95}, "colours"),
    "cmyk jpeg": (COLOURS.convert("CMYK"), "jpg", {"quality": 95}, "colours"),
    "cmyk tiff": (COLOURS.convert("CMYK"), "tif", {}, "colours"),
    "ycbcr tiff": (COLOURS.convert("YCbCr"), "tiff", {}, "colours"),
    "palette png": (COLOURS.quantize(4), "png", {}, "colours"),
    "palette gif": (COLOURS.quantize(4), "gif", {}, "colours"),
    "palette with a transparent index": (palette_with_transparent_index(), "png", {}, "colours"),
    "palette with alpha for each colour": (clear_corner("RGBA").quantize(5), "png", {}, "colours"),
    "alpha png": (clear_corner("RGBA"), "png", {}, "colours"),
    "alpha webp": (clear_corner("RGBA"), "webp", {"lossless": True}, "colours"),
    "alpha tiff": (clear_corner("RGBA"), "tif", {}, "colours"),
    "a colour that means transparent": (
        COLOURS,
        "png",
        {"transparency": (255, 255, 255)},
        "colours",
    ),
    "bmp": (COLOURS, "BMP", {}, "colours"),
    "ppm": (COLOURS, "ppm", {}, "colours"),
    "avif": (COLOURS, "avif", {"quality": 95}, "colours"),
    "animated gif": (
        COLOURS,
        "gif",
        {"save_all": True, "append_images": [Image.new("RGB", (30, 20))] * 3},
        "colours",
    ),
    "animated webp": (
        COLOURS,
        "webp",
        {"save_all": True, "append_images": [Image.new("RGB", (30, 20))], "lossless": True},
        "colours",
    ),
    "animated png": (
        COLOURS,
        "png",
        {"save_all": True, "append_images": [Image.new("RGB", (30, 20))]},
        "colours",
    ),
    "pages of a tiff": (
        COLOURS,
        "tif",
        {"save_all": True, "append_images": [Image.new("RGB", (30, 20))]},
        "colours",
    ),
    "grey jpeg": (Image.fromarray(GREYS), "jpg", {"quality": 95}, "greys"),
    "grey png": (Image.fromarray(GREYS), "png", {}, "greys"),
    "grey with alpha": (
        Image.merge("LA", (Image.fromarray(GREYS), Image.new("L", (30, 20), 255))),
        "png",
        {},
        "greys",
    ),
    "grey with clear white": (
        Image.merge(
            "LA",
            (Image.fromarray(GREYS.clip(0, 170)), Image.fromarray((GREYS < 255) * np.uint8(255))),
        ),
        "png",
        {},
        "greys",
    ),
    "16 bit png": (GREY16, "png", {}, "greys"),
    "16 bit tiff": (GREY16, "tif", {}, "greys"),
    "32 bit integers": (Image.fromarray(GREYS.astype(np.int32) * 257), "tif", {}, "greys"),
    "float tiff from 0 to 1": (
        Image.fromarray((GREYS / 255).astype(np.float32)),
        "tif",
        {},
        "greys",
    ),
    "float tiff from 0 to 255": (Image.fromarray(GREYS.astype(np.float32)), "tif", {}, "greys"),
    "float tiff with gaps": (
        Image.fromarray(np.where(GREYS == 0, np.nan, GREYS / 255).astype(np.float32)),
        "tif",
        {},
        "greys",
    ),
    "float tiff of any range": (
        Image.fromarray((GREYS * 1e6).astype(np.float32)),
        "tif",
        {},
        "greys",
    ),
    "one bit": (
        Image.fromarray(GREYS).point(lambda v: 255 * (v > 100), "1"),
        "png",
        {},
        "black and white",
    ),
    "one bit tiff": (
        Image.fromarray(GREYS).point(lambda v: 255 * (v > 100), "1"),
        "tif",
        {"compression": "group4"},
        "black and white",
    ),
}
EXPECTED = {
    "colours": QUARTERS.reshape(4, 3),
    "greys": np.array([[0], [85], [170], [255]]).repeat(3, 1),
    "black and white": np.array([[0], [0], [255], [255]]).repeat(3, 1),
}


def sizes(task):
    return {p: np.bincount(getattr(task, p).labels).tolist() for p in ("train", "val", "test")}


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_of_image_is_read_right(tmp_path, kind):
    if not features.check("avif") and kind == "avif":
        pytest.skip("this Pillow has no AVIF")
    if kind == "ycbcr tiff" and int(PIL.__version__.split(".")[0]) < 13:
        pytest.skip("Pillow before 13 does not read what it writes here")
    image, suffix, options, expected = KINDS[kind]
    image.save(tmp_path / f"x.{suffix}", **options)
    seen = read_image(tmp_path / f"x.{suffix}")
    assert seen.size == (30, 20)
    assert np.abs(quarters(seen) - EXPECTED[expected]).max() <= (
        14 if suffix.lower() in ("jpg", "jpeg", "avif") else 3
    )


@pytest.mark.parametrize(
    "orientation, turned",
    list(
        enumerate(
            [
                None,
                None,
                Image.Transpose.FLIP_LEFT_RIGHT,
                Image.Transpose.ROTATE_180,
                Image.Transpose.FLIP_TOP_BOTTOM,
                Image.Transpose.TRANSPOSE,
                Image.Transpose.ROTATE_90,
                Image.Transpose.TRANSVERSE,
                Image.Transpose.ROTATE_270,
                None,
            ]
        )
    ),
)
@pytest.mark.parametrize("suffix", ["jpg", "png", "webp"])
def test_all_exif_orientations(tmp_path, orientation, turned, suffix):
    exif = Image.Exif()
    exif[0x0112] = orientation
    stored = (
        COLOURS if turned is None else COLOURS.transpose(turned)
    )  # what the camera stores of an upright scene, turned back by the tag
    stored.save(tmp_path / f"x.{suffix}", exif=exif, **({"quality": 95} if suffix != "png" else {}))
    for image in (
        read_image(tmp_path / f"x.{suffix}"),
        read_image(tmp_path / f"x.{suffix}", side=5),
    ):
        assert (
            np.abs(quarters(image) - QUARTERS.reshape(4, 3)).max() < 60
            and image.width > image.height
        )


@pytest.fixture
def photos(tmp_path):
    for folder in ("cats", "dogs/old"):
        (tmp_path / folder).mkdir(parents=True)
        for i in range(5):
            COLOURS.save(tmp_path / folder / f"{i}.png")
    return tmp_path


def rows(**more):
    return [
        {"path": f"{folder}/{i}.png", "label": label, **{k: v[i] for k, v in more.items()}}
        for folder, label in (("cats", "house_cat"), ("dogs/old", "Dog"))
        for i in range(5)
    ]


def written(folder, suffix, records, delimiter=","):
    file = folder / f"list{suffix}"
    if suffix in (".csv", ".tsv"):
        lines = [
            delimiter.join(records[0]),
            *(delimiter.join(map(str, r.values())) for r in records),
        ]
        file.write_text("\r\n".join(lines), encoding="utf-8-sig")
    else:
        file.write_text(json.dumps(records))
    return file


@pytest.mark.parametrize(
    "suffix, delimiter",
    [(".csv", ","), (".csv", ";"), (".tsv", "\t"), (".json", None)],
)
def test_a_list_of_paths_and_labels(photos, suffix, delimiter):
    task = load_task(written(photos, suffix, rows(), delimiter), shots=None)
    assert task.class_names == ("Dog", "house cat")
    assert sizes(task) == {"train": [3, 3], "val": [1, 1], "test": [1, 1]}
    splits = (task.train, task.val, task.test)
    everything = [p for images in splits for p in images.paths]
    assert len(set(everything)) == 10 and all(p.is_file() for p in everything)
    assert all(
        ("cats" in str(p)) == (label == 1)
        for images in splits
        for p, label in zip(images.paths, images.labels)
    )


@pytest.mark.parametrize("suffix", [".csv", ".json"])
def test_its_own_splits(photos, suffix):
    file = written(photos, suffix, rows(split=["train", "Train", "validation", "test", "test"]))
    assert sizes(load_task(file, shots=None)) == {"train": [2, 2], "val": [1, 1], "test": [2, 2]}
    task = load_task(file, shots=2)
    assert task.class_names == ("Dog", "house cat") and {p.stem for p in task.train.paths} == {
        "0",
        "1",
    }


def test_a_json_object_numbers_and_other_heads(photos):
    (photos / "a.json").write_text(
        json.dumps({r["path"]: 7 * (r["label"] == "Dog") for r in rows()})
    )
    task = load_task(photos / "a.json", shots=1, names={"0": "cat", "7": "dog"})
    assert task.class_names == ("cat", "dog")
    with pytest.raises(ValueError, match="the class '0' is a code, .* give class names"):
        load_task(photos / "a.json", shots=1)
    (photos / "b.csv").write_text(
        "id,Filename,Species,note\n"
        + "".join(f'1,{r["path"]},{r["label"]},"a, b"\n' for r in rows())
    )
    assert read_list(photos / "b.csv").keys == ["Dog", "house_cat"]
    (photos / "c.csv").write_text(
        "label,class_name,image\n"
        + "".join(f"3,{r['label']},{photos / r['path']}\n" for r in rows())
    )
    assert read_list(photos / "c.csv").keys == ["Dog", "house_cat"], (
        "names are better than numbers; absolute paths inside are fine"
    )


def test_some_of_the_labels(photos):
    records = [*rows(), {"path": "cats/none.png", "label": "bird"}]
    with pytest.raises(ValueError, match="can't read the image .*cats/none.png: No such file"):
        load_task(
            written(photos, ".csv", records), classes=["Dog", "bird"], shots=1, allow_fewer=True
        )
    task = load_task(written(photos, ".csv", records[:10]), classes=["house_cat", "Dog"], shots=1)
    assert task.class_names == ("house cat", "Dog") and "cats" in str(task.train.paths[0])


def test_missing_files_are_counted(photos, capsys):
    file = written(photos, ".json", [*rows(), {"path": "cats/none.png", "label": "Dog"}])
    task = load_task(file, shots=None, skip_corrupt=True)
    assert sum(map(sum, sizes(task).values())) == 10
    assert "skipped 1 of 11" in capsys.readouterr().err


@pytest.mark.parametrize(
    "file, content",
    [
        ("names.json", '{"cats": "tabby_cat", "dogs": "hound", "other": "x"}'),
        ("names.csv", "folder,name\ncats,tabby_cat\ndogs,hound\n"),
        (
            "names.json",
            '[{"class": "cats", "name": "tabby_cat"}, {"class": "dogs", "name": "hound"}]',
        ),
    ],
)
def test_class_names_from_a_file(photos, monkeypatch, capsys, file, content):
    (photos / file).write_text(content)
    assert load_task(photos, shots=1, names=photos / file).class_names == ("tabby_cat", "hound")
    code, _, err = run(
        monkeypatch,
        capsys,
        "train",
        "--data",
        photos,
        "--names",
        photos / file,
        "--shots",
        "1",
        "--preset",
        "zeroshot",
        "--out",
        photos / "out",
    )
    from sotglp_core.storage import load_tensors

    assert code == 0, err
    assert load_tensors(photos / "out" / "prompts.safetensors")[1]["class_names"] == [
        "tabby_cat",
        "hound",
    ]


def test_names_that_are_missing_or_wrong(photos):
    with pytest.raises(ValueError, match="none for 'dogs'"):
        load_task(photos, names={"cats": "tabby"})
    for content in (
        '{"cats": []}',
        '{"cats": ""}',
        '[{"folder": "cats"}]',
        "[]",
        "{",
    ):
        (photos / "names.json").write_text(content)
        with pytest.raises(ValueError, match="names.json"):
            read_names(photos / "names.json")


@pytest.mark.parametrize(
    "folder, name",
    [
        ("red_fox", "red fox"),
        ("T-shirt", "T-shirt"),
        ("3.5mm jack", "3.5mm jack"),
        ("1.5L_bottle", "1.5L bottle"),
        ("YouTube", "YouTube"),
        ("101", None),
        ("0.0", None),
        ("n01443537", None),
        ("\u0939\u0930\u094d\u200d\u0937", "\u0939\u0930\u094d\u200d\u0937"),
        ("001.Black_footed_Albatross", "Black footed Albatross"),
        ("GreyWolf", "GreyWolf"),
        ("iPhone", "iPhone"),
        ("McDonald", "McDonald"),
        ("__a__", "a"),
        ("7.", None),
        ("Ålesund_hus", "Ålesund hus"),
        ("a  b", "a b"),
    ],
)
def test_folders_in_plain_words(folder, name):
    if name is None:
        with pytest.raises(ValueError, match="is a code, which says nothing in a prompt"):
            class_names([folder])
    else:
        assert class_names([folder]) == (name,)


def test_linked_folders_are_followed_once(photos):
    (photos / "cats" / "more").symlink_to(photos / "dogs")
    (photos / "cats" / "round").symlink_to(photos / "cats")
    (photos / "cats" / "up").symlink_to(photos)
    (photos / "dogs" / "old" / "again").symlink_to(photos / "cats")
    assert len(list_images(photos / "cats")) == 10 and len(list_images(photos)) == 10


@pytest.mark.slow
def test_a_list_trains_and_is_evaluated(photos, monkeypatch, capsys):
    file = written(photos, ".csv", rows())
    code, out, err = run(
        monkeypatch,
        capsys,
        "train",
        "--data",
        file,
        "--shots",
        "2",
        "--set",
        "epochs=1",
        "--out",
        photos / "run",
    )
    assert code == 0 and "2 classes" in out, err
    assert run(monkeypatch, capsys, "evaluate", photos / "run", "--data", file)[0] == 0


def test_a_strip_is_refused_before_it_becomes_huge(tmp_path, tiny):
    Image.new("RGB", (9000, 3)).save(tmp_path / "x.png")
    with pytest.raises(ValueError, match="9000 x 3 pixels are too narrow"):
        read_image(tmp_path / "x.png")
    Image.new("RGB", (900, 9)).save(tmp_path / "y.png")
    assert tiny.preprocess(read_image(tmp_path / "y.png")).shape == torch.Size([3, 112, 112])
