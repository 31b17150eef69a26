"""Exported models: the same predictions from the image tower alone."""

import json

import pytest
import torch
from commands import run

from sotglp_core import SOTGLP, evaluate, fit, load, preset, save
from sotglp_core.judging.threshold import OODThreshold
from sotglp_core.method.fixed import text_free
from sotglp_core.storage import load_tensors, save_tensors

CALIBRATION = OODThreshold("GL-MCM", (0.5,) * 101, 40, "val")


def trained(backbone, names, features, name, **changes):
    model = SOTGLP(backbone, names, preset(name, epochs=2, lr=0.1, **changes))
    fit(model, features, progress=False)
    return model


@pytest.mark.parametrize("name", ["sotglp", "sotglp-proj", "coop", "plot", "gallop", "reference"])
def test_text_free_models_make_the_same_predictions(tiny, names, features, tmp_path, name):
    model = trained(tiny, names, features, name)
    save(text_free(model), tmp_path / "b.safetensors", CALIBRATION)
    again = load(tmp_path / "b.safetensors", tiny)
    assert again.text_free and again.threshold == CALIBRATION and again.config == model.config
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


@pytest.mark.slow
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
