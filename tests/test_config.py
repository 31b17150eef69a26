import dataclasses

import pytest
import torch

from sotglp_core.config import PRESETS, Config, preset, seed_everything


def test_presets_are_short_differences():
    assert preset("sotglp") == Config()
    for name, changes in PRESETS.items():
        assert preset(name).preset == name and len(changes) <= 8
        assert all(
            getattr(Config(), key) != value
            for key, value in changes.items()
            if key not in ("global_prompts",)
        )


def test_frozen():
    with pytest.raises(dataclasses.FrozenInstanceError):
        Config().lr = 1


@pytest.mark.parametrize(
    "changes, message",
    [
        (dict(epsillon=0.1), "did you mean 'epsilon'"),
        (dict(zzz=1), "unknown setting 'zzz'"),
        (dict(epsilon=0), "epsilon is 0"),
        (dict(global_prompts=0, local_prompts=0), "both 0"),
        (dict(template="a photo"), "needs one {}"),
        (dict(support=0), "support is 0"),
        (dict(global_dropout=1.0), r"in \[0, 1\)"),
        (dict(local_init="xavier"), "template or random"),
        (dict(top_k=()), "top_k"),
        (dict(epochs=-1), "negative"),
        (dict(momentum=-0.5), "momentum is -0.5; it can't be negative"),
        (dict(lr=1e300), "a number"),
        (dict(support="all"), "a whole number, or None"),
        (dict(epochs=2.5), "epochs is 2.5; it needs a whole number"),
        (dict(epochs=True), "a whole number"),
        (dict(lr=float("nan")), "a number"),
        (dict(momentum="0.9"), "a number"),
        (dict(projection=1), "True or False"),
        (dict(template=None), "a text"),
        (dict(seed=-1), "from 0 to"),
        (dict(top_k=(5, 2.5)), "whole numbers"),
        (dict(support=10.0), "a whole number, or None"),
    ],
)
def test_errors(changes, message):
    with pytest.raises(ValueError, match=message):
        preset("sotglp", **changes)


def test_unknown_preset():
    with pytest.raises(ValueError, match="did you mean 'gallop'"):
        preset("galop")


def test_seeding():
    seed_everything(3)
    first = torch.rand(2)
    seed_everything(3)
    assert (torch.rand(2) == first).all()
