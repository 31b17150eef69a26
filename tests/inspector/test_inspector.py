"""The inspector's page holds the exact plan; the live one computes the plan that the model would have at its settings."""

import base64
import html
import json
import re
import sys

import numpy as np
import pytest
import torch
from matplotlib import colormaps
from PIL import Image

from sotglp_core import SOTGLP, PatchInspector, figures, preset
from sotglp_core.figures import overlay
from sotglp_core.inspector import Picture
from sotglp_core.judging.partition import entropy_ratio, prompt_overlap
from sotglp_core.method.text_free import text_free

RNG = np.random.default_rng(0)
IMAGE = RNG.integers(0, 256, (56, 56, 3), dtype=np.uint8)
IMAGES = [Image.fromarray(RNG.integers(0, 256, (112, 112, 3), dtype=np.uint8)) for _ in range(3)]
EVIL = '</script><b onclick="alert(1)">&'


def plan(C=2, N=3, h=5, w=7):
    p = np.random.default_rng(1).random((C, N, h, w))
    p[..., 0, :] = 0
    return p / p.sum((1, 2, 3), keepdims=True)


def stored(page):
    """What the page's script reads: (pictures, their plans)."""
    pictures = json.loads(
        re.search(r'<script type="application/json" class="data">(.*?)</script>', page, re.S).group(
            1
        )
    )["pictures"]
    return pictures, [
        np.frombuffer(base64.b64decode(p["plan"]), "<f4").reshape(p["shape"]) for p in pictures
    ]


def test_the_page_holds_the_exact_plans():
    plans = [plan(), plan(5, 3, 2, 11)]
    page = PatchInspector(
        Picture(IMAGE, plans[0], "ab", note="xy", alt="noise"), Picture(IMAGE, plans[1], "cdefg")
    ).to_html()
    pictures, kept = stored(page)
    for a, b in zip(kept, plans):
        np.testing.assert_array_equal(a, b.astype("<f4"))
    assert [p["classes"] for p in pictures] == [list("ab"), list("cdefg")]
    assert pictures[0]["note"] == ["x", "y"] and pictures[0]["alt"] == "noise"


def test_names_and_texts_are_never_html(tmp_path):
    inspector = PatchInspector(Picture(IMAGE, plan(1), [EVIL], note=[EVIL], alt=EVIL))
    inspector.save(tmp_path / "page.html", title=EVIL)
    page = (tmp_path / "page.html").read_text()
    assert "<b" not in page.replace("<body", "") and page.count("</script>") == 2
    assert stored(page)[0][0]["classes"] == [EVIL] and html.escape(EVIL) in page


def test_a_page_of_its_own(tmp_path):
    PatchInspector(Picture(IMAGE, plan(), "ab")).save(
        tmp_path / "page.html", title="Who looks where"
    )
    page = (tmp_path / "page.html").read_text()
    assert page.startswith('<!doctype html>\n<html lang="en">')
    assert "<title>Who looks where</title>" in page and "<h1>Who looks where</h1>" in page
    assert 'name="viewport"' in page and not re.search(r'https?://|src="[^d]|href', page), (
        "it needs no other file"
    )


def test_without_scripts_the_page_counts_the_patches_led():
    p = np.zeros((1, 3, 1, 5))
    p[0, 2, 0, 0], p[0, 0, 0, 1:3], p[0, 1, 0, 1:3] = 0.5, 0.2, 0.05
    page = (
        PatchInspector(Picture(IMAGE, p, ["red finch"], note=["sure"]))
        .to_html()
        .split("<script")[0]
    )
    assert (
        '<th scope="row">red finch (sure)</th><td>2, 0, 1</td>' in page
        and 'alt="the image: number and colour' in page
    )


def test_overlay_is_the_picture_in_the_colours_of_the_plan():
    p = np.zeros((2, 2, 2))
    p[0, 0, 0], p[1, 0, 1] = 0.75, 0.25
    image = Image.new("RGB", (40, 40), "white")
    heat = np.asarray(overlay(image, p, 1, 1))
    np.testing.assert_allclose(
        heat[5, 25], 255 * np.array(colormaps[figures.HEATMAP](1 / 3)[:3]), atol=1
    )
    led = np.asarray(overlay(image, p, strength=1))
    assert [tuple(led[1, x]) for x in (1, 21)] == [
        tuple(round(255 * v) for v in figures.base.rgb(c)) for c in figures.PALETTE[:2]
    ]
    assert (led[30] == 255).all() and (np.asarray(overlay(image, p, strength=0))[1] == 255).all()


@torch.no_grad()
def test_of_a_model(tiny, names):
    model = SOTGLP(tiny, names, preset("sotglp")).eval()
    pictures, plans = stored(
        PatchInspector.from_model(model, IMAGES, top=2, alt=["one", "two", "three"]).to_html()
    )
    for image, picture, kept in zip(IMAGES, pictures, plans):
        seen = model(tiny.preprocess(image)[None])
        best = seen.logits[0].topk(2).indices
        assert picture["classes"] == [names[i] for i in best]
        np.testing.assert_allclose(
            kept.reshape(2, 4, 196), seen.alignment.on_grid(196)[0, best].mT, atol=1e-6
        )
    assert [p["alt"] for p in pictures] == ["one", "two", "three"]
    single = PatchInspector.from_model(model, IMAGES[0], top=2, alt="one")
    np.testing.assert_allclose(stored(single.to_html())[1][0], plans[0], atol=1e-6)
    assert stored(single._repr_html_())[0] == stored(single.to_html())[0], "what a notebook shows"
    assert repr(single) == "PatchInspector(images=1, classes=2, prompts=4, patches=14x14)"


def test_shown_pixels_are_the_image(tiny, names):
    np.testing.assert_allclose(
        np.asarray(tiny.to_image(tiny.preprocess(IMAGES[0]))), np.asarray(IMAGES[0]), atol=1
    )


@pytest.mark.parametrize(
    "bad, message",
    [
        (np.ones((2, 3, 4)), "needs"),
        (np.ones((2, 3, 4, 5)), "for 1 classes"),
        (-np.ones((1, 3, 4, 5)), "not negative"),
        (np.full((1, 3, 4, 5), np.nan), "finite"),
        (np.ones((1, 0, 4, 5)), "holds nothing"),
    ],
)
def test_plans_that_make_no_picture(bad, message):
    with pytest.raises(ValueError, match=message):
        Picture(IMAGE, bad, ["a"])


@pytest.mark.parametrize(
    "make, message",
    [
        (lambda model, coop: Picture(IMAGE, plan(), "ab", note=["x"]), "1 notes for 2"),
        (lambda model, coop: PatchInspector(), "no picture"),
        (
            lambda model, coop: PatchInspector(
                Picture(IMAGE, plan(), "ab"), Picture(IMAGE, plan(N=2), "ab")
            ),
            r"\[2, 3\] prompts",
        ),
        (lambda model, coop: PatchInspector.from_model(model, []), "no image"),
        (
            lambda model, coop: PatchInspector.from_model(model, IMAGES, alt=["one", "two"]),
            "2 texts for 3 images",
        ),
        (lambda model, coop: PatchInspector.from_model(coop, IMAGES), "no local prompts"),
        (lambda model, coop: PatchInspector.live(model, []), "no image"),
        (lambda model, coop: PatchInspector.live(coop, IMAGES), "no local prompts"),
    ],
)
def test_errors_say_what_is_missing(tiny, names, make, message):
    with pytest.raises(ValueError, match=message):
        make(SOTGLP(tiny, names, preset("sotglp")), SOTGLP(tiny, names, preset("coop")))


def cells(page, caption):
    """The rows of the table with this caption, as texts."""
    table = re.search(rf"<caption>{re.escape(caption)}.*?</table>", page, re.S).group(0)
    rows = re.findall(r"<tr>(.*?)</tr>", table.split("<tbody>")[1], re.S)
    return [
        [html.unescape(cell) for cell in re.findall(r"<t[hd][^>]*>(.*?)</t[hd]>", row)]
        for row in rows
    ]


@pytest.mark.parametrize(
    "settings",
    [
        {"epsilon": 0.001, "support": 7},
        {"epsilon": 10.0, "support": 1},
        {"allocation": "uniform", "support": 196},
        {"allocation": "max", "support": 13},
        {"allocation": "topk"},
        {"epsilon": 0.05, "support": 31},
    ],
    ids=str,
)
@torch.no_grad()
def test_live_shows_the_plan_of_a_model_with_its_settings(tiny, names, settings):
    live = PatchInspector.live(SOTGLP(tiny, names, preset("sotglp")), IMAGES)
    live.controls.image.value = 2
    live.controls.class_name.value = 3
    for name, value in settings.items():
        getattr(live.controls, name).value = value
    seen = SOTGLP(tiny, names, preset("sotglp", **settings)).eval()(
        torch.stack([tiny.preprocess(image) for image in IMAGES])
    )
    expected = seen.alignment.plan[2, 3]
    torch.testing.assert_close(live.alignment.plan[0, 0], expected, atol=1e-6, rtol=1e-4)
    page, K = live.view.value, len(expected)
    shown = dict(row for row in cells(page, "The plan"))
    assert float(shown["local score u"]) == pytest.approx(
        float(seen.alignment.score[2, 3]), abs=1e-4
    )
    assert float(shown["entropy ratio H(P) / log KN"]) == pytest.approx(
        float(entropy_ratio(expected)), abs=1e-4
    )
    assert float(shown["overlap of the prompts"]) == pytest.approx(
        float(prompt_overlap(expected)), abs=1e-4
    )
    masses = [float(x) for x in shown[f"mass of a patch (1/K = {1 / K:.4g})"].split(" to ")]
    assert masses == pytest.approx(
        [float(expected.sum(1).min()), float(expected.sum(1).max())], rel=1e-3, abs=1e-6
    )
    assert [float(row[1]) for row in cells(page, "The prompts")] == pytest.approx(
        expected.sum(0).tolist(), abs=1e-4
    )
    grid = seen.plan_on_grid()[2, 3]
    listed = cells(page, f"The {min(10, int((grid.sum(0) > 0).sum()))} patches of largest mass")
    for place, *values in listed:
        row, column = (int(x) - 1 for x in place.split(", "))
        assert [float(v) for v in values] == pytest.approx(
            grid[:, row, column].tolist(), rel=2e-3, abs=1e-6
        )


def test_live_encodes_once_and_draws_what_is_chosen(tiny, names, monkeypatch):
    calls = []
    encode = tiny.encode_image
    monkeypatch.setattr(tiny, "encode_image", lambda *a, **k: calls.append(1) or encode(*a, **k))
    live = PatchInspector.live(
        SOTGLP(tiny, names, preset("sotglp")), IMAGES, alt=[EVIL, "two", "three"]
    )
    pages = [live.view.value]
    for control, value in (
        ("prompt", 2),
        ("strength", 0.3),
        ("epsilon", 0.001),
        ("support", 3),
        ("allocation", "topk"),
        ("image", 1),
    ):
        getattr(live.controls, control).value = value
        pages.append(live.view.value)
    drawn = [re.search('src="(.*?)"', page).group(1) for page in pages]
    assert len(calls) == 1 and len(set(drawn)) == len(drawn), "every control changes the picture"
    assert (
        "<b" not in pages[0] and "mass of prompt 3, class" in pages[1] and 'alt="two: ' in pages[-1]
    )
    assert live.controls.epsilon.disabled and live.controls.support.disabled


@torch.no_grad()
def test_live_orders_an_images_classes_by_probability(tiny, names):
    model = SOTGLP(tiny, names, preset("sotglp"))
    live = PatchInspector.live(model, IMAGES)
    for i, image in enumerate(IMAGES):
        live.controls.image.value = i
        probability = model(tiny.preprocess(image)[None]).logits[0].softmax(-1)
        order = probability.argsort(descending=True).tolist()
        assert [
            value for _, value in live.controls.class_name.options
        ] == order and live.controls.class_name.value == order[0]


def test_live_takes_any_model_with_local_prompts(tiny, names):
    model = SOTGLP(tiny, names, preset("sotglp"))
    learned, baked = (PatchInspector.live(each, IMAGES[0]) for each in (model, text_free(model)))
    torch.testing.assert_close(baked.alignment.plan, learned.alignment.plan)
    dense = PatchInspector.live(
        SOTGLP(tiny, names, preset("sotglp", support=None, local_prompts=1)), IMAGES[0]
    )
    assert dense.controls.support.value == 196 and "one prompt only" in dense.view.value


def test_a_broken_ipywidgets_is_not_called_missing(tiny, names, monkeypatch):
    class Broken:
        @staticmethod
        def find_spec(name, *_):
            if name == "ipywidgets":
                raise ModuleNotFoundError("No module named 'traitlets'", name="traitlets")

    for name in [name for name in sys.modules if name.split(".")[0] == "ipywidgets"] + [
        "sotglp_core.inspector.live"
    ]:
        monkeypatch.delitem(sys.modules, name, raising=False)
    monkeypatch.setattr(sys, "meta_path", [Broken, *sys.meta_path])
    with pytest.raises(ModuleNotFoundError, match="traitlets"):
        PatchInspector.live(SOTGLP(tiny, names), IMAGES[0])


def test_live_needs_ipywidgets(tiny, names, monkeypatch):
    monkeypatch.setitem(sys.modules, "ipywidgets", None)
    monkeypatch.delitem(sys.modules, "sotglp_core.inspector.live", raising=False)
    with pytest.raises(ImportError, match="pip install ipywidgets"):
        PatchInspector.live(SOTGLP(tiny, names), IMAGES[0])
