"""Train a small CLIP on the embedded world: ``python -m sotglp_core.pocket.pretrain --help``.

Loss: CLIP's contrastive loss between images and captions, and five that help a small model along.
- image: for each trait group, softmax over the group's phrases ("a bird with a red crown", "a bird
  with a blue crown", ...) of the image's cosine with them;
- patch: the same with the mean cosine of the best patches of the V-V stream;
- words: by the masks, each patch of the V-V stream says what it shows. A patch of scenery (sky,
  branch, leaves, ...) is nearer to its words than to any other and to any bird's caption; a patch
  of the bird is nearer to the image's caption, and to the traits that it shows, than to scenery;
- traits: a linear head, thrown away afterwards, tells every trait from the image feature. Without
  it image and text wait for each other: a phrase can't learn a trait that no image feature shows,
  and the other way round;
- parts: two linear heads, thrown away too, tell from each patch token of the ordinary stream its
  part and that part's traits (of a wing its colour and pattern), by the masks.

In most steps an image shows a quarter of its patches, birds before backgrounds; every eighth shows
half, and the last show all. With ``--parts 0`` no mask is used, neither for a loss nor for the
choice of patches.
"""

import json
import math
import os
import time
from pathlib import Path
from typing import Annotated

import numpy as np
import torch
import typer
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.nn.functional import cross_entropy, normalize
from torch.utils.data import DataLoader, Dataset

from ..clip.backbone import contrastive_loss, load_backbone
from ..clip.dense import recorded
from ..messages import progress_bar
from ..storage import atomic_path, save_tensors
from .captions import caption, phrase
from .scenery import SCENERY_WORDS
from .traits import GROUPS, PARTS, TRAITS
from .world import SHIFTS, UNKNOWN, draw, part_grid, scenery_grid

KINDS = {"bird": 0.7, "creature": 0.08, "object": 0.08, "scene": 0.08, "texture": 0.06}
SHIFTED = 0.1  # fraction of pictures drawn as a sketch, at night, blurred or in an unusual place
BEST_PATCHES = 8
SHOWS = torch.tensor([[look["part"] == part for look in GROUPS.values()] for part in PARTS])
HALF_EVERY, WHOLE = 8, 0.02  # steps that see half of each image, and the last, that see it all
GROUP_SIZES = [len(values) for values in TRAITS.values()]
PHRASES = [phrase(group, value) for group, values in TRAITS.items() for value in values]
SCENERY_PHRASES = [words for group in SCENERY_WORDS.values() for words in group.values()]
PART_WEIGHTS = torch.tensor([0.2, *[1.0] * (len(PARTS) - 1)])  # the background counts less
WARMUP, WEIGHT_DECAY, SAVE_EVERY = 100, 0.05, 250  # steps, and Muon's and AdamW's decay
CPU = max(1, (os.cpu_count() or 2) // 2)


class Stream(Dataset):
    """An endless stream of pictures; picture i depends on (seed, i) alone."""

    def __init__(self, seed: int):
        self.seed = seed

    def __getitem__(self, i: int) -> tuple[np.ndarray, str, np.ndarray, np.ndarray, np.ndarray]:
        """Image (112, 112, 3), caption, traits (groups,), and parts and scenery of patches (196,).

        Traits and scenery are -1 where unknown, scenery also where a patch shows a part.
        """
        rng = np.random.default_rng([self.seed, i])
        kind = str(rng.choice(list(KINDS), p=list(KINDS.values())))
        shift = str(rng.choice(SHIFTS)) if rng.random() < SHIFTED else None
        picture = draw(kind, rng, shift=shift)
        traits = np.full(len(TRAITS), -1)
        if kind == "bird":
            traits[:] = [values.index(picture.words[group]) for group, values in TRAITS.items()]
        parts = part_grid(picture.parts).ravel().astype(np.int64)
        scenery = scenery_grid(picture).ravel().astype(np.int64)
        scenery[scenery == UNKNOWN] = -1
        return np.array(picture.image), caption(picture, rng), traits, parts, scenery


class PatchDropout(nn.Module):
    """Shows the class token and the patches ``visible`` (B, L); None: all of them."""

    visible: Tensor | None = None

    def forward(self, x: Tensor) -> Tensor:
        if self.visible is None:
            return x
        index = 1 + self.visible[..., None].expand(-1, -1, x.shape[-1])
        return torch.cat([x[:, :1], x.gather(1, index)], 1)


def choose(parts: Tensor, keep: float, favour: bool) -> Tensor:
    """(B, round(keep P)) random patches, an animal's parts first if ``favour``; parts is (B, P)."""
    order = torch.rand(parts.shape) + 0.5 * (parts > 0) * favour
    return order.topk(round(keep * parts.shape[1]), dim=1).indices


def tell(logits: Tensor, traits: Tensor) -> tuple[Tensor, Tensor]:
    """Mean over the trait groups of the cross-entropy, and the fraction named right.

    :param logits: (..., sum of group sizes).
    :param traits: (..., groups), -1 unknown.
    """
    groups = logits.flatten(0, -2).float().split(GROUP_SIZES, -1)
    told = list(zip(groups, traits.flatten(0, -2).unbind(-1)))
    losses = [cross_entropy(group, true, ignore_index=-1) for group, true in told]
    right = sum((group.detach().argmax(-1) == true).sum() for group, true in told)
    return torch.stack(losses).mean(), right / (traits >= 0).sum()


def read_words(
    words: Tensor, texts: Tensor, *, traits: Tensor, shown: Tensor, scenery: Tensor
) -> tuple[Tensor, Tensor]:
    """Cross-entropy of what each patch shows, in words; fraction of the scenery named right.

    A patch of scenery is told from all other words and from the birds' captions; a patch of a bird
    from all scenery, by the image's caption and by every trait that it shows.

    :param words: (B, L, W) logits of PHRASES, then SCENERY_PHRASES.
    :param texts: (B, L, B) logits of the captions.
    :param traits: (B, groups), -1 unknown.
    :param shown: (B, L, groups) the traits that each patch shows, -1 none.
    :param scenery: (B, L) index into SCENERY_PHRASES, -1 unknown or a part.
    """
    words, texts = words.float(), texts.float()
    phrases, places = words.split([len(PHRASES), len(SCENERY_PHRASES)], -1)
    behind = torch.where(scenery >= 0, scenery + len(PHRASES), -1)
    own = texts.diagonal(dim1=0, dim2=2).mT[..., None]

    def told(logits: Tensor, true: Tensor, others: Tensor = places) -> Tensor:
        return cross_entropy(torch.cat([logits, others], -1).mT, true, ignore_index=-1)

    scenery_loss = told(words, behind, texts.masked_fill(traits[:, 0] < 0, -torch.inf))
    caption_loss = told(own, torch.where((shown >= 0).any(-1), 0, -1))
    groups = zip(phrases.split(GROUP_SIZES, -1), shown.unbind(-1))
    trait_loss = torch.stack([told(logits, true) for logits, true in groups]).mean()
    right = (words.detach().argmax(-1) == behind).sum() / (behind >= 0).sum()
    return scenery_loss + caption_loss + trait_loss, right


class Pretraining:
    """Model, heads and optimizers, and a step of training."""

    def __init__(self, lr: float, seed: int, device: str):
        torch.manual_seed(seed)
        self.lr, self.seed, self.device = lr, seed, device
        self.backbone = load_backbone("pocket", "random")
        self.model = self.backbone.model.requires_grad_(True).train()
        self.model.visual.patch_dropout = self.dropout = PatchDropout()
        with torch.no_grad():
            self.model.logit_scale.fill_(math.log(1 / 0.07))
        width = self.backbone.patch_width
        self.heads = nn.ModuleDict(  # linear readings of patch tokens and of the image feature
            {
                "norm": nn.LayerNorm(width),
                "part": nn.Linear(width, len(PARTS)),
                "shown": nn.Linear(width, len(PHRASES)),
                "traits": nn.Linear(self.backbone.joint_width, len(PHRASES)),
            }
        )
        self.learned = nn.ModuleDict({"model": self.model, "heads": self.heads})
        self.backbone.to(device)
        self.learned.to(device)
        self.optimizers = self._optimizers()
        self.phrases = self.backbone.tokenize(PHRASES + SCENERY_PHRASES)
        self.used = torch.zeros(self.model.vocab_size, dtype=torch.bool)  # words met so far
        self.used[self.phrases.cpu().unique()] = True
        # on CPUs the backward pass of the fused attention takes twice as long as the plain one
        fused = [SDPBackend.FLASH_ATTENTION, SDPBackend.EFFICIENT_ATTENTION]
        self.attention = [*(fused if device != "cpu" else []), SDPBackend.MATH]

    def _optimizers(self) -> list[torch.optim.Optimizer]:
        """Muon for the transformers' matrices, AdamW for the rest."""
        rest = dict(self.learned.named_parameters())
        matrices = [name for name, p in rest.items() if p.ndim == 2 and "resblocks" in name]
        hidden = [rest.pop(name) for name in matrices]
        groups = [
            {"params": [p for p in rest.values() if p.ndim >= 2], "weight_decay": WEIGHT_DECAY},
            {"params": [p for p in rest.values() if p.ndim < 2], "weight_decay": 0.0},
        ]
        muon = torch.optim.Muon(
            hidden, lr=self.lr, weight_decay=WEIGHT_DECAY, adjust_lr_fn="match_rms_adamw"
        )
        return [muon, torch.optim.AdamW(groups, betas=(0.9, 0.98))]

    def save(self, path: Path, step: int) -> None:
        """All that the next step needs."""
        state = {
            "learned": self.learned.state_dict(),
            "optimizers": [optimizer.state_dict() for optimizer in self.optimizers],
            "used": self.used,
            "step": step,
        }
        with atomic_path(path) as temporary:
            torch.save(state, temporary)

    def load(self, path: Path) -> int:
        """What :meth:`save` wrote; the number of steps done."""
        state = torch.load(path, map_location=self.device, weights_only=True)
        self.learned.load_state_dict(state["learned"])
        for optimizer, saved in zip(self.optimizers, state["optimizers"]):
            optimizer.load_state_dict(saved)
        self.used = state["used"].cpu()
        return state["step"]

    def losses(
        self, images: Tensor, captions: Tensor, *, traits: Tensor, parts: Tensor, scenery: Tensor
    ) -> dict[str, Tensor]:
        """The losses of a batch, and the fractions named right.

        :param images: (B, 3, H, W).
        :param captions: (B, L) token ids.
        :param traits: (B, groups), -1 unknown.
        :param parts: (B, L) part of each visible patch.
        :param scenery: (B, L) of each visible patch, -1 unknown or a part.
        """
        backbone, heads = self.backbone, self.heads
        with recorded(self.model.visual.transformer) as steps:
            seen = backbone.encode_image(images)
        image = normalize(seen.image, dim=-1)
        patches = normalize(backbone.project(seen.patches), dim=-1)
        text, words = (
            normalize(backbone.encode_sequences(backbone.embed(t), t.argmax(-1)), dim=-1)
            for t in (captions, self.phrases)
        )
        scale = self.model.logit_scale.exp().clamp_max(100)
        similarity = scale * patches @ words.T
        named = {
            "image": scale * image @ words[: len(PHRASES)].T,
            "patch": similarity[..., : len(PHRASES)].topk(BEST_PATCHES, dim=1).values.mean(1),
            "traits": heads["traits"](seen.image),
        }
        out = {"contrastive": contrastive_loss(image, text, scale)}
        for name, logits in named.items():
            out[name], out[f"{name}_right"] = tell(logits, traits)
        shown = torch.where(SHOWS.to(parts.device)[parts], traits[:, None], -1)
        out["words"], out["scenery_right"] = read_words(
            similarity, scale * patches @ text.T, traits=traits, shown=shown, scenery=scenery
        )
        tokens = heads["norm"](steps[-1].after[:, 1:])
        told, right = tell(heads["shown"](tokens), shown)
        part_logits = heads["part"](tokens).float().mT
        part_loss = cross_entropy(part_logits, parts, PART_WEIGHTS.to(parts.device))
        return {**out, "parts": part_loss + told, "parts_right": right}

    def step(
        self, step: int, steps: int, batch: list, *, keep: float, parts: float
    ) -> dict[str, Tensor]:
        """One step, of so many; its losses, of which ``parts`` weighs those that need masks."""
        torch.manual_seed(self.seed + step)
        pictures, captions, traits, grid, scenery = batch
        self.dropout.visible = None
        if step < (1 - WHOLE) * steps:
            half = step % HALF_EVERY == 0
            visible = choose(grid, 0.5 if half else keep, favour=parts > 0 and not half)
            grid, scenery = grid.gather(1, visible), scenery.gather(1, visible)
            self.dropout.visible = visible.to(self.device)
        pixels = pictures.permute(0, 3, 1, 2).float().to(self.device) / 255
        pixels = self.backbone.preprocess.transforms[-1](pixels)
        tokens = self.backbone.tokenize(captions)
        self.used[tokens.cpu().unique()] = True
        true = {"traits": traits, "parts": grid, "scenery": scenery}
        true = {name: values.to(self.device) for name, values in true.items()}
        precision = torch.autocast(torch.device(self.device).type, torch.bfloat16)
        with sdpa_kernel(self.attention), precision:
            loss = self.losses(pixels, tokens, **true)
        whole = loss["contrastive"] + loss["image"] + loss["patch"] + loss["traits"]
        (whole + parts * (loss["parts"] + loss["words"])).backward()
        torch.nn.utils.clip_grad_norm_(self.learned.parameters(), 1.0)
        rate = min((step + 1) / WARMUP, 0.5 + 0.5 * math.cos(math.pi * step / steps))
        for optimizer in self.optimizers:
            for group in optimizer.param_groups:
                group["lr"] = self.lr * rate
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)
        return loss

    def export(self, path: Path, record: dict) -> None:
        """Write the weights in fp16, with only the word embeddings that training met."""
        rows = self.used.nonzero()[:, 0].int()
        tensors = {name: tensor.half() for name, tensor in self.model.state_dict().items()}
        tensors["token_embedding.weight"] = tensors["token_embedding.weight"][rows.long()]
        save_tensors(path, {**tensors, "token_rows": rows}, record)


def pretrain(
    folder: Annotated[Path, typer.Argument(help="For weights.safetensors, log.jsonl, state.pt.")],
    images: int = 128_000,
    batch: int = 64,
    lr: float = 2e-3,
    keep: Annotated[float, typer.Option(help="Fraction of patches that an image shows.")] = 0.25,
    parts: Annotated[float, typer.Option(help="Weight of the two losses that use masks.")] = 1.0,
    seed: int = 0,
    workers: Annotated[int, typer.Option(help="Processes that draw.")] = CPU,
    device: str = "cuda" if torch.cuda.is_available() else "cpu",
) -> Path:
    """Train a small CLIP on the embedded world; run it again to resume where it was stopped."""
    training, steps = Pretraining(lr, seed, device), images // batch
    folder.mkdir(parents=True, exist_ok=True)
    state, weights, started = folder / "state.pt", folder / "weights.safetensors", time.time()
    first = training.load(state) if state.exists() else 0
    pictures = range(first * batch, steps * batch)
    loader = DataLoader(Stream(seed), batch, sampler=pictures, num_workers=workers)
    torch.backends.cuda.allow_fp16_bf16_reduction_math_sdp(True)
    bar = progress_bar(loader, total=steps, initial=first, unit="step")
    with open(folder / "log.jsonl", "a") as log, bar:
        for step, rows in enumerate(bar, first):
            loss = training.step(step, steps, rows, keep=keep, parts=parts)
            if step % 20 == 0:
                row = {
                    "step": step,
                    "images": (step + 1) * batch,
                    "seconds": round(time.time() - started, 1),
                    **{name: round(value.item(), 4) for name, value in loss.items()},
                }
                log.write(json.dumps(row) + "\n")
                log.flush()
                bar.set_postfix({name: f"{value.item():.2f}" for name, value in loss.items()})
            if (step + 1) % SAVE_EVERY == 0 or step + 1 == steps:
                training.save(state, step + 1)
    record = {"images": steps * batch, "batch": batch, "lr": lr}
    training.export(weights, {**record, "keep": keep, "parts": parts, "seed": seed})
    return weights


if __name__ == "__main__":
    typer.run(pretrain)
