"""The report is whole, stands alone, reads without scripts, and nothing in it can run."""

import re
from collections import Counter
from dataclasses import replace
from html.parser import HTMLParser

import numpy as np
import pytest
import torch
from chromium import launch
from PIL import Image

from sotglp_core import SOTGLP, evaluate, preset
from sotglp_core.data import FolderImages
from sotglp_core.data.task import Task
from sotglp_core.judging.evaluation import Outputs
from sotglp_core.learning.training import Epoch
from sotglp_core.workbench.report import write_report

EVIL = "<img src=x onerror=alert(1)>"
HISTORY = [Epoch(1, 2.5, 0.25, 0.5), Epoch(2, 1.5, 0.75, 0.25)]
VOID = {"meta", "img", "br"}


def photos(folder, number, classes, prefix=""):
    """Photos of noise below ``folder``, labelled in turn; without classes: -1."""
    rng = np.random.default_rng(len(str(folder)))
    folder.mkdir(parents=True)
    paths = [folder / f"{prefix}{i:03}.png" for i in range(number)]
    for path in paths:
        Image.fromarray(rng.integers(0, 255, (40, 40, 3), dtype=np.uint8)).save(path)
    return FolderImages(paths, np.arange(number) % classes if classes else [-1] * number)


def run(
    folder,
    backbone,
    names,
    *,
    ood=("others", "$x$ <b>"),
    shifts=(),
    settings="sotglp",
    number=11,
    task="photos",
    prefix="",
):
    """(model, task, result) of an untrained model on photos of noise."""
    sets = {name: photos(folder / f"ood{i}", 3, 0) for i, name in enumerate(ood)}
    moved = {name: photos(folder / f"shift{i}", 5, 2) for i, name in enumerate(shifts)}
    test = photos(folder / "test", number, len(names), prefix)
    task = Task(task, tuple(names), test, test.subset([]), test, sets, moved)
    model = SOTGLP(backbone, names, preset(settings)).eval()
    return model, task, evaluate(model, test, sets, moved, progress=False)


@pytest.fixture(scope="module")
def made(tmp_path_factory, tiny):
    """A report with all sections on classes with wicked names: its path, its text, its subject."""
    folder = tmp_path_factory.mktemp("report")
    names = ("red finch", EVIL, 'green $x$ & "parrot"', "_grey duck", "鸟\n\udcff")
    about = run(
        folder,
        tiny,
        names,
        shifts=("night", EVIL),
        task=f"runs/{EVIL}",
        prefix="'\"><script>alert(2)",
    )
    record = {
        "command": "sotglp train --data 'a&b' <x>",
        "seconds": 1.5,
        "environment": {"torch": EVIL, "gpu": None},
        "nothing": {},
    }
    write_report(folder / "report.html", *about, HISTORY, record)
    return folder / "report.html", (folder / "report.html").read_text(encoding="utf-8"), about


class Reader(HTMLParser):
    """Elements, attributes and text; complains of elements that do not nest."""

    def __init__(self, page):
        super().__init__()
        self.elements, self.open, self.texts = [], [], []
        self.feed(page)
        assert not self.open

    def handle_starttag(self, tag, attributes):
        assert len({name for name, _ in attributes}) == len(attributes)
        self.elements.append((tag, dict(attributes)))
        self.open += [tag] * (tag not in VOID)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if not {"style", "script"} & set(self.open):
            self.texts.append(data)

    def all(self, tag):
        return [attributes for name, attributes in self.elements if name == tag]

    @property
    def text(self):
        return " ".join(" ".join(self.texts).split())


def text_of(page):
    return Reader(page).text.replace("\xa0", " ")


def test_says_what_was_found(made):
    _, page, (model, task, result) = made
    text = text_of(page)
    assert (
        f"{100 * result.accuracy:.1f} %" in text
        and f"{100 * result.calibration_error:.1f} %" in text
    )
    for row in result.ood.values():
        assert (
            f"{100 * row['GL-MCM']['auroc']:.1f}" in text
            and f"{100 * row['MCM']['fpr95']:.1f}" in text
        )
    for name, accuracy in result.shifts.items():
        assert f"{name} 5 2 {100 * accuracy:.1f} {100 * (accuracy - result.accuracy):.1f}" in text
    assert (
        "sotglp train --data 'a&b' <x>" in text
        and "global_dropout 0.75" in text
        and model.backbone.fingerprint in text
    )
    for heading in (
        "Most confidently wrong",
        "Least in-distribution",
        "OOD images taken for in-distribution",
        "How the prompts divide the patches",
    ):
        assert heading in text
    assert "0.250" not in text and "25.0 % to 75.0 %" in page.replace("&nbsp;", " ")


def test_each_class_has_its_row(made):
    _, page, (_, task, result) = made
    predicted = result.outputs.logits.argmax(-1).numpy()
    right, number = (
        (predicted == task.test.labels) & (task.test.labels == 0),
        (task.test.labels == 0).sum(),
    )
    taken = (predicted == 0).sum()
    text = Reader(page).text
    precision = f"{100 * right.sum() / taken:.1f}" if taken else "–"
    assert re.search(
        rf"red finch {number} {number} {100 * right.sum() / number:.1f} {precision} ", text
    )


def test_names_are_text(made):
    reader = Reader(made[1])
    assert EVIL in reader.text and EVIL not in made[1] and "<script>alert" not in made[1]
    assert len(reader.all("script")) == 1 and not any(
        name.startswith("on") for _, a in reader.elements for name in a
    )
    assert (
        "'\"><script>alert(2)" in reader.text
        and '"parrot"' in reader.text
        and r"鸟\n\udcff" in reader.text
    )
    assert reader.all("title") and "&lt;img src=x onerror=alert(1)&gt;</title>" in made[1]


def test_stands_alone(made):
    reader = Reader(made[1])
    for _, attributes in reader.elements:
        assert attributes.get("src", "data:").startswith("data:image/") or "src" not in attributes
        assert attributes.get("href", "#").startswith("#") and not {
            "srcset",
            "style",
            "action",
            "data",
            "background",
        } & set(attributes)
    ids = Counter(a["id"] for _, a in reader.elements if "id" in a)
    assert max(ids.values()) == 1 and {a["href"][1:] for a in reader.all("a")} <= set(ids)
    assert not re.search(r"https?://|@import|url\(", made[1])
    assert made[0].stat().st_size < 3e6


def test_may_not_ask_for_anything_else(made):
    """The policy allows this style, this script and the page's own images; nothing else."""
    policy = next(
        a["content"]
        for a in Reader(made[1]).all("meta")
        if a.get("http-equiv") == "Content-Security-Policy"
    )
    rules = dict(rule.strip().split(" ", 1) for rule in policy.split(";"))
    assert rules["default-src"] == "'none'" and rules["img-src"] == "data:"
    assert all(
        re.fullmatch(r"'sha256-[\w+/]{43}='", rules[f"{kind}-src"]) for kind in ("style", "script")
    )


def test_reads_aloud(made):
    reader = Reader(made[1])
    assert (
        reader.all("html")[0]["lang"] == "en"
        and len(reader.all("h1")) == len(reader.all("main")) == 1
    )
    levels = [int(tag[1]) for tag, _ in reader.elements if re.fullmatch("h[1-6]", tag)]
    assert all(b - a <= 1 for a, b in zip(levels, levels[1:]))
    alts = [a["alt"] for a in reader.all("img")]
    assert len(alts) > 40 and all(len(alt) > 15 for alt in alts)
    assert any("Partition for" in alt and "10 of 196 patches" in alt for alt in alts)
    assert all(a.get("scope") in ("row", "col") for a in reader.all("th")) and len(
        reader.all("caption")
    ) == len(reader.all("table"))


@pytest.mark.parametrize("settings", ["coop", "zeroshot"])
def test_two_classes_without_ood_images_or_local_prompts(tmp_path, tiny, settings):
    about = run(tmp_path, tiny, ("a", "b"), ood=(), settings=settings, number=4)
    write_report(tmp_path / "r.html", *about, [], {})
    reader = Reader((tmp_path / "r.html").read_text())
    assert "0 epochs" in reader.text
    assert (
        "Not measured, for want of images: OOD detection and accuracy under shift." in reader.text
    )
    assert not {"ood", "shifts"} & {a.get("id") for _, a in reader.elements}
    assert (
        "AUROC" not in reader.text
        and "prompt 1" not in reader.text
        and "Least in-distribution" in reader.text
    )


def test_the_score_is_the_one_that_predictions_use(tmp_path, tiny):
    about = run(tmp_path, tiny, ("a", "b"), ood=("other",), settings="coop", number=4)
    write_report(tmp_path / "r.html", *about, [], {})
    text = Reader((tmp_path / "r.html").read_text()).text
    assert "by MCM, against other" in text and "with the lowest MCM." in text


def test_all_right_and_all_wrong(tmp_path, tiny):
    model, task, result = run(tmp_path, tiny, ("a", "b"), ood=(), settings="zeroshot", number=4)
    labels = torch.as_tensor(task.test.labels)
    for share, logits in {
        "100.0": torch.eye(2)[labels] * 200,
        "0.0": torch.eye(2)[1 - labels] * 200,
    }.items():
        write_report(
            tmp_path / "r.html",
            model,
            task,
            replace(
                result, accuracy=float(share) / 100, outputs=replace(result.outputs, logits=logits)
            ),
            [],
            {},
        )
        text = Reader((tmp_path / "r.html").read_text()).text
        assert (
            ("No test image was taken for another class" in text)
            == ("Most confidently wrong" not in text)
            == (share == "100.0")
        )


def test_many_classes_get_the_pairs_that_are_confused_most(tmp_path, tiny):
    names = [f"species {i}" for i in range(120)]
    model, task, result = run(tmp_path, tiny, names, ood=(), settings="zeroshot", number=3)
    test = FolderImages(task.test.paths * 41, np.arange(123) % 120)
    logits = torch.eye(120)[(torch.as_tensor(test.labels) + 1) % 120]
    outputs = Outputs(logits, {name: torch.arange(123.0) for name in result.outputs.scores}, {})
    write_report(
        tmp_path / "r.html",
        model,
        replace(task, test=test),
        replace(result, outputs=outputs),
        HISTORY,
        {},
    )
    reader = Reader((tmp_path / "r.html").read_text())
    assert (
        "species 0 species 1 2 100.0" in reader.text
        and "All other pairs together: 100 images." in reader.text
    )
    assert not any("Confusion matrix" in a["alt"] for a in reader.all("img"))


def test_interval_of_the_accuracy(made):
    """Wilson's: the fractions p with |p - k / n| = z sqrt(p (1 - p) / n)."""
    _, page, (_, task, result) = made
    bounds = re.search(r"(\S+) to (\S+) is its 95 % interval for 11 test images", text_of(page))
    for p in (float(bound) / 100 for bound in bounds.groups()):
        assert abs(p - result.accuracy) == pytest.approx(1.96 * np.sqrt(p * (1 - p) / 11), abs=1e-3)


@pytest.mark.slow
def test_every_image_is_decoded_once(tmp_path, tiny, monkeypatch):
    about = run(tmp_path, tiny, ("a", "b"), ood=("other",), number=4)
    decoded = []
    read = FolderImages.__getitem__
    monkeypatch.setattr(
        FolderImages, "__getitem__", lambda images, i: decoded.append(i) or read(images, i)
    )
    write_report(tmp_path / "r.html", *about, [], {})
    shown = Reader((tmp_path / "r.html").read_text()).all("figure")
    assert len(decoded) == sum(attributes["class"] == "case" for attributes in shown)


@pytest.mark.slow
def test_in_a_browser(made):
    with launch() as browser:
        page = browser.open(made[0].as_uri(), width=390)
        assert not page.problems and page.evaluate(
            "document.documentElement.scrollWidth <= innerWidth"
        ), page.problems
        rows = "[...document.querySelector('table.sortable').tBodies[0].rows]"
        column = f"{rows}.map(row => row.cells[4].textContent)"
        unsorted = page.evaluate(column)[:5]
        page.evaluate("document.querySelectorAll('table.sortable thead button')[4].focus()")
        for key, order, sign in (("Enter", "ascending", 1), (" ", "descending", -1)):
            page.press(key)
            numbers = [float(x) for x in page.evaluate(column)[:5] if x != "–"]
            assert numbers == sorted(numbers, reverse=sign < 0)
            assert page.evaluate(column)[:5] == [
                *(f"{x:.1f}" for x in numbers),
                *["–"] * (5 - len(numbers)),
            ], "dashes stay last"
            assert page.evaluate("document.querySelector('[aria-sort]').ariaSort") == order
        assert sorted(page.evaluate(column)[:5]) == sorted(unsorted)
        dark = browser.open(made[0].as_uri(), dark=True)
        assert not dark.problems
        assert (
            max(
                map(
                    int,
                    re.findall(
                        r"\d+", dark.evaluate("getComputedStyle(document.body).backgroundColor")
                    ),
                )
            )
            < 60
        )
        assert (
            dark.evaluate("getComputedStyle(document.querySelector('.plot div')).backgroundColor")
            == "rgb(255, 255, 255)"
        )
        dark.press("Tab")
        assert dark.evaluate("document.activeElement.className") == "skip"
