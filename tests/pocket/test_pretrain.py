"""Pretraining: what it learns from, and that an interruption changes nothing."""

import pytest
import torch
import typer
from typer.testing import CliRunner

from sotglp_core import load_backbone
from sotglp_core.pocket import pretrain as module
from sotglp_core.pocket.captions import phrase
from sotglp_core.pocket.traits import GROUPS, PARTS, SPECIES, TRAITS, UNSEEN, Bird, is_reserved
from sotglp_core.storage import load_tensors

SETTINGS = dict(images=16, batch=4, lr=1e-3, keep=0.5, parts=1.0, seed=3, workers=0, device="cpu")


@pytest.mark.slow
def test_interrupted_and_resumed_equals_uninterrupted(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "SAVE_EVERY", 2)
    whole, _ = load_tensors(module.pretrain(tmp_path / "whole", **SETTINGS))
    draw = module.Stream.__getitem__

    def interrupted(self, i):
        if i >= 10:
            raise KeyboardInterrupt
        return draw(self, i)

    monkeypatch.setattr(module.Stream, "__getitem__", interrupted)
    with pytest.raises(KeyboardInterrupt):
        module.pretrain(tmp_path / "parts", **SETTINGS)
    monkeypatch.setattr(module.Stream, "__getitem__", draw)
    resumed, record = load_tensors(module.pretrain(tmp_path / "parts", **SETTINGS))
    assert record["images"] == 16 and set(whole) == set(resumed)
    assert all(torch.equal(whole[key], resumed[key]) for key in whole)


def test_exported_weights_load_as_any_other(tmp_path):
    command = typer.Typer()
    command.command()(module.pretrain)
    options = ["--images=4", "--batch=4", "--keep=0.5", "--workers=0", "--device=cpu"]
    result = CliRunner().invoke(command, [str(tmp_path), *options])
    assert result.exit_code == 0, result.output
    path = tmp_path / "weights.safetensors"
    backbone = load_backbone("pocket", str(path))
    assert path.stat().st_size < 16 * 2**20
    assert backbone.encode_text(["a photo of a finch."]).isfinite().all()


@pytest.mark.slow
def test_pictures_and_captions_never_show_a_test_species():
    stream, birds = module.Stream(0), 0
    for i in range(300):
        _, caption, traits, grid, scenery = stream[i]
        assert grid.shape == scenery.shape == (196,) and not (grid * (scenery >= 0)).any()
        assert not any(name in caption for name in (*SPECIES, *UNSEEN))
        if (traits >= 0).all():
            birds += 1
            assert not is_reserved(
                Bird(**{group: values[t] for (group, values), t in zip(TRAITS.items(), traits)})
            )
    assert birds > 150


def test_patch_dropout_shows_what_it_is_told():
    dropout, x = module.PatchDropout(), torch.arange(2 * 11.0).reshape(2, 11, 1)
    assert dropout(x) is x
    dropout.visible = torch.tensor([[3, 0], [9, 5]])
    assert dropout(x)[..., 0].tolist() == [[0, 4, 1], [11, 21, 17]]


def test_an_animals_patches_are_chosen_first():
    grid = torch.zeros(50, 196, dtype=torch.long)
    grid[:, 60:90] = 3
    plain, favoured = (
        (module.choose(grid, 0.25, favour) // 30 == 2).float().mean() for favour in (False, True)
    )
    assert module.choose(grid, 0.25, True).shape == (50, 49) and favoured > 2 * plain > 0
    assert all(len(set(row)) == 49 for row in module.choose(grid, 0.25, True).tolist())


def test_traits_are_told_group_by_group():
    traits = torch.tensor([[0] * len(TRAITS), [-1] * len(TRAITS)])
    logits = torch.cat([torch.eye(len(values))[:1] * 50 for values in TRAITS.values()], 1).expand(
        2, -1
    )
    loss, right = module.tell(logits, traits)
    assert loss < 1e-6 and right == 1
    loss, right = module.tell(-logits, traits)
    assert loss > 10 and right == 0


def test_every_patch_is_told_by_its_own_words():
    grid = torch.zeros(2, len(PARTS), dtype=torch.long)  # a bird, and a scene
    grid[0] = torch.arange(len(PARTS))
    scenery = torch.full_like(grid, -1)
    scenery[0, 0], scenery[1, :-1] = 4, 9
    traits = torch.tensor([[0] * len(TRAITS), [-1] * len(TRAITS)])
    words = torch.zeros(*grid.shape, len(module.PHRASES) + len(module.SCENERY_PHRASES))
    texts = torch.zeros(*grid.shape, 2)
    known = scenery >= 0
    words[known, len(module.PHRASES) + scenery[known]] = 60
    for group, values in TRAITS.items():
        for part in range(len(PARTS)):
            if GROUPS[group]["part"] == PARTS[part]:
                words[0, part, module.PHRASES.index(phrase(group, values[0]))] = 60
    texts[0, 1:, 0] = 60

    shown = torch.where(module.SHOWS[grid], traits[:, None], -1)

    def told(words, texts):
        return module.read_words(words, texts, traits=traits, shown=shown, scenery=scenery)

    loss, right = told(words, texts)
    assert right == 1 and loss < 1e-6
    as_bird, as_scene = texts.clone(), texts.clone()
    as_bird[1, 0, 0], as_scene[1, 0, 1] = 90, 90  # scenery like the bird's caption, or its own
    assert told(words, as_bird)[0] > 1 and torch.equal(told(words, as_scene)[0], loss)
    wrong, crown = words.clone(), PARTS.index("crown")
    wrong[0, crown, module.PHRASES.index("a bird with an orange crown")] = 90
    assert told(wrong, texts)[0] > 1
    unknown = words.clone()
    unknown[1, -1] = torch.arange(words.shape[-1])
    assert torch.equal(told(unknown, texts)[0], loss)
