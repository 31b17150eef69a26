import dataclasses

import numpy as np
import pytest
import torch

from sotglp_core.config import PRESETS, Config, preset, seed_everything


def test_presets_are_short_differences():
    assert preset("sotglp") == Config()
    for name, changes in PRESETS.items():
        assert preset(name).preset == name and len(changes) <= 10
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
        (dict(global_dropout=1.0), "must be less than 1"),
        (dict(local_init="random"), "is one of template, perturbed, normal, xavier"),
        (dict(top_k=()), "top_k"),
        (dict(epochs=-1), "from 0 to"),
        (dict(momentum=-0.5), "momentum is -0.5; it needs a number from 0"),
        (dict(lr=1e300), "a number"),
        (dict(epochs=2.5), "epochs is 2.5; it needs an integer"),
        (dict(epochs=True), "an integer"),
        (dict(lr=float("nan")), "a number"),
        (dict(momentum="0.9"), "a number"),
        (dict(projection=1), "true or false"),
        (dict(template=None), "a string"),
        (dict(seed=-1), "from 0 to"),
        (dict(top_k=(5, 2.5)), "top_k is 2.5; it needs an integer"),
        (dict(support=10.0), "support is 10.0; it needs an integer"),
        (dict(crops="new"), "crops is 'new'; it needs an integer from 0 to 999,999,999 or 'fresh'"),
        (dict(entropy_rank=0), "entropy_rank is 0; it must be positive"),
    ],
)
def test_errors(changes, message):
    with pytest.raises(ValueError, match=message):
        preset("sotglp", **changes)


def test_values_become_what_their_setting_is():
    config = preset("sotglp", lr=1, top_k=[5, 10], batch_size=np.int64(8))
    assert config == preset("sotglp", lr=1.0, top_k=(5, 10), batch_size=8)
    assert type(config.lr) is float and type(config.batch_size) is int
    assert (
        preset("sotglp", top_k=7).top_k == (7,) and preset("sotglp", support=None).support is None
    )
    assert [preset("sotglp", crops=crops).crops for crops in (0, 3, "fresh")] == [0, 3, "fresh"]


def test_unknown_preset():
    with pytest.raises(ValueError, match="did you mean 'gallop'"):
        preset("galop")


def test_seeding():
    seed_everything(3)
    first = torch.rand(2)
    seed_everything(3)
    assert (torch.rand(2) == first).all()
