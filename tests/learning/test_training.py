"""Training: it learns, it is repeatable, and it is the plain loop that it looks like."""

import warnings

import pytest
import torch

from sotglp_core import SOTGLP, fit, preset, sinkhorn
from sotglp_core.data.features import Features
from sotglp_core.data.images import random_view


def trained(backbone, names, features, **changes):
    model = SOTGLP(
        backbone,
        names,
        preset(changes.pop("name", "sotglp"), **{"epochs": 3, "lr": 0.05, **changes}),
    )
    return model, fit(model, features, progress=False)


@pytest.mark.slow
@pytest.mark.parametrize(
    "name", ["sotglp", "sotglp-proj", "coop", "gallop", "plot", "locoop", "reference"]
)
def test_overfits_a_handful_of_images(tiny, names, features, name):
    _, history = trained(
        tiny,
        names,
        features,
        name=name,
        epochs=40,
        lr=0.2,
        global_dropout=0.0,
        weight_decay=0.0,
    )
    assert history[-1].loss < history[0].loss - 0.3
    assert history[-1].accuracy > 8.5 / 11


def test_same_seed_same_prompts(tiny, names, features):
    first, second, other = (
        trained(tiny, names, features, seed=s)[0].state_dict() for s in (1, 1, 2)
    )
    assert all((first[k] == second[k]).all() for k in first)
    assert any((first[k] != other[k]).any() for k in first)


def test_equals_a_plain_loop(tiny, names):
    """Of plain descent on the two cross-entropies; draws are the order, the views, the masks."""
    g = torch.Generator().manual_seed(0)
    image, patches = torch.randn(22, 128, generator=g), torch.randn(22, 196, 192, generator=g)
    features = Features(image, patches.half(), torch.arange(11) % 5, tiny.grid)  # two views
    config = preset("sotglp", epochs=2, batch_size=4, lr=0.05)
    model, plain = SOTGLP(tiny, names, config), SOTGLP(tiny, names, config)
    fit(model, features, progress=False)
    parameters, velocity = list(plain.parameters()), {}
    torch.manual_seed(config.seed)
    for lr in (0.05, 0.025):  # half of a cosine, at its start and in its middle
        for index in torch.randperm(11)[:8].split(4):  # the incomplete batch is dropped
            views, mask = torch.randint(2, (len(index),)), plain.sample_prompt_mask(len(index))
            seen = plain(features.batch(index, view=views), mask=mask)
            loss = sum(
                torch.nn.functional.cross_entropy(logits, features.labels[index])
                for logits in (seen.global_logits, seen.local_logits)
            )
            for i, gradient in enumerate(torch.autograd.grad(loss, parameters)):
                with torch.no_grad():
                    slope = gradient + config.weight_decay * parameters[i]
                    velocity[i] = slope + config.momentum * velocity.get(i, 0)
                    parameters[i] -= lr * velocity[i]
    for ours, theirs in zip(model.parameters(), plain.parameters(), strict=True):
        torch.testing.assert_close(ours, theirs, atol=1e-5, rtol=1e-5)


def test_leaves_the_global_generator_alone(tiny, names, features):
    torch.manual_seed(5)
    expected = torch.rand(1)
    torch.manual_seed(5)
    trained(tiny, names, features)
    assert torch.rand(1) == expected


@pytest.mark.slow
def test_trains_on_drawn_views(tiny, names, images):
    losses = []
    for crops in (2, 2, 0):
        model = SOTGLP(tiny, names, preset("sotglp", epochs=2, crops=crops))
        losses.append([epoch.loss for epoch in fit(model, images, progress=False)])
    assert losses[0] == losses[1] != losses[2]


@pytest.mark.slow
def test_fresh_crops_are_the_random_views_of_each_epoch(tiny, names, images):
    """The plain loop again, with every crop made by hand."""
    config = preset("coop", epochs=2, batch_size=5, lr=0.05, momentum=0.0, weight_decay=0.0)
    config = config.replace(crops="fresh", warmup=0)
    model, plain = SOTGLP(tiny, names, config), SOTGLP(tiny, names, config)
    fit(model, images, progress=False)
    torch.manual_seed(config.seed)
    (context,) = plain.parameters()
    for epoch, lr in ((1, 0.05), (2, 0.025)):
        for index in torch.randperm(12)[:10].split(5):
            crops = [random_view(images[i], 112, (config.seed, epoch)) for i in index.tolist()]
            with torch.no_grad():
                seen = tiny.encode_image(torch.stack([*map(tiny.preprocess, crops)]), dense="value")
            labels = torch.from_numpy(images.labels)[index]
            loss = torch.nn.functional.cross_entropy(plain(seen).logits, labels)
            with torch.no_grad():
                context -= lr * torch.autograd.grad(loss, context)[0]
    torch.testing.assert_close(next(model.parameters()), context, atol=1e-5, rtol=1e-5)


def test_fresh_crops_need_images(tiny, names, features):
    with pytest.raises(ValueError, match="crops is 'fresh', which needs images, not features"):
        trained(tiny, names, features, crops="fresh")


def test_one_incomplete_batch_is_used(tiny, names, features):
    losses = [trained(tiny, names, features, batch_size=b)[1][0].loss for b in (11, 12, 999)]
    assert losses[0] == losses[1] == losses[2]


@pytest.mark.parametrize("warmup", [0, 1, 3])
def test_learning_rates_are_torchs_schedules(tiny, names, features, warmup):
    """Dassl's order: the constant one first, then the cosine from its beginning, not to its end."""
    _, history = trained(tiny, names, features, epochs=7, lr=0.05, warmup=warmup)
    optimizer = torch.optim.SGD([torch.zeros(1)], lr=0.05)
    cosine = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, 7)
    expected = [1e-5] * warmup
    for _ in range(7 - warmup):
        expected.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        cosine.step()
    assert [epoch.lr for epoch in history] == pytest.approx(expected, rel=1e-12)


def test_history_and_callback(tiny, names, features):
    seen = []
    model = SOTGLP(tiny, names, preset("sotglp", epochs=3))
    history = fit(model, features, progress=False, on_epoch=seen.append)
    assert seen == history and [e.epoch for e in history] == [1, 2, 3] and not model.training
    assert history[0].lr > history[1].lr > history[2].lr


def test_plans_that_have_not_converged_are_mentioned(tiny, names, features):
    def solver(*given, **settings):
        found = sinkhorn(*given, **settings)
        return found._replace(converged=torch.zeros_like(found.converged))

    for chosen, mentioned in ((solver, True), (sinkhorn, False)):
        model = SOTGLP(tiny, names, preset("sotglp", epochs=2), solver=chosen)
        with warnings.catch_warnings(record=True) as said:
            warnings.simplefilter("always")
            fit(model, features, progress=False)
        assert [str(one.message) for one in said] == mentioned * [
            "some transport plans have not converged; raise epsilon"
        ]


def test_zeroshot_learns_nothing(tiny, names, features):
    model = SOTGLP(tiny, names, preset("zeroshot"))
    assert fit(model, features, progress=False) == [] and not model.training


def test_wrong_labels_and_broken_numbers(tiny, names, features):
    with pytest.raises(ValueError, match="labelled 0 to 4"):
        trained(
            tiny,
            names,
            Features(features.image, features.patches, features.labels + 1, features.grid),
        )
    with pytest.raises(ValueError, match="features are not finite"):
        trained(
            tiny,
            names,
            Features(
                features.image * float("nan"), features.patches, features.labels, features.grid
            ),
        )
    for name in ("coop", "sotglp"):
        with pytest.raises(ValueError, match="lower lr"):
            trained(tiny, names, features, name=name, lr=1e38)
