"""Training: it learns, it is repeatable, and it is the plain loop that it looks like."""

import warnings

import pytest
import torch

from sotglp_core import SOTGLP, fit, preset, sinkhorn
from sotglp_core.data.features import Features


def trained(backbone, names, features, **changes):
    model = SOTGLP(
        backbone,
        names,
        preset(changes.pop("name", "sotglp"), **{"epochs": 3, "lr": 0.05, **changes}),
    )
    return model, fit(model, features, progress=False)


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
    assert history[-1].accuracy >= 9 / 11


def test_same_seed_same_prompts(tiny, names, features):
    first, second, other = (
        trained(tiny, names, features, seed=s)[0].state_dict() for s in (1, 1, 2)
    )
    assert all((first[k] == second[k]).all() for k in first)
    assert any((first[k] != other[k]).any() for k in first)


def test_equals_a_plain_loop(tiny, names):
    """Of plain descent on the two cross-entropies; draws are the order, the masks, the views."""
    g = torch.Generator().manual_seed(0)
    image, patches = torch.randn(22, 128, generator=g), torch.randn(22, 196, 192, generator=g)
    features = Features(image, patches.half(), torch.arange(11) % 5, tiny.grid)  # two views
    config = preset("sotglp", epochs=2, batch_size=4, lr=0.05)
    model, plain = SOTGLP(tiny, names, config), SOTGLP(tiny, names, config)
    fit(model, features, progress=False)
    parameters, velocity = list(plain.parameters()), {}
    torch.manual_seed(config.seed)
    for lr in (0.05, 0.025):  # half of a cosine, at its start and in its middle
        for index in torch.randperm(11).split(4):
            mask, views = plain.sample_prompt_mask(len(index)), torch.randint(2, (len(index),))
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


def test_trains_on_drawn_views(tiny, names, images):
    first, again, plain = (
        SOTGLP(tiny, names, preset("sotglp", epochs=2, crops=crops)) for crops in (2, 2, 0)
    )
    losses = [
        [epoch.loss for epoch in fit(model, images, progress=False)]
        for model in (first, again, plain)
    ]
    assert losses[0] == losses[1] != losses[2]


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
