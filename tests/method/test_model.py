from functools import partial

import pytest
import torch
from torch.nn.functional import normalize

from sotglp_core import SOTGLP, preset, recipe
from sotglp_core.config import PRESETS
from sotglp_core.method.fixed import text_free
from sotglp_core.transport.sinkhorn import marginal_violation, sinkhorn

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
    model = SOTGLP(tiny, names, preset("sotglp", global_init="perturbed")).eval()
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
    classes = torch.tensor([4, 0, 2])
    torch.testing.assert_close(seen.plan_on_grid(classes), grid[torch.arange(B), classes])
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
def test_global_dropout_draws_with_replacement_and_only_while_training(tiny, names, features):
    batch = features.batch(slice(0, B))
    model = SOTGLP(tiny, names, preset("coop", global_prompts=7, global_dropout=0.75)).train()
    mask = model.sample_prompt_mask(20_000)  # max(7 - int(5.25), 1) = 2 draws
    assert set(mask.unique().tolist()) == {0.0, 0.5, 1.0} and (mask.sum(-1) == 1).all()
    assert abs((mask == 1).any(-1).float().mean() - 1 / 7) < 0.01  # twice the same
    torch.testing.assert_close(mask.mean(0), torch.full((7,), 1 / 7), atol=0.01, rtol=0)
    for number, drawn in ((2, 1), (3, 1), (4, 1), (5, 2)):
        few = SOTGLP(tiny, names, preset("sotglp", global_prompts=number)).train()
        assert few.sample_prompt_mask(500).count_nonzero(-1).max() == drawn
    assert (model(batch).logits - model(batch).logits).abs().max() > 0
    model.eval()
    assert model.sample_prompt_mask(3) is None
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


@pytest.mark.parametrize("make", [lambda model: model, text_free])
def test_moves_with_a_copy_of_its_backbone(tiny, names, make):
    """Other models that share the backbone stay as they are."""
    stays = SOTGLP(tiny, names, preset("sotglp-proj"))
    moved = make(stays if make is text_free else SOTGLP(tiny, names, preset("sotglp-proj")))
    moved = moved.to("meta")
    for model, device in ((moved, "meta"), (stays, "cpu")):
        tensors = (*model.parameters(), *model.backbone.parameters(), *model.buffers())
        assert {x.device.type for x in tensors} == {device}
    assert stays.backbone is tiny and moved.backbone.grid == tiny.grid
    assert stays.to("cpu").backbone is tiny


def test_settings_default_to_those_that_suit_the_backbone(tiny, names):
    assert SOTGLP(tiny, names).config == recipe("sotglp", backbone="pocket") != preset("sotglp")


def test_an_unknown_allocation_is_refused_at_once(tiny, names):
    with pytest.raises(ValueError, match="of ot, uniform, topk, max; did you mean 'uniform'"):
        SOTGLP(tiny, names, preset("sotglp", allocation="uniforn"))


@pytest.mark.parametrize("iterations, converged", [(1000, True), (1, False)])
@torch.no_grad()
def test_tells_whether_the_plans_have_converged(tiny, names, features, iterations, converged):
    solver = partial(sinkhorn, max_iterations=iterations)
    model = SOTGLP(tiny, names, preset("sotglp", epsilon=1e-3), solver=solver).eval()
    found = model(features.batch(slice(0, B))).alignment
    assert found.converged.shape == (B, C) and bool(found.converged.all()) == converged
    K, N = found.plan.shape[-2:]
    violation = marginal_violation(found.plan, torch.full((K,), 1 / K), torch.full((N,), 1 / N))
    assert ((violation < 1e-5) == found.converged).all()
    gallop = SOTGLP(tiny, names, preset("gallop")).eval()(features.batch(slice(0, B)))
    assert gallop.alignment.converged is None


def test_memory_bounds_change_no_result(tiny, names, features):
    """Neither in values nor in gradients."""
    results = []
    for bounds in ({}, {"text_chunk": 3}):
        model = SOTGLP(tiny, names, preset("sotglp-proj"), **bounds).eval()
        logits = model(features.batch(slice(0, B))).logits
        results.append(
            (logits, *torch.autograd.grad(logits.logsumexp(-1).sum(), model.parameters()))
        )
    for one, other in zip(*results):
        torch.testing.assert_close(one, other, atol=1e-4, rtol=1e-4)


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
