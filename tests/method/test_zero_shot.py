"""CLIP with nothing learned, from several templates."""

import pytest
import torch
from torch.nn.functional import normalize

from sotglp_core import SOTGLP, load, outputs, recipe, save, zero_shot

TEMPLATES = ("a photo of a {}.", "{}", "a drawing of the {} in a book.")


def test_the_mean_of_templates_is_open_clips(tiny, names, features, tmp_path):
    """As CLIP's notebooks compute it, on plain open_clip."""
    model = zero_shot(tiny, names, TEMPLATES)
    columns = []
    for name in names:
        tokens = tiny.tokenizer([template.format(name) for template in TEMPLATES])
        with torch.no_grad():
            text = tiny.model.encode_text(tokens, normalize=True).mean(0)
        columns.append(text / text.norm())
    wanted = tiny.logit_scale * normalize(features.image, dim=-1) @ torch.stack(columns).T
    torch.testing.assert_close(outputs(model, features).logits, wanted, atol=1e-4, rtol=1e-4)
    save(model, tmp_path / "zero.safetensors")
    again = outputs(load(tmp_path / "zero.safetensors", tiny), features).logits
    assert torch.equal(again, outputs(model, features).logits)


def test_one_template_is_the_preset(tiny, names, features):
    config = recipe("zeroshot", template="a photo of a {}.")
    plain = outputs(SOTGLP(tiny, names, config).eval(), features).logits
    torch.testing.assert_close(outputs(zero_shot(tiny, names), features).logits, plain)


@pytest.mark.parametrize("templates, said", [((), "no template"), (("a", "b {}"), "needs one {}")])
def test_wrong_templates(tiny, names, templates, said):
    with pytest.raises(ValueError, match=said):
        zero_shot(tiny, names, templates)
