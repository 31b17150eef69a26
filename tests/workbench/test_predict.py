"""Predictions: those of evaluation, in every format, as a stream that needs the memory of one
batch.
"""

import csv
import io
import json
import sys

import numpy as np
import psutil
import pytest
import torch
from commands import run
from PIL import Image

from sotglp_core import SOTGLP, load, preset, save
from sotglp_core.data import FolderImages
from sotglp_core.data.folders import list_images
from sotglp_core.judging.evaluation import outputs
from sotglp_core.judging.threshold import OODThreshold
from sotglp_core.workbench.predict import predict


@pytest.fixture
def model(tiny, names):
    return SOTGLP(tiny, names, preset("sotglp-proj")).eval()


@pytest.fixture(autouse=True)
def loaded_once(tiny, monkeypatch):
    monkeypatch.setattr("sotglp_core.learning.checkpoint.load_backbone", lambda *_, **__: tiny)


@pytest.fixture
def prompts(model, images, tmp_path):
    """A file of prompts whose threshold at 95 % lies in the middle of the photos' scores."""
    middle = float(outputs(model, images, progress=False).scores["GL-MCM"].median())
    save(model, tmp_path / "p.safetensors", OODThreshold("GL-MCM", (middle,) * 101, 40, "val"))
    return tmp_path / "p.safetensors"


def piped(monkeypatch, content):
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(content)))


def test_agrees_with_evaluation(model, photos):
    """Also on a JPEG so large that it is decoded at half its size."""
    large = (
        np.random.default_rng(0).integers(0, 255, (40, 50, 3), np.uint8).repeat(30, 0).repeat(30, 1)
    )
    Image.fromarray(large).save(photos / "large.jpg", quality=90)
    files = list_images(photos)
    expected = outputs(model, FolderImages(files, [-1] * len(files)), progress=False)
    answers = list(predict(model, files, top=3, batch_size=5))
    assert [a.path for a in answers] == files
    probability, label = expected.logits.double().softmax(-1).topk(3)
    np.testing.assert_allclose([a.probabilities for a in answers], probability, atol=1e-5)
    np.testing.assert_allclose([a.score for a in answers], expected.scores["GL-MCM"], atol=1e-6)
    assert [a.labels for a in answers] == [
        tuple(model.class_names[i] for i in row) for row in label.tolist()
    ]


def test_without_local_prompts_the_score_is_mcm(tiny, names, images):
    model = SOTGLP(tiny, names, preset("coop")).eval()
    expected = outputs(model, images, progress=False).scores["MCM"]
    np.testing.assert_allclose([a.score for a in predict(model, images.paths)], expected, atol=1e-6)


def test_every_image_is_prepared_once(model, photos, monkeypatch):
    seen, prepare = [], model.backbone.preprocess
    monkeypatch.setattr(
        model.backbone, "preprocess", lambda image: seen.append(image) or prepare(image)
    )
    assert len(list(predict(model, list_images(photos)))) == len(seen) == 12


def test_is_a_stream(model, photos):
    files = [*list_images(photos)[:2], photos / "missing.png"]
    stream = predict(model, files, batch_size=2)
    assert next(stream).path == files[0] and next(stream).path == files[1]
    with pytest.raises(ValueError, match="can't read the image .*missing.png"):
        next(stream)


@pytest.mark.slow
def test_skips_what_cannot_be_read(model, photos):
    (photos / "00.png").write_bytes(b"junk")
    messages, files = [], list_images(photos)
    for size in (1, 5, 32):
        found = predict(model, files, batch_size=size, on_unreadable=messages.append)
        assert [answer.path for answer in found] == files[1:]
    assert len(messages) == 3 and all("00.png" in message for message in messages)


@pytest.mark.slow
def test_memory_does_not_grow(model, photos):
    files, memory = list_images(photos) * 5, psutil.Process().memory_info
    for _ in predict(model, files, batch_size=12, progress=False):  # the allocators warm up
        pass
    before = memory().rss
    for _ in range(3):
        for _ in predict(model, files, batch_size=12, progress=False):
            pass
    assert memory().rss - before < 15e6, (
        "keeping the pixels and patches of 180 images would take 41 MB"
    )


def test_json_lines(prompts, photos, names, monkeypatch, capsys):
    code, out, err = run(monkeypatch, capsys, "predict", prompts, photos, "--json", "--top", 3)
    rows = [json.loads(line) for line in out.splitlines()]
    assert code == 0 and not err and len(rows) == 12
    assert all(
        set(row) == {"photo", "label", "probability", "gl_mcm", "known", "probabilities"}
        for row in rows
    )
    assert all(
        list(row["probabilities"])[0] == row["label"] in names and len(row["probabilities"]) == 3
        for row in rows
    )
    assert sum(row["known"] for row in rows) in (6, 7), "the threshold is their median"
    assert (
        run(monkeypatch, capsys, "predict", prompts, photos, "--format", "jsonl", "--top", 3)[1]
        == out
    )


def test_csv(prompts, photos, names, monkeypatch, capsys, tmp_path):
    (photos / "00.png").rename(photos / 'a, "b"\nc.png')
    code, out, _ = run(
        monkeypatch,
        capsys,
        "predict",
        prompts,
        photos,
        "--format",
        "csv",
        "--top",
        9,
        "--out",
        tmp_path / "deep" / "t.csv",
    )
    assert code == 0 and "t.csv, 12 photos" in out and "of 12 known: GL-MCM" in out
    with open(tmp_path / "deep" / "t.csv", newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert list(rows[0]) == [
        "photo",
        "label",
        "probability",
        "gl_mcm",
        "known",
        *(f"{name}_{n}" for n in range(2, 6) for name in ("label", "probability")),
    ]
    assert {row["photo"] for row in rows} == {str(p) for p in list_images(photos)} and str(
        photos / 'a, "b"\nc.png'
    ) in {row["photo"] for row in rows}
    for row in rows:
        assert {row["label"], *(row[f"label_{n}"] for n in range(2, 6))} == set(names)
        assert sum(
            float(row[key]) for key in row if key.startswith("probability")
        ) == pytest.approx(1)
        assert row["known"] in ("true", "false")


def test_table_and_its_last_line(prompts, photos, monkeypatch, capsys):
    code, out, _ = run(
        monkeypatch, capsys, "predict", prompts, photos / "03.png", photos / "04.png"
    )
    assert (
        code == 0
        and "03.png" in out
        and "of 2 known: GL-MCM of at least" in out
        and "95 % of the 40 held-out images (val)" in out
    )


def test_markup_in_names_is_text(tiny, photos, monkeypatch, capsys, tmp_path):
    save(SOTGLP(tiny, ("[red]fox[/red]", "a $price^")), tmp_path / "p")
    (photos / "00.png").rename(photos / "[bold]x.png")
    code, out, _ = run(
        monkeypatch,
        capsys,
        "predict",
        tmp_path / "p",
        photos / "[bold]x.png",
        "--top",
        2,
        "--heatmap",
        tmp_path / "h.png",
    )
    assert code == 0 and "[bold]x.png" in out and "[red]fox[/red]" in out and "a $price^" in out


def test_without_a_calibration_nothing_is_called_known(
    model, photos, monkeypatch, capsys, tmp_path
):
    save(model, tmp_path / "old")
    for form, empty in (("jsonl", None), ("csv", "")):
        code, out, err = run(
            monkeypatch, capsys, "predict", tmp_path / "old", photos / "03.png", "--format", form
        )
        row = json.loads(out) if form == "jsonl" else next(csv.DictReader(io.StringIO(out)))
        assert (
            code == 0
            and row["known"] == empty
            and "has no OOD threshold" in err
            and len(err.strip().splitlines()) == 1
        )
    assert (
        " known" not in run(monkeypatch, capsys, "predict", tmp_path / "old", photos / "03.png")[1]
    )


def test_a_list_on_standard_input(prompts, photos, monkeypatch, capsys):
    odd = photos / b"b\xe4.png".decode(errors="surrogateescape")
    (photos / "00.png").rename(odd)
    piped(monkeypatch, bytes(odd) + b"\n\n" + bytes(photos / "01.png"))
    code, out, _ = run(monkeypatch, capsys, "predict", prompts, "-", "--json")
    assert code == 0 and [json.loads(line)["photo"] for line in out.splitlines()] == [
        str(odd),
        str(photos / "01.png"),
    ]
    piped(monkeypatch, b"\n")
    code, _, err = run(monkeypatch, capsys, "predict", prompts, "-")
    assert code == 2 and "there are no images" in err


def test_names_that_are_not_utf8_in_a_csv_file(prompts, photos, monkeypatch, capsys, tmp_path):
    odd = photos / b"b\xe4.png".decode(errors="surrogateescape")
    (photos / "00.png").rename(odd)
    assert (
        run(
            monkeypatch,
            capsys,
            "predict",
            prompts,
            odd,
            "--format",
            "csv",
            "--out",
            tmp_path / "t.csv",
        )[0]
        == 0
    )
    assert bytes(odd) in (tmp_path / "t.csv").read_bytes()


def test_a_failure_leaves_the_old_file(prompts, photos, monkeypatch, capsys, tmp_path):
    (photos / "05.png").write_bytes(b"junk")
    (tmp_path / "t.csv").write_text("old")
    code, _, err = run(
        monkeypatch,
        capsys,
        "predict",
        prompts,
        photos,
        "--out",
        tmp_path / "t.csv",
        "--format",
        "csv",
    )
    assert code == 2 and "05.png" in err and (tmp_path / "t.csv").read_text() == "old"
    code, _, err = run(
        monkeypatch,
        capsys,
        "predict",
        prompts,
        photos,
        "--out",
        tmp_path / "t.csv",
        "--format",
        "csv",
        "--skip-corrupt",
    )
    assert (
        code == 0 and "skipped" in err and len((tmp_path / "t.csv").read_text().splitlines()) == 12
    )


@pytest.mark.slow
def test_heatmaps_of_all(prompts, photos, monkeypatch, capsys, tmp_path):
    code, *_ = run(
        monkeypatch,
        capsys,
        "predict",
        prompts,
        photos / "00.png",
        photos / "01.png",
        "--heatmaps",
        tmp_path / "maps",
    )
    assert code == 0 and [p.name for p in sorted((tmp_path / "maps").iterdir())] == [
        "00001-00.png",
        "00002-01.png",
    ]
    assert all(Image.open(p).width > 500 for p in (tmp_path / "maps").iterdir())


def test_a_heatmap_has_the_format_of_its_name(prompts, photos, monkeypatch, capsys, tmp_path):
    words = ("predict", prompts, photos / "00.png", "--heatmap")
    assert run(monkeypatch, capsys, *words, tmp_path / "h.jpg")[0] == 0
    assert Image.open(tmp_path / "h.jpg").format == "JPEG"
    code, _, err = run(monkeypatch, capsys, *words, tmp_path / "h.xyz")
    assert code == 2 and "xyz" in err and not (tmp_path / "h.xyz").exists()


@pytest.mark.parametrize(
    "arguments, message",
    [
        (["--tpr", "1"], "between 0 and 1"),
        (["--tpr", "95"], "between 0 and 1"),
        (["--out", "FILE/below"], "can't write"),
    ],
)
def test_mistakes(arguments, message, prompts, photos, monkeypatch, capsys, tmp_path):
    (tmp_path / "file").write_text("")
    arguments = [tmp_path / "file" / "below" if a == "FILE/below" else a for a in arguments]
    code, _, err = run(monkeypatch, capsys, "predict", prompts, photos / "01.png", *arguments)
    assert code == 2 and message in err and len(err.strip().splitlines()) == 1


def test_the_inspector_as_a_page(prompts, photos, monkeypatch, capsys, tmp_path):
    (photos / "00.png").rename(photos / "<img src=x onerror=alert(1)>.png")
    code, out, _ = run(
        monkeypatch, capsys, "inspect", prompts, photos, "--out", tmp_path / "i.html"
    )
    page = (tmp_path / "i.html").read_text()
    assert code == 0 and "12 photos" in out and "<img src=x" not in page and "onerror=alert" in page
    assert 'src="http' not in page and "href=" not in page
    code, _, err = run(monkeypatch, capsys, "inspect", prompts, photos / "no.png")
    assert code == 2 and "can't read the image" in err


def test_prompts_of_a_session_weigh_little(pocket, tmp_path):
    """24 classes on the embedded CLIP, and as many values for 100 classes on a ViT-B/16."""
    from sotglp_core.pocket.traits import SPECIES

    save(
        SOTGLP(pocket, tuple(SPECIES), preset("sotglp-proj")),
        tmp_path / "p.safetensors",
        OODThreshold("GL-MCM", (0.5,) * 101, 40, "val"),
    )
    assert (tmp_path / "p.safetensors").stat().st_size < 1e6
    model = load(tmp_path / "p.safetensors", pocket)
    contexts = {name: p.shape for name, p in model.named_parameters() if name != "projection"}
    numbers = (
        sum((100 if shape[0] > 1 else 1) * shape[1] * shape[2] * 512 for shape in contexts.values())
        + 768 * 768
    )
    assert 4 * numbers < 6e6 and torch.float32.itemsize == 4
