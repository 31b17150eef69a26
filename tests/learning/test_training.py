import math

import pytest
import torch

from sotglp_core import SOTGLP, evaluate, fit, load, load_backbone, preset, save
from sotglp_core.data.features import Features
from sotglp_core.judging.evaluation import calibration_error
from sotglp_core.storage import load_tensors, save_tensors


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
        local_dropout=0.0,
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


def test_leaves_the_global_generator_alone(tiny, names, features):
    torch.manual_seed(5)
    expected = torch.rand(1)
    torch.manual_seed(5)
    trained(tiny, names, features)
    assert torch.rand(1) == expected


def test_trains_on_drawn_views(tiny, names, images):
    first, again, plain = (
        SOTGLP(tiny, names, preset("sotglp", epochs=2, views=views)) for views in (3, 3, 1)
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
    model = SOTGLP(tiny, names, preset("sotglp"))
    torch.nn.init.constant_(model.local_prompts.context, float("nan"))
    with pytest.raises(ValueError, match="the cost holds NaN") as error:
        fit(model, features, progress=False)
    assert "lower lr" not in str(error.value), "no step was taken, so the rate is not the reason"


def test_evaluation(tiny, names, features):
    model, _ = trained(tiny, names, features, epochs=1)
    result = evaluate(model, features, {"a": features, "b": features}, progress=False)
    assert result.accuracy == pytest.approx(
        float((result.outputs.logits.argmax(-1) == features.labels).float().mean())
    )
    assert result.ood["a"]["GL-MCM"]["auroc"] == pytest.approx(0.5), "a set against itself"
    assert set(result.ood) == {"a", "b", "mean"} and set(result.partition) == {
        "effective_prompts",
        "entropy_ratio",
        "prompt_overlap",
    }
    batched = evaluate(model, features, progress=False)
    torch.testing.assert_close(
        batched.outputs.logits,
        model(features.batch(slice(None))).logits.detach(),
        atol=1e-3,
        rtol=1e-4,
    )


def test_evaluation_needs_labels(tiny, names, features):
    model = SOTGLP(tiny, names)
    with pytest.raises(ValueError, match="labels -1 to -1"):
        evaluate(
            model,
            Features(features.image, features.patches, features.labels * 0 - 1, features.grid),
            progress=False,
        )


def test_an_empty_set_is_named(tiny, names, features):
    empty = Features(features.image[:0], features.patches[:0], features.labels[:0], features.grid)
    with pytest.raises(ValueError, match="'nothing' has no images"):
        evaluate(SOTGLP(tiny, names), features, {"nothing": empty}, progress=False)


def test_low_precision_prompts_load_again(names, tmp_path):
    save(
        SOTGLP(load_backbone("pocket", "random", precision="bf16"), names),
        tmp_path / "p.safetensors",
    )
    assert load(tmp_path / "p.safetensors").backbone.precision == "bf16"


def test_calibration_error_by_hand():
    logits = torch.log(torch.tensor([[0.9, 0.1], [0.9, 0.1], [0.3, 0.7], [0.4, 0.6]]))
    # bins of width 1/15: two at .9 with accuracy 1/2, one at .7 right, one at .6 wrong
    expected = 0.5 * abs(0.5 - 0.9) + 0.25 * abs(1 - 0.7) + 0.25 * abs(0 - 0.6)
    assert calibration_error(logits, torch.tensor([0, 1, 1, 0])) == pytest.approx(
        expected, abs=1e-6
    )


def test_save_and_load(tiny, names, features, tmp_path):
    model, _ = trained(tiny, names, features, name="sotglp-proj")
    save(model, tmp_path / "deep" / "prompts.safetensors")
    again = load(tmp_path / "deep" / "prompts.safetensors", tiny)
    assert again.config == model.config and again.class_names == names and not again.training
    torch.testing.assert_close(
        again(features.batch(slice(None))).logits, model(features.batch(slice(None))).logits
    )
    assert [p.name for p in (tmp_path / "deep").iterdir()] == ["prompts.safetensors"]


def test_load_finds_the_backbone_by_itself_and_refuses_another(tiny, pocket, names, tmp_path):
    save(SOTGLP(tiny, names), tmp_path / "p.safetensors")
    assert load(tmp_path / "p.safetensors").backbone.fingerprint == tiny.fingerprint
    with pytest.raises(ValueError, match="was trained on pocket"):
        load(tmp_path / "p.safetensors", pocket)


@pytest.mark.parametrize(
    "change, message",
    [
        (
            lambda tensors, record: tensors["local_prompts.context"].fill_(math.inf),
            "holds numbers that are not finite",
        ),
        (
            lambda tensors, record: record["config"].update(local_prompts=7),
            "does not fit its own record: KeyError '4 local_prompts, not 7'",
        ),
        (lambda tensors, record: record["class_names"].pop(), "does not fit its own record"),
        (
            lambda tensors, record: record["class_names"].__setitem__(0, record["class_names"][1]),
            "class names that are at least two",
        ),
        (lambda tensors, record: record["config"].update(epsilom=1), "did you mean 'epsilon'"),
        (
            lambda tensors, record: record.update(format=0),
            "is not a file of learned prompts that this version reads",
        ),
    ],
)
def test_files_that_contradict_themselves(tiny, names, tmp_path, change, message):
    save(SOTGLP(tiny, names, preset("sotglp")), tmp_path / "p.safetensors")
    tensors, record = load_tensors(tmp_path / "p.safetensors")
    change(tensors, record)
    save_tensors(tmp_path / "p.safetensors", tensors, record)
    with pytest.raises(ValueError, match=message) as error:
        load(tmp_path / "p.safetensors", tiny)
    assert len(str(error.value).splitlines()) == 1
