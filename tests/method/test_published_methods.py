"""The presets of published methods against their formulas, written here anew in float64.

Forward pass, loss, gradients and twenty steps of SGD: padded prompts through open_clip's own text
tower, dense features from its blocks, POT's transport plans, momentum and weight decay by hand.
"""

import math
from functools import partial

import ot
import pytest
import torch
from torch.nn.functional import cross_entropy, normalize

from sotglp_core import SOTGLP, load_backbone, preset
from sotglp_core.method.losses import training_loss
from sotglp_core.transport.sinkhorn import sinkhorn

METHODS = ("reference", "gallop", "coop", "locoop", "plot")
NAMES = ("red finch", "duck", "black-crowned white-winged bird", "owl", "green parrot")
IMAGES, STEPS, LR = 3, 20, 0.05


@pytest.fixture(scope="module")
def backbone():
    return load_backbone("pocket", "random", precision="fp64")


@pytest.fixture(scope="module")
def images():
    generator = torch.Generator().manual_seed(3)
    return torch.randn(IMAGES, 3, 112, 112, generator=generator, dtype=torch.float64)


@torch.no_grad()
def inputs_of_blocks(visual, images):
    x = visual.conv1(images).flatten(2).mT
    start = visual.class_embedding.expand(len(x), 1, -1)
    x = visual.ln_pre(torch.cat([start, x], 1) + visual.positional_embedding)
    inputs = [x]
    for block in visual.transformer.resblocks:
        x = x + attend(block, x)
        x = x + block.mlp(block.ln_2(x))
        inputs.append(x)
    return inputs


def attend(block, x):
    normed = block.ln_1(x)
    return block.attn(normed, normed, normed, need_weights=False)[0]


def values(block, x):
    V = x.shape[-1]
    return block.ln_1(x) @ block.attn.in_proj_weight[2 * V :].T + block.attn.in_proj_bias[2 * V :]


def values_attend_to_values(block, x):
    heads = values(block, x).unflatten(-1, (block.attn.num_heads, -1)).transpose(1, 2)
    weights = (heads @ heads.mT / math.sqrt(heads.shape[-1])).softmax(-1)
    return block.attn.out_proj((weights @ heads).transpose(1, 2).flatten(2))


@torch.no_grad()
def dense_tokens(method, visual, images):
    blocks, inputs = visual.transformer.resblocks, inputs_of_blocks(visual, images)
    if method == "plot":
        tokens = inputs[-1]
    elif method == "reference":
        tokens = inputs[0] + attend(blocks[0], inputs[0])
        for block, x in zip(blocks, inputs):
            tokens = tokens + values_attend_to_values(block, x)
    else:
        block, x = blocks[-1], inputs[-2]
        tokens = x + block.attn.out_proj(values(block, x))
        tokens = tokens + block.mlp(block.ln_2(tokens))
    return visual.ln_post(tokens[:, 1:])


def encode_prompts(backbone, context, ending):
    """(1 or C, N, T, W) contexts as padded sequences: (C, N, D), not normalised."""
    text, (_, N, T, _) = backbone.text, context.shape
    tokens = backbone.tokenize([" ".join(["x"] * T + [name]) + ending for name in NAMES])
    words = backbone.embed(tokens)[:, None].expand(-1, N, -1, -1)
    context = context.expand(len(NAMES), -1, -1, -1)
    x = torch.cat([words[:, :, :1], context, words[:, :, 1 + T :]], 2).flatten(0, 1)
    L = tokens.shape[1]
    x = text.transformer(x + text.positional_embedding[:L], attn_mask=text.attn_mask[:L, :L])
    ends = tokens.argmax(-1).repeat_interleave(N)
    x = text.ln_final(x)[torch.arange(len(x)), ends] @ text.text_projection
    return x.unflatten(0, (len(NAMES), N))


def transport(similarity):
    """POT's plan of every image and class: similarity (B, C, K, N)."""
    B, C, K, N = similarity.shape
    plans = [
        ot.sinkhorn([1 / K] * K, [1 / N] * N, 1 - s.numpy(), 0.1, numItermax=10_000, stopThr=1e-13)
        for s in similarity.detach().flatten(0, 1)
    ]
    return torch.stack([torch.as_tensor(p) for p in plans]).view(B, C, K, N)


def published(method, backbone, z, tokens, parameters, mask):
    """Logits of the prediction, and the loss of a step, as the method's authors compute them.

    :param z: unit image features.
    :param tokens: dense ones, after ln_post.
    """
    scale = backbone.model.logit_scale.exp()
    ending = "" if method in ("reference", "gallop") else "."
    projection = parameters.get("projection", torch.eye(192).double())
    patches = normalize(tokens @ projection @ backbone.model.visual.proj, dim=-1)
    labels = torch.arange(IMAGES)
    text = {
        branch: normalize(
            encode_prompts(backbone, parameters[f"{branch}_prompts.context"], ending), dim=-1
        )
        for branch in ("global", "local")
        if f"{branch}_prompts.context" in parameters
    }
    if "global" in text:
        by_prompt = torch.einsum("bd,cmd->bmc", z, text["global"])
        g = by_prompt.mean(1) if mask is None else (by_prompt * mask[..., None]).sum(1)
    if method in ("coop", "locoop"):
        loss = cross_entropy(scale * g, labels)
        if method == "locoop":
            p = (scale * patches @ text["global"][:, 0].T).softmax(-1)
            entropies = []
            for b, y in enumerate(labels.tolist()):
                for patch in p[b]:
                    if y not in patch.topk(1).indices.tolist():  # 5 // 5 classes
                        entropies.append(-(patch * (patch + 1e-5).log()).sum())
            loss = loss - 0.25 * torch.stack(entropies).mean()
        return scale * g, loss
    similarity = torch.einsum("bpd,cnd->bcpn", patches, text["local"])
    if method == "plot":
        score = (transport(similarity) * similarity).sum((-1, -2))
        return scale * score, cross_entropy(scale * score, labels)
    if method == "reference":
        best = similarity.mean(-1).topk(10, -1).indices
        similarity = similarity.gather(2, best[..., None].expand(-1, -1, -1, 4))
        plan = transport(similarity)
        score = (plan * similarity).sum(2).mean(-1)
        local_loss = cross_entropy(scale * score, labels)
    else:
        scores = [
            similarity[..., n].topk(k, -1).values.mean(-1) for n, k in enumerate((5, 10, 15, 20))
        ]
        local_loss = torch.stack([cross_entropy(scale * s, labels) for s in scores]).mean()
        score = torch.stack(scores).mean(0)
    return scale * (g + score) / 2, cross_entropy(scale * g, labels) + local_loss


@pytest.mark.slow
@pytest.mark.parametrize("method", METHODS)
def test_twenty_steps(backbone, images, method):
    config = preset(method, lr=LR)
    exact = partial(sinkhorn, tolerance=1e-10)
    model, labels = SOTGLP(backbone, NAMES, config, solver=exact).train(), torch.arange(IMAGES)
    theirs = {k: x.detach().clone().requires_grad_() for k, x in model.named_parameters()}
    momentum = {name: torch.zeros_like(x) for name, x in theirs.items()}
    optimizer = torch.optim.SGD(
        model.parameters(), lr=LR, momentum=0.9, weight_decay=config.weight_decay
    )
    features = backbone.encode_image(images, dense=config.dense)
    z = normalize(backbone.model.encode_image(images), dim=-1)
    tokens = dense_tokens(method, backbone.model.visual, images)
    torch.manual_seed(5)
    for _ in range(STEPS):
        mask = model.sample_prompt_mask(IMAGES)
        seen = model(features, mask=mask)
        loss = training_loss(seen, labels, config)
        optimizer.zero_grad()
        loss.backward()
        logits, wanted = published(method, backbone, z, tokens, theirs, mask)
        torch.testing.assert_close(seen.logits, logits, atol=1e-5, rtol=1e-5)
        torch.testing.assert_close(loss, wanted, atol=1e-5, rtol=1e-5)
        gradients = dict(zip(theirs, torch.autograd.grad(wanted, list(theirs.values()))))
        for name, parameter in model.named_parameters():
            largest = float(gradients[name].abs().max())
            torch.testing.assert_close(
                parameter.grad, gradients[name], atol=1e-5 * largest, rtol=1e-5
            )
            decay = 0.01 if method in ("reference", "gallop") else 5e-4
            momentum[name] = 0.9 * momentum[name] + gradients[name] + decay * theirs[name].detach()
            theirs[name] = (theirs[name].detach() - LR * momentum[name]).requires_grad_()
        optimizer.step()
    for name, parameter in model.named_parameters():
        torch.testing.assert_close(parameter, theirs[name], atol=1e-5, rtol=1e-5)


def test_plot_on_imagenet_adds_the_pooled_global_cosine(backbone, images):
    model = SOTGLP(backbone, NAMES, preset("plot", pooled_global=True)).eval()
    text = encode_prompts(backbone, model.local_prompts.context, ".")
    z = normalize(backbone.model.encode_image(images), dim=-1)
    pooled = z @ normalize(text.mean(1), dim=-1).T
    similarity = torch.einsum(
        "bpd,cnd->bcpn",
        normalize(
            dense_tokens("plot", backbone.model.visual, images) @ backbone.model.visual.proj, dim=-1
        ),
        normalize(text, dim=-1),
    )
    score = (transport(similarity) * similarity).sum((-1, -2))
    scale = backbone.model.logit_scale.exp()
    torch.testing.assert_close(model(images).logits, scale * (score + pooled), atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize(
    "name, equal", [("reference", ["global"]), ("gallop", ["global", "local"])]
)
def test_which_contexts_start_equal(backbone, name, equal):
    model = SOTGLP(backbone, NAMES, preset(name))
    words = backbone.embed(backbone.tokenize(["a photo of a"])[0, 1:-1])
    for branch in ("global", "local"):
        context = getattr(model, f"{branch}_prompts").context
        assert bool((context == words).all()) == (branch in equal)
