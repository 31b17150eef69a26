import pytest
import torch
from torch.nn.functional import normalize

from sotglp_core import SOTGLP, preset
from sotglp_core.config import PRESETS

B, C, P = 3, 5, 196


@pytest.mark.parametrize("name", PRESETS)
def test_every_preset_runs_and_learns(tiny, names, features, name):
    model = SOTGLP(tiny, names, preset(name)).train()
    seen = model(features.batch(slice(0, B)))
    assert seen.logits.shape == seen.similarity.shape == (B, C) and seen.patch_similarity.shape == (
        B,
        C,
        P,
    )
    if seen.alignment is not None:
        torch.testing.assert_close(
            seen.alignment.plan.sum((-1, -2)), torch.ones(B, C), atol=1e-5, rtol=0
        )
    seen.logits.sum().backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in model.parameters())


@torch.no_grad()
def test_logits_average_the_branches(tiny, names, features):
    model = SOTGLP(tiny, names, preset("sotglp")).eval()
    batch, text = features.batch(slice(0, B)), model.text_features()
    seen, scale = model(batch), tiny.model.logit_scale.exp()
    g = torch.einsum("bd,cmd->bcm", normalize(batch.image, dim=-1), text.global_text).mean(-1)
    torch.testing.assert_close(seen.similarity, g)
    torch.testing.assert_close(seen.logits, scale * (g + seen.alignment.score) / 2)
    torch.testing.assert_close(seen.global_logits, scale * g)
    torch.testing.assert_close(seen.local_logits, scale * seen.alignment.score)


@torch.no_grad()
def test_plan_on_the_grid_of_the_image(tiny, names, features):
    seen = SOTGLP(tiny, names).eval()(features.batch(slice(0, B)))
    grid, n = seen.plan_on_grid(), 3
    assert grid.shape == (B, C, 4, 14, 14)
    row, column = divmod(int(seen.alignment.support[1, 2, n]), 14)
    torch.testing.assert_close(grid[1, 2, :, row, column], seen.alignment.plan[1, 2, n])
    with pytest.raises(ValueError, match="no local prompts"):
        SOTGLP(tiny, names, preset("coop")).eval()(features.batch(slice(0, B))).plan_on_grid()


@torch.no_grad()
def test_zero_shot_is_plain_clip(tiny, names):
    images = torch.randn(2, 3, 112, 112)
    model = SOTGLP(tiny, names, preset("zeroshot")).eval()
    text = normalize(
        tiny.model.encode_text(tiny.tokenizer([f"a photo of a {n}." for n in names])), dim=-1
    )
    wanted = (
        tiny.model.logit_scale.exp() * normalize(tiny.model.encode_image(images), dim=-1) @ text.T
    )
    torch.testing.assert_close(model(images).logits, wanted, atol=1e-3, rtol=1e-4)


@torch.no_grad()
def test_identity_projection_changes_nothing(tiny, names, features):
    without, with_it = (
        SOTGLP(tiny, names, preset(name)).eval()(features.batch(slice(0, B)))
        for name in ("sotglp", "sotglp-proj")
    )
    torch.testing.assert_close(without.logits, with_it.logits, atol=1e-4, rtol=1e-4)


@torch.no_grad()
def test_global_dropout_keeps_some_prompts_and_only_while_training(tiny, names, features):
    model, batch = (
        SOTGLP(tiny, names, preset("coop", global_prompts=7, global_dropout=0.9)),
        features.batch(slice(0, B)),
    )
    model.train()
    assert model._keep(1000, 7, 0.9).sum(-1).min() == 1
    share = (
        model._keep(20_000, 7, 0.75).float().mean()
    )  # 0.25 kept, plus the one saved where all would go
    assert abs(share - (0.25 + 0.75**7 / 7)) < 0.01
    assert (model(batch).logits - model(batch).logits).abs().max() > 0
    model.eval()
    assert (model(batch).logits - model(batch).logits).abs().max() == 0


def test_only_prompts_are_stored(tiny, names):
    assert set(SOTGLP(tiny, names, preset("sotglp-proj")).state_dict()) == {
        "projection",
        "global_prompts.context",
        "local_prompts.context",
    }


def test_seed_fixes_the_start(tiny, names):
    contexts = [
        SOTGLP(tiny, names, preset("coop", seed=s)).global_prompts.context for s in (1, 1, 2)
    ]
    torch.testing.assert_close(contexts[0], contexts[1])
    assert (contexts[0] - contexts[2]).abs().max() > 1e-3


def test_moves_with_its_backbone(names):
    from sotglp_core import load_backbone

    model = SOTGLP(load_backbone("pocket", "random"), names, preset("sotglp-proj")).to("meta")
    assert {
        p.device.type for p in (*model.parameters(), *model.backbone.parameters(), *model.buffers())
    } == {"meta"}


def test_leaves_the_users_generators_alone(tiny, names):
    torch.manual_seed(3)
    expected = torch.rand(1)
    torch.manual_seed(3)
    SOTGLP(tiny, names)
    assert torch.rand(1) == expected


@pytest.mark.parametrize("bad", [("one",), ("same", "same")])
def test_class_names(tiny, bad):
    with pytest.raises(ValueError, match="at least two, all different"):
        SOTGLP(tiny, bad)
