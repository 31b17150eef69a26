"""The inspector in Python: its state, its plan, its widget, and the page that it writes."""

import base64
import json
import re

import numpy as np
import pytest
import torch
from inspected import CLASSES, NAMES, birds, expected, moved_model
from PIL import Image
from traitlets import TraitError

from sotglp_core import SOTGLP, PatchInspector, preset, recipe
from sotglp_core.data.embedded import species_images
from sotglp_core.data.images import FolderImages
from sotglp_core.judging.partition import assignment
from sotglp_core.method.fixed import text_free

EVIL = '</script><b onclick="alert(1)">&{{ 1 }}'


@pytest.fixture(scope="module")
def model():
    return moved_model()


@pytest.fixture
def inspector(model):
    return PatchInspector.from_model(model, birds(), top=CLASSES, alt=["one", "two", "three"])


def stored(page):
    """The JSON that the page's module reads."""
    return json.loads(re.search(r'class="data">(.*?)</script>', page, re.S).group(1))


def cosines(record, stage):
    floats = np.frombuffer(base64.b64decode(record["stages"][stage]["cosines"]), "<f4")
    return floats.reshape(len(record["class_names"]), 196, 4)


@pytest.mark.slow
@torch.no_grad()
@pytest.mark.parametrize("top", [2, CLASSES])
def test_the_page_holds_the_models_cosines_and_logits(model, top):
    page = stored(PatchInspector.from_model(model, birds(), top=top).to_html())
    start = SOTGLP(model.backbone, NAMES, model.config).eval()
    for image, record in zip(birds(), page["data"]["images"]):
        classes = [NAMES.index(name) for name in record["class_names"]]
        others = [c for c in range(CLASSES) if c not in classes]
        for stage, its_model in (("learned", model), ("initial", start)):
            text = its_model.text_features()
            seen = its_model(model.backbone.preprocess(image)[None], text)
            for c, mine in zip(classes, cosines(record, stage)):
                np.testing.assert_allclose(mine, seen.patches[0] @ text.local_text[c].T, atol=1e-7)
            found = record["stages"][stage]
            np.testing.assert_allclose(found["global_logits"], seen.global_logits[0, classes])
            rest = seen.logits[0, others].exp().sum()
            assert np.exp(found["others"]) == pytest.approx(float(rest), rel=1e-6)
            if stage == "learned":
                assert classes[:top] == seen.logits[0].topk(top).indices.tolist()


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"image": 2, "class_index": 3, "epsilon": 0.001, "support": 7},
        {"epsilon": 10, "support": 1},
        {"allocation": "uniform", "support": 196, "stage": "initial"},
        {"image": 1, "allocation": "max", "support": 13},
        {"allocation": "topk", "class_index": 6},
        {"epsilon": 0.01, "support": 196},
    ],
    ids=str,
)
def test_plan_is_that_of_a_model_with_these_settings(inspector, model, settings):
    for name, value in settings.items():
        setattr(inspector, name, value)
    masses = expected(model, birds(), inspector.trait_values())["masses"]
    assert inspector.plan.shape == (4, 14, 14)
    np.testing.assert_allclose(inspector.plan.flatten(1).T, masses, atol=2e-6)


def test_another_image_begins_with_its_most_probable_class(inspector):
    inspector.class_index, inspector.patch, inspector.epsilon = 3, 17, 0.5
    inspector.image = 1
    assert (inspector.class_index, inspector.patch, inspector.epsilon) == (0, None, 0.5)


@pytest.mark.parametrize(
    "name, value, error, message",
    [
        ("image", 3, ValueError, "image is 3; the largest here is 2"),
        ("class_index", 7, ValueError, "largest here is 6"),
        ("support", 197, ValueError, "largest here is 196"),
        ("support", 0, TraitError, "less than 1"),
        ("prompt", 4, ValueError, "largest here is 3"),
        ("patch", -1, ValueError, "patch is -1"),
        ("epsilon", 0, TraitError, "less than 0.0001"),
        ("stage", "final", TraitError, "initial"),
        ("allocation", "ott", TraitError, "uniform"),
        ("epsilon", "wide", TraitError, "float"),
    ],
)
def test_impossible_settings_are_refused(inspector, name, value, error, message):
    before = getattr(inspector, name)
    with pytest.raises(error, match=message):
        setattr(inspector, name, value)
    assert getattr(inspector, name) == before


def test_a_data_set_brings_its_labels_and_parts(model):
    images = species_images("test", 1, names=NAMES)
    records = PatchInspector.from_model(model, images, top=1).data["images"]
    assert [record["truth"] for record in records] == list(NAMES)
    assert all(record["truth"] in record["class_names"][:2] for record in records)
    assert {len(record["class_names"]) for record in records} == {1, 2}, "right and wrong answers"
    np.testing.assert_array_equal(
        [record["parts"] for record in records], images.part_grids().reshape(CLASSES, -1)
    )


def test_images_of_unknown_class(model, photos):
    files = FolderImages(sorted(photos.iterdir())[:2], [-1, -1])
    for images in (files, [files[0], files[1]]):
        inspector = PatchInspector.from_model(model, images, top=2)
        assert [record["truth"] for record in inspector.data["images"]] == [None, None]
        assert [record["parts"] for record in inspector.data["images"]] == [None, None]
    single = PatchInspector.from_model(model, files[0], top=2, alt="grey noise")
    assert single.data["images"][0] == inspector.data["images"][0] | {"alt": "grey noise"}


def test_any_model_with_local_prompts(model, pocket):
    exported = PatchInspector.from_model(text_free(model), birds(), top=2)
    records = PatchInspector.from_model(model, birds(), top=2).data["images"]
    for mine, other in zip(exported.data["images"], records):
        assert list(mine["stages"]) == ["learned"], "its prompts are gone"
        np.testing.assert_allclose(cosines(mine, "learned"), cosines(other, "learned"), atol=1e-6)
    plot = SOTGLP(pocket, NAMES, recipe("plot"))
    inspector = PatchInspector.from_model(plot, birds(), top=2)
    assert inspector.support == 196
    assert inspector.data["images"][0]["stages"]["learned"]["global_logits"] is None


@pytest.mark.parametrize(
    "images, alt, message",
    [
        ([], "", "0 images and 0 texts"),
        (birds(), ["one", "two"], "3 images and 2 texts"),
        (birds(), [], "3 images and 0 texts"),
    ],
)
def test_images_and_texts_must_match(model, images, alt, message):
    with pytest.raises(ValueError, match=message):
        PatchInspector.from_model(model, images, alt=alt)


def test_a_model_without_local_prompts_has_no_plan(pocket):
    with pytest.raises(ValueError, match="no local prompts"):
        PatchInspector.from_model(SOTGLP(pocket, NAMES, recipe("coop")), birds())


def test_an_allocation_that_the_page_does_not_know(tiny, monkeypatch):
    model = SOTGLP(tiny, NAMES, preset("sotglp", allocation="max"))
    monkeypatch.setattr("sotglp_core.inspector.inspector.COMPUTED", ("ot", "uniform"))
    with pytest.raises(ValueError, match="computes plans of ot, uniform, not of 'max'"):
        PatchInspector.from_model(model, birds())


def test_a_page_of_its_own(inspector, tmp_path):
    inspector.epsilon = 0.03
    inspector.save(tmp_path / "page.html", title="Who looks where")
    page = (tmp_path / "page.html").read_text()
    assert page.startswith('<!doctype html>\n<html lang="en">')
    assert "<title>Who looks where</title>" in page and "<h1>Who looks where</h1>" in page
    assert 'name="viewport"' in page and not re.search(r'https?://|src="[^d]|href', page)
    assert stored(page)["epsilon"] == 0.03, "it opens as it was saved"


def test_a_page_of_eight_birds_stays_below_two_megabytes(model):
    page = PatchInspector.from_model(model, species_images("test", 2, names=NAMES[:4])).to_html()
    assert 4e5 < len(page) < 2e6


def test_names_and_texts_are_never_html(pocket, tmp_path):
    model = SOTGLP(pocket, (EVIL, "grey duck"), recipe("sotglp"))
    images = species_images("test", 1, names=NAMES[:1])
    PatchInspector.from_model(model, images, alt=EVIL).save(tmp_path / "page.html", title=EVIL)
    page = (tmp_path / "page.html").read_text()
    assert "<b" not in page.replace("<body", "") and page.count("</script>") == 2
    record = stored(page)["data"]["images"][0]
    assert EVIL in record["class_names"] and (record["alt"], record["truth"]) == (EVIL, EVIL)


@torch.no_grad()
def test_without_scripts_a_drawing_and_a_table_stand(inspector, model):
    page = inspector.to_html().split('<script type="application/json"')[0]
    seen = model(model.backbone.preprocess(birds()[2])[None])
    order = seen.logits[0].argsort(descending=True)
    rows = re.findall(r"<tr><th scope=\"row\">(.*?)</th><td>(.*?)</td><td>(.*?)</td>", page)
    assert len(rows) == 3 * CLASSES and page.count("<img") == 3 and 'alt="three: number' in page
    for c, (name, probability, led) in zip(order, rows[2 * CLASSES :]):
        true = " (true class)" if c == CLASSES - 1 else ""
        assert name == NAMES[c] + true
        assert probability == f"{100 * seen.logits[0].softmax(-1)[c]:.2f} %"
        leaders = assignment(seen.alignment.plan[0, c]).bincount(minlength=4)
        assert led == ", ".join(str(int(number)) for number in leaders)


def test_a_page_shares_the_state(inspector):
    inspector.image, inspector.prompt = 1, 3
    inspector.set_state({"image": 2, "class_index": 0, "patch": None})  # what a page sends
    inspector.set_state({"epsilon": 0.003, "patch": 21, "class_index": 4})
    assert (inspector.image, inspector.epsilon, inspector.prompt) == (2, 0.003, 3)
    assert (inspector.patch, inspector.class_index) == (21, 4)


def test_a_notebook_gets_the_widget_and_the_page(inspector):
    data, _ = inspector._repr_mimebundle_()
    view = data["application/vnd.jupyter.widget-view+json"]
    assert view["model_id"] == inspector.model_id
    assert stored(data["text/html"]) == stored(inspector.to_html())


def test_shown_pixels_are_the_image(tiny):
    noise = np.random.default_rng(0).integers(0, 256, (112, 112, 3), dtype=np.uint8)
    image = Image.fromarray(noise)
    np.testing.assert_allclose(np.asarray(tiny.to_image(tiny.preprocess(image))), noise, atol=1)
