"""Base-to-new: contexts learned for some classes, applied to others."""

import pytest
import torch

from sotglp_core import SOTGLP, outputs, recipe
from sotglp_core.method.fixed import text_free, with_classes

OTHERS = ("emu", "black swan", "red finch")


def moved(model):
    """The model with contexts and a projection that are no longer those of the start."""
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter += 0.02 * torch.randn(parameter.shape, generator=generator)
    return model.eval()


@pytest.mark.parametrize("method", ["coop", "plot", "gallop"])
def test_shared_contexts_go_with_every_name(tiny, names, features, method):
    """A class has the same scores beside whichever classes it stands."""
    model = moved(SOTGLP(tiny, names, recipe(method)))
    other = with_classes(model, OTHERS)
    assert other.class_names == OTHERS and not other.training
    ours, theirs = (outputs(x, features, progress=False).logits for x in (other, model))
    torch.testing.assert_close(ours[:, 2], theirs[:, names.index("red finch")])


@pytest.mark.parametrize("method", ["sotglp", "sotglp-proj"])
def test_class_specific_contexts_go_with_their_own_classes(tiny, names, features, method):
    model = moved(SOTGLP(tiny, names, recipe(method)))
    some = with_classes(model, names[3:0:-1])
    ours, theirs = (outputs(x, features, progress=False).logits for x in (some, model))
    torch.testing.assert_close(ours, theirs[:, [3, 2, 1]])
    with pytest.raises(ValueError, match="no contexts for 'emu': .* class-specific, .*'coop'"):
        with_classes(model, OTHERS)


def test_fixed_text_features_are_of_no_other_classes(tiny, names):
    with pytest.raises(ValueError, match="holds no prompts; take the one that it was made from"):
        with_classes(text_free(SOTGLP(tiny, names, recipe("coop"))), OTHERS)
