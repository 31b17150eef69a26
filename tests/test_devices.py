"""Whatever is public takes models and features on either device, as a pretend GPU shows."""

import ast
from pathlib import Path

import numpy as np
import open_clip
import pytest
import torch
from PIL import Image
from pretend_cuda import pretend_cuda, pretend_mps

from sotglp_core import (
    SOTGLP,
    PatchInspector,
    encode,
    evaluate,
    fit,
    fit_threshold,
    load,
    load_backbone,
    ood,
    outputs,
    predict,
    recipe,
    save,
    sinkhorn,
)
from sotglp_core.clip.backbone import _choose_precision, choose_device

pytestmark = pytest.mark.usefixtures("empty_cache")
ROOT = Path(__file__).parents[1] / "sotglp_core"
METHODS = ("sotglp-proj", "gallop", "locoop")
ON_THE_CPU = {
    "embed",
    "write_report",
}  # functions that only see tensors of the CPU


@pytest.mark.parametrize("capability, precision", [((7, 5), "fp16"), ((8, 0), "bf16")])
def test_a_gpu_is_chosen_where_there_is_one(capability, precision):
    with pretend_cuda(capability=capability) as card:
        assert choose_device() == torch.device("cuda") and choose_device("cpu").type == "cpu"
        assert _choose_precision("auto", "ViT-B-16", card) == precision
        assert _choose_precision("auto", "ViT-B-16", torch.device("cpu")) == "fp32"
        assert _choose_precision("fp32", "ViT-B-16", card) == "fp32"
        frozen = load_backbone()
        assert frozen.device == card and frozen.dtype == torch.float32, "the embedded CLIP is small"
        assert load_backbone(precision=precision).dtype != torch.float32


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a CUDA device")
def test_without_a_gpu_the_cpu_is_chosen():
    assert choose_device() == torch.device("cpu") == load_backbone().device
    with pytest.raises(ValueError, match="precision is 'half'; choose one of auto, fp32"):
        load_backbone(precision="half")


@pytest.mark.parametrize("precision", ["bf16", "fp16"])
@torch.no_grad()
def test_half_precision_is_open_clips(tiny, precision):
    ours = load_backbone("pocket", "random", precision=precision)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        plain = open_clip.create_model("pocket", precision=precision).eval()
    for (name, x), (other, y) in zip(ours.model.state_dict().items(), plain.state_dict().items()):
        assert name == other and x.dtype == y.dtype and torch.equal(x, y)
    images = torch.randn(2, 3, 112, 112).to(ours.dtype)
    assert torch.equal(ours.model.encode_image(images), plain.encode_image(images))


@pytest.mark.slow
@pytest.mark.parametrize("method", METHODS)
def test_training_and_evaluation_on_either_device(tiny, names, features, method):
    results = []
    with pretend_cuda() as card:
        on_card = load_backbone("pocket", "random", device=card)
        for backbone, given in (
            (on_card, features),
            (on_card, features.to(card)),
            (tiny, features),
        ):
            model = SOTGLP(backbone, names, recipe(method, epochs=2, batch_size=4))
            losses = [epoch.loss for epoch in fit(model, given, progress=False)]
            result = evaluate(model, given, {"far": given}, progress=False)
            threshold = fit_threshold(model, given, source="val")
            results.append((losses, result.to_dict(), outputs(model, given).logits, threshold))
    for losses, metrics, logits, threshold in results[:2]:
        assert logits.device.type == "cpu"
        torch.testing.assert_close(losses, results[2][0], atol=1e-5, rtol=1e-4)
        torch.testing.assert_close(logits, results[2][2], atol=1e-3, rtol=1e-4)
        assert metrics["accuracy"] == results[2][1]["accuracy"]
        assert threshold.at(0.95) == pytest.approx(results[2][3].at(0.95), abs=1e-4)


@pytest.mark.slow
def test_an_apple_gpu_needs_no_float64(tiny, names, features, photos):
    """Training, evaluation, prediction and a transport problem that is hard."""
    config = recipe("sotglp-proj", epochs=1, batch_size=4)
    hard = 9 * torch.rand(3, 7, 5, generator=torch.Generator().manual_seed(0))
    wanted = sinkhorn(hard, epsilon=0.01)
    results = []
    with pretend_mps() as card:
        with pytest.raises(TypeError, match="float64"):
            torch.zeros(2, device=card).double()
        got = sinkhorn(hard.to(card), epsilon=0.01)
        assert got.plan.device == card and bool(got.converged.all())
        torch.testing.assert_close(got.plan.cpu(), wanted.plan)
        on_card = load_backbone("pocket", "random", device="mps")
        for backbone in (on_card, tiny):
            model = SOTGLP(backbone, names, config)
            losses = [epoch.loss for epoch in fit(model, features, progress=False)]
            result = evaluate(model, features, {"far": features}, progress=False)
            answers = list(predict(model, sorted(photos.iterdir())))
            results.append((losses, result.to_dict(), [answer.score for answer in answers]))
    there, here = results
    torch.testing.assert_close(there[0], here[0], atol=1e-5, rtol=1e-4)
    assert there[1]["accuracy"] == here[1]["accuracy"]
    torch.testing.assert_close(there[2], here[2], atol=1e-4, rtol=1e-4)


@pytest.mark.slow
def test_photos_on_a_gpu(tiny, names, photos, images, tmp_path):
    files = sorted(photos.iterdir())
    with pretend_cuda() as card:
        on_card = load_backbone("pocket", "random", device=card)
        models = [SOTGLP(frozen, names).eval() for frozen in (on_card, tiny)]
        there, here = (list(predict(model, files, top=3)) for model in models)
        assert [x.labels for x in there] == [x.labels for x in here]
        for x, y in zip(there, here):
            assert x.score == pytest.approx(y.score, abs=1e-4)
        seen = [encode(frozen, images, cache=False) for frozen in (on_card, tiny)]
        torch.testing.assert_close(seen[0].patches, seen[1].patches, atol=2e-3, rtol=1e-2)
        config = recipe("coop", epochs=1, batch_size=4, crops="fresh")
        learners = [SOTGLP(frozen, names, config) for frozen in (on_card, tiny)]
        losses = [fit(model, images, progress=False)[0].loss for model in learners]
        assert losses[0] == pytest.approx(losses[1], abs=1e-4)
        page = PatchInspector.from_model(models[0], Image.open(files[0])).to_html()
        assert "data:image" in page
        save(models[0], tmp_path / "prompts.safetensors")
        assert load(tmp_path / "prompts.safetensors").backbone.device == card
    assert load(tmp_path / "prompts.safetensors", tiny).backbone is tiny


@pytest.mark.parametrize("precision", ["bf16", "fp16", "fp64"])
def test_prompts_fit_the_backbone_in_every_precision(tiny, names, features, tmp_path, precision):
    model = SOTGLP(tiny, names).eval()
    save(model, tmp_path / "prompts.safetensors")
    other = load_backbone("pocket", "random", precision=precision)
    assert other.fingerprint == tiny.fingerprint and other.dtype != tiny.dtype
    loaded = load(tmp_path / "prompts.safetensors", other)
    ours, wanted = (outputs(x, features).logits.float() for x in (loaded, model))
    assert torch.cosine_similarity(ours, wanted, dim=-1).min() > 0.99


def functions_with_numpy():
    for path in sorted(ROOT.rglob("*.py")):
        source = path.read_text(encoding="utf-8")
        for node in ast.walk(ast.parse(source)):
            if isinstance(node, ast.FunctionDef):
                text = ast.get_source_segment(source, node)
                if ".numpy()" in text:
                    yield node.name, text


def test_numpy_never_reads_a_gpu():
    found = dict(functions_with_numpy())
    assert found
    wrong = [name for name, text in found.items() if ".cpu()" not in text]
    assert set(wrong) <= ON_THE_CPU


def test_shown_on_the_cpu(tiny):
    """What the backbone sees comes back as an image from either device."""
    pixels = tiny.preprocess(Image.fromarray(np.full((112, 112, 3), 77, np.uint8)))
    with pretend_cuda() as card:
        there, here = (np.asarray(tiny.to_image(x)) for x in (pixels.to(card), pixels))
    assert (there == here).all() and (here == 77).all()


def test_metrics_of_scores_on_either_device():
    id_scores, ood_scores = torch.tensor([0.9, 0.7, 0.6]), torch.tensor([0.8, 0.1])
    with pretend_cuda() as card:
        there = ood.metrics(id_scores.to(card), ood_scores.to(card))
    assert there == ood.metrics(id_scores, ood_scores)
