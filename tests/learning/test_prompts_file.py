"""A file of learned prompts: what it gives back, and what it refuses."""

import math

import pytest
import torch

from sotglp_core import SOTGLP, fit, load, load_backbone, preset, save
from sotglp_core.storage import load_tensors, save_tensors


@pytest.fixture
def path(tmp_path):
    return tmp_path / "deep" / "prompts.safetensors"


def test_save_and_load(tiny, names, features, path):
    model = SOTGLP(tiny, names, preset("sotglp-proj", epochs=3, lr=0.05))
    fit(model, features, progress=False)
    save(model, path)
    again = load(path, tiny)
    assert again.config == model.config and again.class_names == names and not again.training
    batch = features.batch(slice(None))
    torch.testing.assert_close(again(batch).logits, model(batch).logits)
    assert list(path.parent.iterdir()) == [path]


def test_low_precision_prompts_load_again(names, path):
    save(SOTGLP(load_backbone("pocket", "random", precision="bf16"), names), path)
    assert load(path).backbone.precision == "bf16"


def test_load_finds_the_backbone_by_itself_and_refuses_another(tiny, pocket, names, path):
    save(SOTGLP(tiny, names), path)
    assert load(path).backbone.fingerprint == tiny.fingerprint
    with pytest.raises(ValueError, match="was trained on pocket"):
        load(path, pocket)


def infinite(tensors, record):
    tensors["local_prompts.context"].fill_(math.inf)


def more_prompts(tensors, record):
    record["config"]["local_prompts"] = 7


def a_class_less(tensors, record):
    record["class_names"].pop()


def a_class_twice(tensors, record):
    record["class_names"][0] = record["class_names"][1]


def an_unknown_setting(tensors, record):
    record["config"]["epsilom"] = 1


def another_format(tensors, record):
    record["format"] = 0


@pytest.mark.parametrize(
    "change, message",
    [
        (infinite, "is damaged, or of another version"),
        (more_prompts, "is damaged, or of another version"),
        (a_class_less, "is damaged, or of another version"),
        (a_class_twice, "5 class names, 4 of them different"),
        (an_unknown_setting, "did you mean 'epsilon'"),
        (another_format, "is damaged, or of another version"),
    ],
)
def test_files_that_contradict_themselves(tiny, names, path, change, message):
    save(SOTGLP(tiny, names, preset("sotglp")), path)
    tensors, record = load_tensors(path)
    change(tensors, record)
    save_tensors(path, tensors, record)
    with pytest.raises(ValueError, match=message) as error:
        load(path, tiny)
    assert len(str(error.value).splitlines()) == 1
