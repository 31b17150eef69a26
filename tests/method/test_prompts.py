from itertools import product

import pytest
import torch
from torch.nn.functional import normalize

from sotglp_core.method.prompts import PromptLearner, initial_context


def learner(backbone, names, **changes):
    settings = dict(
        number=3,
        length=4,
        class_specific=False,
        template="a photo of a {}.",
        init="template",
        generator=torch.Generator().manual_seed(0),
    )
    return PromptLearner(backbone, names, **{**settings, **changes})


@torch.no_grad()
def test_first_prompt_is_the_template(tiny, names):
    features = normalize(learner(tiny, names, init="perturbed")(tiny), dim=-1)
    assert features.shape == (5, 3, 128)
    plain = normalize(tiny.encode_text([f"a photo of a {n}." for n in names]), dim=-1)
    torch.testing.assert_close(features[:, 0], plain, atol=1e-5, rtol=0)
    assert (features[:, 1] - features[:, 0]).abs().max() > 1e-4
    equal = normalize(learner(tiny, names, init="template")(tiny), dim=-1)
    torch.testing.assert_close(equal, plain[:, None].expand(-1, 3, -1), atol=1e-5, rtol=0)


@torch.no_grad()
def test_class_specific_prompts_differ_only_in_their_own_class(tiny, names):
    specific = learner(tiny, names, class_specific=True)
    assert specific.context.shape == (5, 3, 4, 128)
    before = specific(tiny)
    specific.context[2] += torch.randn_like(specific.context[2])
    moved = (specific(tiny) - before).abs().amax((1, 2)) > 1e-6
    assert moved.tolist() == [False, False, True, False, False]


def test_shared_context_moves_every_class(tiny, names):
    shared = learner(tiny, names)
    shared(tiny).sum().backward()
    assert shared.context.shape == (1, 3, 4, 128) and shared.context.grad.abs().sum() > 0


@pytest.mark.parametrize("length", [0, 2, 7, 16])
def test_any_length_of_random_context(tiny, names, length):
    assert learner(tiny, names, length=length, init="normal")(tiny).shape == (5, 3, 128)


@torch.no_grad()
@pytest.mark.parametrize(
    "template, length", [("{}", 0), ("an origami {}.", 2), ("a bad photo of the {}", 5)]
)
def test_a_context_that_begins_as_the_template_is_as_long(tiny, names, template, length):
    plain = normalize(tiny.encode_text([template.format(n) for n in names]), dim=-1)
    torch.testing.assert_close(
        normalize(learner(tiny, names, template=template, length=7)(tiny)[:, 0], dim=-1),
        plain,
        atol=1e-5,
        rtol=0,
    )
    assert learner(tiny, names, template=template, length=7).context.shape[2] == length


@pytest.mark.parametrize(
    "init, C, std",
    [
        ("normal", 2, 0.02),
        ("normal", 53, 0.02),
        ("xavier", 2, (2 / ((2 + 3) * 5 * 64)) ** 0.5),
        ("xavier", 53, (2 / ((53 + 3) * 5 * 64)) ** 0.5),
    ],
)
def test_spread_of_random_contexts(init, C, std):
    generator = torch.Generator().manual_seed(0)
    words = torch.ones(5, 64)
    context = initial_context(init, (C, 3, 5, 64), words=words, deviation=7.0, generator=generator)
    torch.testing.assert_close(context.std(), torch.tensor(std), rtol=0.05, atol=0)
    assert context.mean().abs() < 0.1 * std
    assert (init == "xavier") == bool(context.abs().max() <= 3**0.5 * std)


def test_perturbed_contexts():
    """The first prompt is the template; the others have noise of half the words' deviation."""
    generator, words = torch.Generator().manual_seed(0), torch.randn(5, 64)
    context = initial_context(
        "perturbed", (53, 3, 5, 64), words=words, deviation=0.4, generator=generator
    )
    assert (context[:, 0] == words).all()
    noise = context[:, 1:] - words
    torch.testing.assert_close(noise.std(), torch.tensor(0.2), rtol=0.05, atol=0)


def test_too_long_a_name_is_named(tiny):
    with pytest.raises(ValueError, match="long long"):
        learner(tiny, ("cat", "long " * 74))


def padded(backbone, names, context):
    """Every prompt as 77 tokens through open_clip's own tower, read at its end token."""
    text, T = backbone.text, context.shape[2]
    tokens = backbone.tokenizer([" ".join(["x"] * T + [name]) + "." for name in names])
    words = backbone.embed(tokens)[:, None].expand(-1, context.shape[1], -1, -1)  # (C, N, 77, W)
    sequences = torch.cat(
        [words[:, :, :1], context.expand(len(names), -1, -1, -1), words[:, :, 1 + T :]], 2
    )
    assert sequences.shape[2] == 77
    x = text.transformer(
        sequences.flatten(0, 1) + text.positional_embedding, attn_mask=text.attn_mask
    )
    x = (
        text.ln_final(
            x[torch.arange(len(x)), tokens.argmax(-1).repeat_interleave(context.shape[1])]
        )
        @ text.text_projection
    )
    return x.unflatten(0, (len(names), -1))


@pytest.mark.parametrize(
    "name, class_specific, chunk",
    [
        *product(["pocket"], [False, True], [None, 1, 7]),
        pytest.param("ViT-B-16", True, None, marks=pytest.mark.slow),
        pytest.param("ViT-B-16", False, 7, marks=pytest.mark.slow),
    ],
)
def test_equals_the_padded_path_in_values_and_gradients(name, class_specific, chunk, names):
    from sotglp_core import load_backbone

    backbone = load_backbone(name, "random")
    one = learner(backbone, names, class_specific=class_specific)
    weight = torch.randn(5, 3, backbone.joint_width, generator=torch.Generator().manual_seed(2))
    results = []
    for encode in (
        lambda: one(backbone, chunk=chunk),
        lambda: padded(backbone, names, one.context),
    ):
        features = encode()
        results.append(
            (features.detach(), *torch.autograd.grad((features * weight).sum(), one.context))
        )
    torch.testing.assert_close(results[0][0], results[1][0], atol=1e-5, rtol=0)
    torch.testing.assert_close(
        results[0][1], results[1][1], atol=1e-5 * float(results[1][1].abs().max()), rtol=1e-5
    )


def test_chunks_hold_no_graph(tiny):
    """What is held for the backward pass: in chunks, little more than their input."""
    one = learner(tiny, tuple(f"bird number {i}" for i in range(53)), class_specific=True)

    def kept(chunk):
        seen = []
        with torch.autograd.graph.saved_tensors_hooks(
            lambda x: seen.append(x.numel()) or x, lambda x: x
        ):
            one(tiny, chunk=chunk)
        return sum(seen)

    assert kept(6) < kept(None) / 25
