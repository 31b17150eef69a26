"""Exported models: the same predictions from the image tower alone, and from an ONNX graph."""

import importlib.util
import json

import numpy as np
import pytest
import torch
from commands import run

from sotglp_core import SOTGLP, evaluate, fit, load, load_backbone, preset, save
from sotglp_core.judging.threshold import OODThreshold, threshold_of
from sotglp_core.method.model import text_free
from sotglp_core.storage import load_tensors, save_tensors
from sotglp_core.transport.sinkhorn import sinkhorn
from sotglp_core.workbench.onnx import LIBRARIES, to_onnx, unrolled

CALIBRATION = OODThreshold("GL-MCM", (0.5,) * 101, 40, "val")
MISSING = [name for name in LIBRARIES if importlib.util.find_spec(name) is None]
needs_onnx = pytest.mark.skipif(bool(MISSING), reason=f"{', '.join(MISSING)} not installed")


def trained(backbone, names, features, name, **changes):
    model = SOTGLP(backbone, names, preset(name, epochs=2, lr=0.1, **changes))
    fit(model, features, progress=False)
    return model


@pytest.mark.parametrize("name", ["sotglp", "sotglp-proj", "coop", "plot", "gallop", "reference"])
def test_text_free_models_make_the_same_predictions(tiny, names, features, tmp_path, name):
    model = trained(tiny, names, features, name)
    save(text_free(model), tmp_path / "b.safetensors", CALIBRATION)
    again = load(tmp_path / "b.safetensors", tiny)
    assert again.text_free and threshold_of(again) == CALIBRATION and again.config == model.config
    expected, found = (m(features.batch(slice(None))) for m in (model, again))
    assert torch.equal(found.logits, expected.logits) and torch.equal(
        found.similarity, expected.similarity
    )
    assert (tmp_path / "b.safetensors").stat().st_size < 1e6


def test_the_text_tower_is_gone(tiny, names, features, tmp_path):
    save(text_free(SOTGLP(tiny, names)), tmp_path / "b.safetensors")
    alone = load(tmp_path / "b.safetensors")
    size = sum(p.numel() for p in alone.backbone.parameters())
    assert size == sum(p.numel() for p in tiny.model.visual.parameters()) + 1, (
        "the image tower and the logit scale"
    )
    assert not hasattr(alone.backbone.text, "token_embedding") and hasattr(
        tiny.text, "token_embedding"
    )
    with pytest.raises(AttributeError):
        alone.backbone.encode_text(["a bird"])
    expected = evaluate(SOTGLP(tiny, names), features, progress=False).accuracy
    assert evaluate(alone, features, progress=False).accuracy == expected
    save(alone, tmp_path / "again.safetensors")
    assert (tmp_path / "again.safetensors").read_bytes() == (
        tmp_path / "b.safetensors"
    ).read_bytes()


def test_a_text_free_model_is_not_trained(tiny, names, features):
    for name in ("sotglp", "sotglp-proj"):
        with pytest.raises(ValueError, match="train the one it was made from"):
            fit(text_free(SOTGLP(tiny, names, preset(name))), features, progress=False)


@pytest.mark.parametrize(
    "drop, add",
    [
        ("local_prompts.features", {}),
        ("global_prompts.features", {}),
        ("projection", {}),
        ("local_prompts.features", {"local_prompts.features": torch.zeros(5, 3, 128)}),
        ("global_prompts.features", {"global_prompts.features": torch.zeros(2, 128)}),
    ],
)
def test_tensors_that_do_not_fit_are_refused(tiny, names, tmp_path, drop, add):
    save(text_free(SOTGLP(tiny, names, preset("sotglp-proj"))), tmp_path / "b")
    tensors, record = load_tensors(tmp_path / "b")
    del tensors[drop]
    save_tensors(tmp_path / "c", {**tensors, **add}, record)
    with pytest.raises(ValueError, match="is damaged, or of another version"):
        load(tmp_path / "c", tiny)


def test_another_backbone_is_refused(tiny, pocket, names, tmp_path):
    save(text_free(SOTGLP(tiny, names)), tmp_path / "b")
    with pytest.raises(ValueError, match="was trained on pocket"):
        load(tmp_path / "b", pocket)


def test_the_command(tiny, names, photos, monkeypatch, capsys, tmp_path):
    save(SOTGLP(tiny, names), tmp_path / "p.safetensors", CALIBRATION)
    code, out, _ = run(
        monkeypatch, capsys, "export", tmp_path / "p.safetensors", tmp_path / "b.safetensors"
    )
    assert code == 0 and "5 classes" in out
    rows = []
    for file in ("p", "b"):
        code, out, _ = run(
            monkeypatch, capsys, "predict", tmp_path / f"{file}.safetensors", photos, "--json"
        )
        rows.append([json.loads(line) for line in out.splitlines()])
    assert rows[0] == rows[1] and len(rows[0]) == 12
    code, _, err = run(monkeypatch, capsys, "export", tmp_path / "p.safetensors", tmp_path / "b.pt")
    assert code == 2 and "neither .safetensors nor .onnx" in err


def test_onnx_says_what_to_install(tiny, names, monkeypatch, capsys, tmp_path):
    save(SOTGLP(tiny, names), tmp_path / "p.safetensors")
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    code, _, err = run(
        monkeypatch, capsys, "export", tmp_path / "p.safetensors", tmp_path / "b.onnx"
    )
    assert (
        code == 2
        and f"pip install {' '.join(LIBRARIES)}" in err
        and len(err.strip().splitlines()) == 1
    )
    assert not (tmp_path / "b.onnx").exists()


@pytest.mark.parametrize("epsilon, iterations", [(1.0, 8), (0.1, 64), (0.01, 300)])
def test_the_unrolled_solver_is_sinkhorn_on_the_support(epsilon, iterations):
    cost = 1 - torch.rand(2, 3, 11, 5, generator=torch.Generator().manual_seed(0))
    support = cost.mean(-1).argsort(-1)[..., :7]
    index = support[..., None].expand(-1, -1, -1, 5)
    expected = sinkhorn(cost.gather(2, index), epsilon=epsilon).plan
    found = unrolled(7, iterations)(cost, epsilon=epsilon)
    torch.testing.assert_close(found.plan.gather(2, index), expected, atol=1e-5, rtol=0)
    assert found.plan.sum() == pytest.approx(6, abs=1e-4) and bool(found.converged.all())
    assert not bool(unrolled(7, 0)(cost, epsilon=epsilon).converged.any())


@needs_onnx
@pytest.mark.parametrize(
    "name, changes",
    [
        ("sotglp-proj", {}),
        ("coop", {}),
        ("gallop", {}),
        ("reference", {}),
        ("plot", {"epsilon": 0.02}),
    ],
)
def test_onnx_agrees_with_torch(tiny, names, features, images, tmp_path, name, changes):
    import onnxruntime

    model = trained(tiny, names, features, name, **changes)
    model.threshold = CALIBRATION
    pictures = [images[i] for i in range(5)]
    found = to_onnx(model, tmp_path / "g.onnx", pictures[:2])
    assert found.difference <= 1e-4 and found.violation <= 1e-5 and found.opset == 18
    assert (found.iterations > 0) == (name not in ("coop", "gallop"))
    session = onnxruntime.InferenceSession(tmp_path / "g.onnx")
    pixels = torch.stack([tiny.preprocess(picture) for picture in pictures])
    with torch.no_grad():
        seen = model(pixels)
    probabilities, score, *plan = session.run(None, {"pixels": pixels.numpy()})
    np.testing.assert_allclose(probabilities, seen.logits.softmax(-1), atol=1e-4)
    if name != "coop":
        best = seen.logits.argmax(-1)
        np.testing.assert_allclose(plan[0], seen.plan_on_grid()[torch.arange(5), best], atol=1e-4)
    record = json.loads(session.get_modelmeta().custom_metadata_map["sotglp"])
    assert record["class_names"] == list(names) and record["score"] == (
        "MCM" if name == "coop" else "GL-MCM"
    )
    assert record["threshold"]["images"] == 40 and record["preprocessing"]["size"]
    from sotglp_core.judging.ood import scores

    np.testing.assert_allclose(score, scores(seen)[record["score"]], atol=1e-5)


@needs_onnx
@pytest.mark.parametrize(
    "name, changes, message",
    [
        ("sotglp", {"epsilon": 1e-5}, "too few for epsilon"),
        ("sotglp", {"allocation": "max"}, "of ot and topk"),
    ],
)
def test_onnx_refuses(tiny, names, images, tmp_path, name, changes, message):
    with pytest.raises(ValueError, match=message):
        to_onnx(
            SOTGLP(tiny, names, preset(name, **changes)).eval(), tmp_path / "g.onnx", [images[0]]
        )
    assert not list(tmp_path.glob("*g.onnx*"))


@needs_onnx
def test_a_graph_that_differs_is_not_written(tiny, names, images, monkeypatch, tmp_path):
    monkeypatch.setattr("sotglp_core.workbench.onnx.DIFFERENCE", -1)
    with pytest.raises(ValueError, match="the graph differs from torch by .* nothing was written"):
        to_onnx(SOTGLP(tiny, names, preset("coop")), tmp_path / "g.onnx", [images[0]])
    assert not list(tmp_path.glob("*g.onnx*"))


@needs_onnx
def test_onnx_refuses_low_precision_and_no_image(tiny, names, images, tmp_path):
    with pytest.raises(ValueError, match="fp32"):
        to_onnx(
            SOTGLP(load_backbone("pocket", "random", precision="bf16"), names),
            tmp_path / "g.onnx",
            [images[0]],
        )
    with pytest.raises(ValueError, match="no image"):
        to_onnx(SOTGLP(tiny, names), tmp_path / "g.onnx", [])


@needs_onnx
def test_the_onnx_command(tiny, names, photos, monkeypatch, capsys, tmp_path):
    save(SOTGLP(tiny, names), tmp_path / "p.safetensors", CALIBRATION)
    code, out, _ = run(
        monkeypatch, capsys, "export", tmp_path / "p.safetensors", tmp_path / "b.onnx"
    )
    assert code == 0 and "iterations of Sinkhorn" in out and "on 8 images" in out
    code, out, _ = run(
        monkeypatch,
        capsys,
        "export",
        tmp_path / "p.safetensors",
        tmp_path / "b.onnx",
        photos,
        "--json",
    )
    found = json.loads(out)
    assert (
        code == 0
        and found["difference"] <= 1e-4
        and found["bytes"] == (tmp_path / "b.onnx").stat().st_size
    )
