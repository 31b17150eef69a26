"""Figures draw what they are given; the inspector's page holds the exact plan."""

import base64
import json
import re

import numpy as np
import pytest
import torch
from PIL import Image

from sotglp_core import SOTGLP, PatchInspector, figures, preset
from sotglp_core.inspector import shown_pixels
from sotglp_core.training import Epoch

IMAGE = np.random.default_rng(0).integers(0, 256, (56, 56, 3), dtype=np.uint8)


def plan(N=3, h=5, w=7):
    p = np.random.default_rng(1).random((N, h, w))
    p[:, 0] = 0
    return p / p.sum()


@pytest.mark.parametrize("draw", [
    lambda: figures.contact_sheet([IMAGE] * 7, [f"a long species name {i}" for i in range(7)], columns=3),
    lambda: figures.partition(IMAGE, plan(), title="red-crowned finch"),
    lambda: figures.tradeoff({"a": ([0.5, 0.6], [0.7, 0.8]), "b": ([0.5], [0.9])}),
    lambda: figures.history({"a": [Epoch(1, 2.0, 0.1, 0.1), Epoch(2, 1.0, 0.5, 0.0)]}),
    lambda: figures.score_histograms(np.random.rand(50), {"x": np.random.rand(30), "y": np.random.rand(20)}),
], ids=["contact_sheet", "partition", "tradeoff", "history", "score_histograms"])
def test_draws(draw, tmp_path):
    figure = draw()
    figure.savefig(tmp_path / "f.png")
    assert np.asarray(Image.open(tmp_path / "f.png").convert("L")).std() > 5, "the figure is not empty"


def test_shares():
    p = np.zeros((2, 1, 3))
    p[:, 0, 0], p[:, 0, 1] = (0.3, 0.1), (0.1, 0.1)
    colours = figures.shares(p)
    assert colours.shape == (1, 3, 4) and colours[0, 2, 3] == 0
    assert colours[0, 0, 3] == pytest.approx(0.25 + 0.75 * 0.75) and colours[0, 1, 3] == pytest.approx(0.25 + 0.75 * 0.5)


def test_tradeoff_shows_mean_and_deviation():
    ax = figures.tradeoff({"a": ([0.5, 0.7], [0.8, 0.8])}).axes[0]
    line, _, _ = ax.containers[0]
    assert line.get_xdata()[0] == pytest.approx(60) and line.get_ydata()[0] == pytest.approx(80)


def page_data(html):
    data = json.loads(re.search(r'<script type="application/json" class="data">(.*?)</script>', html, re.S).group(1))
    return data, np.frombuffer(base64.b64decode(data["plan"]), "<f4").reshape(data["shape"])


def test_inspector_holds_the_exact_plan():
    plans = np.stack([plan(), plan() / 2])
    data, stored = page_data(PatchInspector(IMAGE, plans, ["a", "b"], note=["x", "y"]).to_html())
    np.testing.assert_array_equal(stored, plans.astype("<f4"))
    assert data["classes"] == ["a", "b"] and data["note"] == ["x", "y"]


def test_inspector_escapes_names(tmp_path):
    evil = "</script><script>alert(1)</script>"
    inspector = PatchInspector(IMAGE, plan()[None], [evil], alt=evil)
    assert evil not in inspector.to_html() and page_data(inspector.to_html())[0]["classes"] == [evil]
    inspector.save(tmp_path / "page.html", title=evil)
    assert evil not in (tmp_path / "page.html").read_text()


def test_inspector_needs_no_network(tmp_path):
    assert not re.search(r"https?://|src=\"[^d]", PatchInspector(IMAGE, plan()[None], ["a"]).to_html())


@torch.no_grad()
def test_inspector_from_a_model(tiny, names):
    model, image = SOTGLP(tiny, names, preset("sotglp")).eval(), Image.fromarray(IMAGE)
    data, stored = page_data(PatchInspector.from_model(model, image, top=2).to_html())
    seen = model(tiny.preprocess(image)[None])
    best = seen.logits[0].topk(2).indices
    assert data["classes"] == [names[i] for i in best]
    np.testing.assert_allclose(stored.reshape(2, 4, 196), seen.alignment.on_grid(196)[0, best].mT, atol=1e-7)
    with pytest.raises(ValueError, match="no local prompts"):
        PatchInspector.from_model(SOTGLP(tiny, names, preset("coop")), image)


def test_shown_pixels_are_the_image(tiny, names):
    big = Image.fromarray(IMAGE).resize((112, 112))
    np.testing.assert_allclose(np.asarray(shown_pixels(SOTGLP(tiny, names), big)), np.asarray(big), atol=1)


@pytest.mark.parametrize("bad, message", [
    (np.ones((2, 3, 4)), "needs"), (np.ones((2, 3, 4, 5)), "for 1 classes"), (-np.ones((1, 3, 4, 5)), "not negative"),
    (np.full((1, 3, 4, 5), np.nan), "finite"),
])
def test_inspector_errors(bad, message):
    with pytest.raises(ValueError, match=message):
        PatchInspector(IMAGE, bad, ["a"])
