"""The ``reference`` preset against the released code's formulas, written here anew."""

import pytest
import torch
from torch.nn.functional import normalize, softmax

from sotglp_core import SOTGLP, preset


def released_plan(similarity):
    """At most 100 iterations, stopped when a scaling moves by less than 0.01 in the mean."""
    B, C, K, N = similarity.shape
    kernel = (-(1 - similarity) / 0.1).exp()
    r, c = torch.ones(B, C, K), torch.ones(B, C, N)
    for _ in range(100):
        before = r
        r = (1 / K) / (kernel * c[..., None, :]).sum(-1)
        c = (1 / N) / (kernel * r[..., None]).sum(-2)
        if (r - before).abs().mean() < 0.01:
            break
    return r[..., None] * kernel * c[..., None, :]


def released_dense_stream(visual, images):
    """V-V attention of every block, with block 1's ordinary attention output leaked into it."""
    inputs, attended = [], []
    hooks = [
        b.register_forward_pre_hook(
            lambda m, a, k: inputs.append(k.get("q_x", a[0] if a else None)), with_kwargs=True
        )
        for b in visual.transformer.resblocks
    ]
    hooks.append(
        visual.transformer.resblocks[0].attn.register_forward_hook(
            lambda m, a, o: attended.append(o[0])
        )
    )
    visual(images)
    for hook in hooks:
        hook.remove()
    tokens = inputs[0] + attended[0]
    for block, x in zip(visual.transformer.resblocks, inputs):
        B, L, V = x.shape
        values = (
            block.ln_1(x) @ block.attn.in_proj_weight[2 * V :].T + block.attn.in_proj_bias[2 * V :]
        )
        heads = values.view(B, L, block.attn.num_heads, -1).transpose(1, 2)
        mixed = softmax(heads @ heads.transpose(-1, -2) / heads.shape[-1] ** 0.5, -1) @ heads
        tokens = tokens + block.attn.out_proj(mixed.transpose(1, 2).reshape(B, L, V))
    return visual.ln_post(tokens[:, 1:])


@pytest.fixture
def model(tiny, names):
    return SOTGLP(tiny, names, preset("reference")).eval()


@torch.no_grad()
def test_patch_tokens(model):
    images = torch.randn(3, 3, 112, 112, generator=torch.Generator().manual_seed(1))
    ours = model.backbone.encode_image(images, dense="vv-shared")
    torch.testing.assert_close(
        ours.patches,
        released_dense_stream(model.backbone.model.visual, images),
        atol=1e-4,
        rtol=1e-4,
    )
    plain = model.backbone.encode_image(images)
    assert (plain.patches - ours.patches).abs().max() > 1e-2
    torch.testing.assert_close(plain.image, ours.image)


@torch.no_grad()
def test_plan_score_and_logits(model):
    images = torch.randn(2, 3, 112, 112, generator=torch.Generator().manual_seed(2))
    seen, text = model(images), model.text_features()
    patches = (
        released_dense_stream(model.backbone.model.visual, images)
        @ model.projection
        @ model.backbone.model.visual.proj
    )
    similarity = torch.einsum("bpd,cnd->bcpn", normalize(patches, dim=-1), text.local_text)
    best = similarity.mean(-1).topk(10, -1).indices
    similarity = similarity.gather(2, best[..., None].expand(-1, -1, -1, 4))
    plan = released_plan(similarity)
    leftover = (plan.sum(-1) - 1 / 10).abs().max()
    assert (seen.alignment.plan - plan).abs().max() <= 4 * leftover + 1e-6
    local = (plan * similarity).sum((-1, -2)) / 4
    torch.testing.assert_close(seen.alignment.score, local, atol=1e-3, rtol=1e-3)
    scale = model.backbone.model.logit_scale.exp()
    z = normalize(model.backbone.model.encode_image(images), dim=-1)
    logits = scale * (torch.einsum("bd,cmd->bcm", z, text.global_text).mean(-1) + local) / 2
    torch.testing.assert_close(seen.logits, logits, atol=0.01, rtol=1e-3)
