"""ONNX graphs: the same probabilities, scores and plans as torch's, or no file at all."""

import importlib.util
import json

import numpy as np
import pytest
import torch
from commands import run

from sotglp_core import SOTGLP, fit, load_backbone, preset, save
from sotglp_core.judging.ood import scores
from sotglp_core.judging.threshold import OODThreshold
from sotglp_core.transport.sinkhorn import sinkhorn
from sotglp_core.workbench.onnx import LIBRARIES, to_onnx, unrolled

CALIBRATION = OODThreshold("GL-MCM", (0.5,) * 101, 40, "val")
MISSING = [name for name in LIBRARIES if importlib.util.find_spec(name) is None]
needs_onnx = pytest.mark.skipif(bool(MISSING), reason=f"{', '.join(MISSING)} not installed")


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
def test_the_unrolled_solver_is_sinkhorn(epsilon, iterations):
    cost = 1 - torch.rand(2, 3, 11, 5, generator=torch.Generator().manual_seed(0))
    expected = sinkhorn(cost, epsilon=epsilon).plan
    found = unrolled(cost, epsilon=epsilon, iterations=iterations)
    torch.testing.assert_close(found.plan, expected, atol=1e-5, rtol=0)
    assert found.plan.sum() == pytest.approx(6, abs=1e-4) and bool(found.converged.all())
    few = unrolled(cost, epsilon=epsilon, iterations=0)
    assert not bool(few.converged.any())
    torch.testing.assert_close(few.plan.sum(-1), torch.full((2, 3, 11), 1 / 11))


@pytest.mark.slow
@needs_onnx
@pytest.mark.parametrize(
    "name, changes",
    [
        ("coop", {}),
        ("gallop", {}),
        ("reference", {}),
        ("plot", {"epsilon": 0.02}),
        ("sotglp", {"allocation": "max"}),
    ],
)
def test_onnx_agrees_with_torch(tiny, names, features, images, tmp_path, name, changes):
    import onnxruntime

    model = SOTGLP(tiny, names, preset(name, epochs=2, lr=0.1, **changes))
    fit(model, features, progress=False)
    model.threshold = CALIBRATION
    pictures = [images[i] for i in range(5)]
    found = to_onnx(model, tmp_path / "g.onnx", pictures[:2])
    assert found.difference <= 1e-4 and found.violation <= 1e-5 and found.opset == 18
    iterates = name not in ("coop", "gallop") and not set(changes) & {"allocation"}
    assert (found.iterations > 0) == iterates
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
    np.testing.assert_allclose(score, scores(seen)[record["score"]], atol=1e-5)


@needs_onnx
def test_onnx_refuses_an_epsilon_that_needs_too_many_iterations(tiny, names, images, tmp_path):
    model = SOTGLP(tiny, names, preset("sotglp", epsilon=1e-5)).eval()
    with pytest.raises(ValueError, match="too few for epsilon"):
        to_onnx(model, tmp_path / "g.onnx", [images[0]])
    assert not list(tmp_path.glob("*g.onnx*"))


@needs_onnx
def test_a_graph_that_differs_is_not_written(tiny, names, images, monkeypatch, tmp_path):
    def export(graph, pixels, names):
        return lambda pixels: [output + 1e-3 for output in graph(pixels)]

    monkeypatch.setattr("sotglp_core.workbench.onnx._export", export)
    with pytest.raises(ValueError, match="differs from torch by 0.001, .* nothing was written"):
        to_onnx(SOTGLP(tiny, names, preset("coop")), tmp_path / "g.onnx", [images[0]])
    assert not list(tmp_path.glob("*g.onnx*"))


@needs_onnx
def test_onnx_refuses_low_precision(tiny, names, images, tmp_path):
    with pytest.raises(ValueError, match="fp32"):
        to_onnx(
            SOTGLP(load_backbone("pocket", "random", precision="bf16"), names),
            tmp_path / "g.onnx",
            [images[0]],
        )


@pytest.mark.slow
@needs_onnx
def test_the_onnx_command(tiny, names, photos, monkeypatch, capsys, tmp_path):
    prompts, graph = tmp_path / "p.safetensors", tmp_path / "b.onnx"
    save(SOTGLP(tiny, names), prompts, CALIBRATION)
    code, out, _ = run(monkeypatch, capsys, "export", prompts, graph)
    assert code == 0 and "iterations of Sinkhorn" in out and "on 8 images" in out
    code, out, _ = run(monkeypatch, capsys, "export", prompts, graph, photos, "--json")
    found = json.loads(out)
    assert code == 0 and found["difference"] <= 1e-4
    assert found["bytes"] == graph.stat().st_size
