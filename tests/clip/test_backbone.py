"""The backbone against plain open_clip."""

import json
import math
import subprocess
import sys
from pathlib import Path

import numpy as np
import open_clip
import pytest
import torch
from safetensors.torch import save_file

from sotglp_core import load_backbone
from sotglp_core.clip.backbone import weights_here
from sotglp_core.storage import save_tensors

ROOT = Path(__file__).parents[2]
TEXTS = ["a photo of a cat.", "a photo of a red-crowned barred-winged finch.", "x"]


@pytest.mark.parametrize(
    "name", ["pocket", *(pytest.param(n, marks=pytest.mark.slow) for n in ("ViT-B-32", "ViT-B-16"))]
)
@torch.no_grad()
def test_equals_open_clip(name):
    backbone = load_backbone(name, "random")
    side, model = backbone.model.visual.image_size[0], backbone.model
    images = torch.randn(2, 3, side, side, generator=torch.Generator().manual_seed(0))
    seen = backbone.encode_image(images)
    torch.testing.assert_close(seen.image, model.encode_image(images), atol=1e-5, rtol=0)
    torch.testing.assert_close(
        backbone.encode_text(TEXTS), model.encode_text(backbone.tokenizer(TEXTS)), atol=1e-5, rtol=0
    )
    assert (
        seen.patches.shape == (2, math.prod(seen.grid), backbone.patch_width)
        and seen.grid == backbone.grid
    )
    assert backbone.project(seen.patches).shape == (2, math.prod(seen.grid), seen.image.shape[-1])


@torch.no_grad()
def test_plain_dense_tokens_are_the_ordinary_streams(tiny):
    """Those that CLIP's own ln_post sees, but the class token."""
    images = torch.randn(2, 3, 112, 112)
    tokens = []
    hook = tiny.model.visual.ln_post.register_forward_hook(lambda m, i, o: tokens.append(o))
    tiny.encode_image(images, dense="plain")
    hook.remove()
    everything = tokens[0]
    torch.testing.assert_close(
        tiny.encode_image(images, dense="plain").patches, everything[:, 1:], atol=1e-5, rtol=1e-5
    )
    assert (tiny.encode_image(images).patches - everything[:, 1:]).abs().max() > 1e-2


def test_frozen(tiny):
    assert not any(p.requires_grad for p in tiny.parameters())
    assert not tiny.encode_image(torch.randn(1, 3, 112, 112)).image.requires_grad


@pytest.mark.parametrize("precision, dtype", [("bf16", torch.bfloat16), ("fp16", torch.float16)])
@torch.no_grad()
def test_low_precision(tiny, precision, dtype):
    low = load_backbone("pocket", "random", precision=precision)
    images = torch.randn(2, 3, 112, 112, generator=torch.Generator().manual_seed(0))
    ours, wanted = low.encode_image(images), tiny.encode_image(images)
    assert low.dtype == dtype
    for a, b in (
        (ours.image, wanted.image),
        (ours.patches, wanted.patches),
        (low.encode_text(TEXTS), tiny.encode_text(TEXTS)),
    ):
        assert torch.cosine_similarity(a.float(), b, dim=-1).min() > 0.99


@pytest.fixture
def small(tmp_path):
    """Two small models of one shape, as open_clip names them: with GELU and with QuickGELU."""
    for name, quick in (("small", False), ("small-quickgelu", True)):
        config = {
            "embed_dim": 32,
            "quick_gelu": quick,
            "vision_cfg": {
                "image_size": 32,
                "patch_size": 8,
                "layers": 2,
                "width": 64,
                "head_width": 32,
            },
            "text_cfg": {
                "context_length": 77,
                "vocab_size": 49408,
                "width": 32,
                "heads": 1,
                "layers": 2,
            },
        }
        (tmp_path / f"{name}.json").write_text(json.dumps(config))
    open_clip.add_model_config(tmp_path)
    return "small"


@torch.no_grad()
def test_openai_format(tmp_path, small):
    """What remains of OpenAI's archive as a state dictionary: half precision and three integers."""
    other = load_backbone(f"{small}-quickgelu", "random").model
    state = {k: torch.randn_like(v).half() for k, v in other.state_dict().items()}
    state.pop("attn_mask", None)
    integers = {"input_resolution": 32, "context_length": 77, "vocab_size": 49408}
    path = tmp_path / "state.pt"
    torch.save(state | {name: torch.tensor(value) for name, value in integers.items()}, path)
    backbone = load_backbone(f"{small}-quickgelu", str(path))
    for name, value in backbone.model.state_dict().items():
        torch.testing.assert_close(value, state[name].float())
    with pytest.raises(ValueError, match="QuickGELU.*load 'small-quickgelu'"):
        load_backbone(small, str(path))


@pytest.mark.parametrize(
    "name, pretrained, message",
    [
        ("ViT-B-16", "openai", "QuickGELU.*load 'ViT-B-16-quickgelu'"),
        ("ViT-B-16-quickgelu", "laion2b_s34b_b88k", "neither a tag"),
        ("RN50", "random", "not a native ViT; supported are"),
        ("convnext_base", "random", "not a native ViT; supported are"),
        ("ViT-B-16-SigLIP", "random", "not a native ViT; supported are"),
        ("roberta-ViT-B-32", "random", "text tower is not open_clip's own; supported are"),
        ("ViT-Z-99", None, "open_clip has no model"),
        ("ViT-B-16", None, "needs weights: give as pretrained"),
        ("ViT-B-16", "no-such-tag", "neither a tag"),
        ("pocket", "/no/such/file.safetensors", "neither a tag"),
    ],
)
def test_errors(name, pretrained, message):
    with pytest.raises(ValueError, match=message):
        load_backbone(name, pretrained)


@pytest.mark.parametrize(
    "tower, changes, reason",
    [
        ("vision_cfg", {"pool_type": "avg"}, "its image tower pools by attention or averaging"),
        (
            "vision_cfg",
            {"attentional_pool": True},
            "its image tower pools by attention or averaging",
        ),
        ("text_cfg", {"no_causal_mask": True}, "its text tower is not causal"),
        ("text_cfg", {"hf_tokenizer_name": "bert"}, "its tokenizer is not CLIP's"),
        ("text_cfg", {"pool_type": "last"}, "its text feature is not read at the end token"),
    ],
)
def test_other_towers_are_refused(tmp_path, small, tower, changes, reason):
    config = open_clip.get_model_config(small)
    config[tower].update(changes)
    (tmp_path / "other.json").write_text(json.dumps(config))
    open_clip.add_model_config(tmp_path / "other.json")
    with pytest.raises(ValueError, match=f"other is not supported: {reason}; supported are"):
        load_backbone("other", "random")


def test_precision_error():
    with pytest.raises(ValueError, match="one of auto, fp32, bf16, fp16, fp64"):
        load_backbone(precision="int8")


def test_dense_features_are_of_four_kinds(tiny):
    with pytest.raises(ValueError, match="choose one of vv, vv-shared, value, plain"):
        tiny.encode_image(torch.zeros(1, 3, 112, 112), dense="qkv")


def test_damaged_and_foreign_files(tmp_path):
    junk = tmp_path / "junk.safetensors"
    junk.write_bytes(b"not weights")
    with pytest.raises(ValueError, match="can't be read as weights"):
        load_backbone("pocket", str(junk))
    save_tensors(tmp_path / "other.safetensors", {"weight": torch.zeros(2)}, {})
    with pytest.raises(ValueError, match="does not hold the weights of pocket"):
        load_backbone("pocket", str(tmp_path / "other.safetensors"))


def test_huggingface_names_are_told(tmp_path):
    torch.save({"text_model.final_layer_norm.bias": torch.zeros(2)}, tmp_path / "x.pt")
    with pytest.raises(ValueError, match="Missing key.* convert them from Hugging Face's names"):
        load_backbone("pocket", str(tmp_path / "x.pt"))


@pytest.mark.parametrize(
    "name, near",
    [("ViT-L/14@336px", "ViT-L-14-336"), ("vit-b-16", "ViT-B-16"), ("pokcet", "pocket")],
)
def test_the_nearest_name(name, near):
    with pytest.raises(ValueError, match=f"no model '{name}'; did you mean '{near}'"):
        load_backbone(name, "random")


@pytest.fixture
def hub(tmp_path, monkeypatch):
    """A repository in the hub's cache that holds the embedded model: the folder of its files."""
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    repository, commit = tmp_path / "models--them--clip", "0" * 40
    files = repository / "snapshots" / commit
    files.mkdir(parents=True)
    (repository / "refs").mkdir()
    (repository / "refs" / "main").write_text(commit)
    config = {"model_cfg": open_clip.get_model_config("pocket"), "preprocess_cfg": {}}
    (files / "open_clip_config.json").write_text(json.dumps(config))
    return files


def test_a_repository_of_the_hub(pocket, hub):
    with pytest.raises(ValueError, match="weights .* could not be downloaded .*go online"):
        load_backbone("hf-hub:them/clip")
    assert not weights_here("hf-hub:them/clip")
    save_file(pocket.model.state_dict(), hub / "open_clip_model.safetensors")
    assert weights_here("hf-hub:them/clip")
    ours = load_backbone("hf-hub:them/clip")
    assert ours.fingerprint == pocket.fingerprint
    assert load_backbone(ours.name, ours.pretrained).fingerprint == pocket.fingerprint
    assert load_backbone(ours.name, "random").fingerprint != pocket.fingerprint
    assert torch.equal(ours.encode_text(["a bird"]), pocket.encode_text(["a bird"]))
    with pytest.raises(ValueError, match="no configuration of 'hf-hub:them/other' .*go online"):
        load_backbone("hf-hub:them/other")


@pytest.mark.parametrize(
    "content", [torch.zeros(2), [1], {1: torch.zeros(2)}, {"state_dict": torch.zeros(2)}, {"x": 3}]
)
def test_files_that_hold_something_else(tmp_path, content):
    torch.save(content, tmp_path / "x.pt")
    with pytest.raises(ValueError, match="can't be read as weights"):
        load_backbone("pocket", str(tmp_path / "x.pt"))


def test_a_failed_download_is_one_clear_line(monkeypatch):
    def offline(*args, **kwargs):
        raise RuntimeError(
            "Failed to download weights for tag 'laion2b_s34b_b79k': no network\nand more"
        )

    monkeypatch.setattr(open_clip, "create_model", offline)
    with pytest.raises(
        ValueError, match="could not be downloaded .*go online, or give a checkpoint file"
    ):
        load_backbone("ViT-B-32", "laion2b_s34b_b79k")


def test_weights_that_are_here(tmp_path, monkeypatch):
    """A tag's are in the hub's cache."""
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))
    tags = {
        "hub": {"hf_hub": "them/clip/"},
        "file": {"hf_hub": "them/clip/vit.bin"},
    }
    monkeypatch.setattr("open_clip.get_pretrained_cfg", lambda name, tag: tags.get(tag, {}))
    commit = "0" * 40
    for path, tag in (
        (f"hub/models--them--clip/snapshots/{commit}/open_clip_model.safetensors", "hub"),
        (f"hub/models--them--clip/snapshots/{commit}/vit.safetensors", "file"),
    ):
        assert not weights_here("ViT-B-16", tag)
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_bytes(b"")
        (tmp_path / "hub/models--them--clip/refs").mkdir(exist_ok=True)
        (tmp_path / "hub/models--them--clip/refs/main").write_text(commit)
        assert weights_here("ViT-B-16", tag)
    assert weights_here("pocket") and weights_here("pocket", "random")
    with pytest.raises(ValueError, match="neither a tag of ViT-B-16"):
        weights_here("ViT-B-16", "nothing")


def test_no_pickle_is_executed(tmp_path):
    class Bomb:
        def __reduce__(self):
            return (open, (str(tmp_path / "exploded"), "w"))

    torch.save({"state_dict": Bomb()}, tmp_path / "bomb.pt")
    with pytest.raises(ValueError, match="can't be read as weights"):
        load_backbone("pocket", str(tmp_path / "bomb.pt"))
    assert not (tmp_path / "exploded").exists()


def test_embedded_weights(pocket):
    assert pocket.grid == (14, 14) and pocket.pretrained == "embedded"
    text = torch.nn.functional.normalize(pocket.encode_text(["a accordion", "a saxophone"]), dim=-1)
    assert float(text[0] @ text[1]) < 0.9999, "words that training never met must still differ"
    assert np.isfinite(pocket.logit_scale.item())


@pytest.mark.slow
def test_open_clip_is_imported_when_it_is_needed():
    code = "import sys, sotglp_core.clip.backbone; sys.exit('open_clip' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT).returncode == 0


def test_fingerprint_tells_weights_apart(tiny, pocket):
    assert tiny.fingerprint == load_backbone("pocket", "random").fingerprint != pocket.fingerprint


def test_a_text_longer_than_the_window_is_an_error(tiny):
    with pytest.raises(ValueError, match="more than 75 tokens"):
        tiny.encode_text(["word " * 80])
    tiny.encode_text(["word " * 75])
