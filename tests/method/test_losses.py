import math

import torch
from torch.nn.functional import cross_entropy

from sotglp_core import SOTGLP, preset
from sotglp_core.method.losses import irrelevant_patch_entropy, prompt_loss, training_loss


def test_sum_of_the_branches():
    g, u, y = torch.randn(3, 5), torch.randn(3, 5), torch.tensor([0, 4, 2])
    torch.testing.assert_close(
        prompt_loss(g, u, y, local_weight=0.3), cross_entropy(g, y) + 0.3 * cross_entropy(u, y)
    )
    torch.testing.assert_close(prompt_loss(g, None, y), cross_entropy(g, y))
    torch.testing.assert_close(prompt_loss(None, u, y, local_weight=0.3), 0.3 * cross_entropy(u, y))


def test_the_settings_choose_the_terms(tiny, names, features):
    batch, labels = features.batch(slice(0, 3)), features.labels[:3]
    for changes in ({"local_weight": 0.3}, {"entropy_weight": 0.25, "entropy_rank": 2}):
        model = SOTGLP(tiny, names, preset("sotglp", **changes)).eval()
        seen, config = model(batch), model.config
        wanted = cross_entropy(seen.global_logits, labels)
        wanted = wanted + config.local_weight * cross_entropy(seen.local_logits, labels)
        patch_logits = tiny.logit_scale * seen.patch_similarity.mT
        entropy = irrelevant_patch_entropy(patch_logits, labels, rank=config.entropy_rank or 1)
        found = training_loss(seen, labels, config)
        torch.testing.assert_close(found, wanted + config.entropy_weight * entropy)


def test_only_irrelevant_patches_are_pushed():
    """Of 5 classes, rank 2 leaves out patches whose true class is among the first two."""
    logits = torch.tensor(
        [[[5.0, 4, 3, 2, 1], [1.0, 2, 3, 4, 5], [0, 0, 0, 0, 0]]], requires_grad=True
    )
    loss = irrelevant_patch_entropy(logits, torch.tensor([1]), rank=2)
    p = torch.softmax(torch.tensor([1.0, 2, 3, 4, 5]), 0)
    torch.testing.assert_close(loss, (p * (p + 1e-5).log()).sum())
    loss.backward()
    assert (logits.grad[0, [0, 2]] == 0).all() and (logits.grad[0, 1] != 0).any()


def test_lowest_for_undecided_patches():
    even = irrelevant_patch_entropy(
        torch.tensor([[[1.0, 1, 1 + 1e-6, 1, 1]]]), torch.tensor([0]), rank=1
    )
    torch.testing.assert_close(even, torch.tensor(-math.log(5)), atol=1e-4, rtol=0)


def test_no_irrelevant_patch_is_no_loss():
    assert irrelevant_patch_entropy(torch.tensor([[[2.0, 1, 0]]]), torch.tensor([0]), rank=1) == 0
