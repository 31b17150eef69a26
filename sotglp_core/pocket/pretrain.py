"""Pretrain the embedded CLIP on the pocket world: ``python -m sotglp_core.pocket.pretrain --help``.

Loss: CLIP's contrastive loss between images and captions, and four that help a small model along.
- image: for each trait group, softmax over the group's phrases ("a bird with a red crown", "a bird with a blue crown",
  ...) of the image's cosine with them;
- patch: the same with the mean cosine of the best patches of the V-V stream in place of the image's;
- traits: a linear head, thrown away afterwards, tells every trait from the image feature. Without it image and text wait
  for each other: a phrase can't learn a trait that no image feature shows, and the other way round;
- parts: two linear heads, thrown away too, tell from each patch token of the ordinary stream its part and that part's
  traits (of a wing its colour and pattern), by the masks.

In most steps an image keeps a share of its patches, animals before backgrounds; the last steps see them all. With
``--parts 0`` no mask is used, neither for a loss nor for the choice of patches.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.nn.functional import cross_entropy, normalize
from torch.utils.data import DataLoader, Dataset
from tqdm import tqdm

from ..clip.backbone import Backbone, contrastive_loss, load_backbone
from ..storage import load_tensors, save_tensors
from .captions import caption, phrase
from .traits import PARTS, TRAITS
from .world import SHIFTS, draw, part_grid

KINDS = {"bird": 0.7, "creature": 0.08, "object": 0.08, "scene": 0.08, "texture": 0.06}
SHIFTED = 0.1  # share of pictures drawn as a sketch, at night, blurred or in an unusual place
BEST_PATCHES = 8
SHOWN = {
    "body": ("family", "back"),
    "crown": ("crown", "crest"),
    "eye": ("eye",),
    "beak": ("beak",),
    "wing": ("wing", "pattern"),
    "belly": ("belly",),
    "tail": ("tail", "shape"),
    "legs": ("legs",),
}  # the traits that a patch of a part shows
SHOWS = torch.tensor([[group in SHOWN.get(part, ()) for group in TRAITS] for part in PARTS])
WHOLE = 0.02  # share of the steps, the last, that see whole images
PHRASES = sum(map(len, TRAITS.values()))
SAVE_EVERY = 250


class Stream(Dataset):
    """Pictures start, start + 1, ... of the endless pretraining stream; picture i depends on (seed, i) alone."""

    def __init__(self, seed: int, start: int, stop: int):
        self.seed, self.start, self.stop = seed, start, stop

    def __len__(self) -> int:
        return self.stop - self.start

    def __getitem__(self, i: int) -> tuple[np.ndarray, str, np.ndarray, np.ndarray]:
        rng = np.random.default_rng([self.seed, self.start + i])
        kind = str(rng.choice(list(KINDS), p=list(KINDS.values())))
        shift = str(rng.choice(SHIFTS)) if rng.random() < SHIFTED else None
        picture = draw(kind, rng, shift=shift)
        traits = [
            values.index(picture.words[group]) if kind == "bird" else -1
            for group, values in TRAITS.items()
        ]
        return (
            picture.image,
            caption(picture, rng),
            np.array(traits),
            part_grid(picture.parts).reshape(-1).astype(np.int64),
        )


class PatchDropout(nn.Module):
    """Keep the class token and the patches ``kept`` (B, L), None for all; it stands in for open_clip's own."""

    kept: Tensor | None = None

    def forward(self, x: Tensor) -> Tensor:
        return (
            x
            if self.kept is None
            else torch.cat(
                [x[:, :1], x.gather(1, 1 + self.kept[..., None].expand(-1, -1, x.shape[-1]))], 1
            )
        )


def choose(grid: Tensor, keep: float, favour: bool) -> Tensor:
    """(B, round(keep P)) patches drawn at random, those of an animal's parts first if ``favour``; grid is (B, P)."""
    return (
        (torch.rand(grid.shape) + 0.5 * (grid > 0) * favour)
        .topk(round(keep * grid.shape[1]), dim=1)
        .indices
    )


def tell(logits: Tensor, traits: Tensor) -> tuple[Tensor, Tensor]:
    """Mean over the trait groups of the cross-entropy, and the share named right.

    :param logits: (..., sum of group sizes); traits: (..., groups), -1 unknown.
    """
    groups = list(
        zip(
            logits.flatten(0, -2).float().split([len(v) for v in TRAITS.values()], -1),
            traits.flatten(0, -2).unbind(-1),
        )
    )
    right = sum((group.detach().argmax(-1) == true).sum() for group, true in groups)
    return torch.stack(
        [cross_entropy(group, true, ignore_index=-1) for group, true in groups]
    ).mean(), right / (traits >= 0).sum()


class Heads(nn.Module):
    """Linear readings of the image feature and of the last block's patch tokens."""

    def __init__(self, visual: Any, width: int, joint: int):
        super().__init__()
        self.norm, self.part, self.shown = (
            nn.LayerNorm(width),
            nn.Linear(width, len(PARTS)),
            nn.Linear(width, PHRASES),
        )
        self.traits = nn.Linear(joint, PHRASES)
        visual.transformer.resblocks[-1].register_forward_hook(self._note)

    def _note(self, block: nn.Module, args: tuple, tokens: Tensor) -> None:
        self.tokens = tokens[:, 1:]

    def read_parts(self, grid: Tensor, traits: Tensor) -> tuple[Tensor, Tensor]:
        """Cross-entropy of each patch's part plus that of the traits it shows; grid (B, L), traits (B, groups)."""
        tokens, weight = self.norm(self.tokens), torch.ones(len(PARTS), device=grid.device)
        weight[0] = 0.2
        shown, right = tell(
            self.shown(tokens), torch.where(SHOWS.to(grid.device)[grid], traits[:, None], -1)
        )
        return cross_entropy(self.part(tokens).float().mT, grid, weight) + shown, right


def losses(
    backbone: Backbone,
    heads: Heads,
    images: Tensor,
    captions: Tensor,
    phrases: Tensor,
    traits: Tensor,
) -> dict[str, Tensor]:
    """The losses of a batch that need no mask, and the shares of traits named right.

    :param images: (B, 3, H, W); captions: (B, L) and phrases: (sum of group sizes, L') token ids; traits: (B, groups), -1 unknown.
    """
    seen = backbone.encode_image(images)
    image, patches = (
        normalize(seen.image, dim=-1),
        normalize(backbone.project(seen.patches), dim=-1),
    )
    text, words = (
        normalize(backbone.encode_sequences(backbone.embed(t), t.argmax(-1)), dim=-1)
        for t in (captions, phrases)
    )
    scale = backbone.model.logit_scale.exp().clamp_max(100)
    named = {
        "image": scale * image @ words.T,
        "patch": scale * (patches @ words.T).topk(BEST_PATCHES, dim=1).values.mean(1),
        "traits": heads.traits(seen.image),
    }
    out = {"contrastive": contrastive_loss(image, text, scale)}
    for name, logits in named.items():
        out[name], out[f"{name}_right"] = tell(logits, traits)
    return out


def pretrain(
    folder: Path,
    *,
    images: int,
    batch: int,
    lr: float,
    keep: float,
    parts: float,
    seed: int,
    workers: int,
    device: str,
) -> Path:
    """Train (or resume what ``folder`` holds), log to ``log.jsonl``, and write ``weights.safetensors`` at the end."""
    torch.manual_seed(seed)
    backbone = load_backbone("pocket", "random")
    model = backbone.model.requires_grad_(True).train()
    model.visual.patch_dropout = dropout = PatchDropout()
    heads = Heads(model.visual, backbone.patch_width, backbone.joint_width).to(device)
    learned = nn.ModuleDict({"model": model, "heads": heads})
    with torch.no_grad():
        model.logit_scale.fill_(math.log(1 / 0.07))
    backbone.to(device)
    hidden = [p for n, p in learned.named_parameters() if p.ndim == 2 and "resblocks" in n]
    rest = [p for n, p in learned.named_parameters() if p.ndim != 2 or "resblocks" not in n]
    optimizers = [
        torch.optim.Muon(hidden, lr=lr, weight_decay=0.05, adjust_lr_fn="match_rms_adamw"),
        torch.optim.AdamW(
            [
                {"params": [p for p in rest if p.ndim >= 2], "weight_decay": 0.05},
                {"params": [p for p in rest if p.ndim < 2], "weight_decay": 0.0},
            ],
            betas=(0.9, 0.98),
        ),
    ]
    names: dict[Tensor, str] = {parameter: name for name, parameter in learned.named_parameters()}
    steps, warmup = images // batch, 100
    phrases = backbone.tokenize(
        [phrase(group, value) for group, values in TRAITS.items() for value in values]
    )
    used = torch.zeros(model.vocab_size, dtype=torch.bool)
    used[phrases.cpu().unique()] = True
    state, first = folder / "state.safetensors", 0
    if state.exists():
        tensors, record = load_tensors(state)
        first, used = record["step"], tensors.pop("used").bool()
        learned.load_state_dict(
            {k: v for k, v in tensors.items() if k.startswith(("model.", "heads."))}
        )
        for optimizer in optimizers:
            for parameter in (p for group in optimizer.param_groups for p in group["params"]):
                kept = {
                    k: tensors.get(f"{k}.{names[parameter]}")
                    for k in ("step", "exp_avg", "exp_avg_sq", "momentum_buffer")
                }
                optimizer.state[parameter] = {
                    k: v if k == "step" else v.to(device) for k, v in kept.items() if v is not None
                }
    loader = DataLoader(
        Stream(seed, first * batch, steps * batch),
        batch,
        num_workers=workers,
        persistent_workers=workers > 0,
        collate_fn=lambda rows: [
            column if isinstance(column[0], str) else np.stack(column) for column in zip(*rows)
        ],
    )
    torch.backends.cuda.allow_fp16_bf16_reduction_math_sdp(True)
    # on CPUs the backward pass of the fused attention takes twice as long as the plain formula's
    attention = (
        [SDPBackend.MATH]
        if device == "cpu"
        else [SDPBackend.FLASH_ATTENTION, SDPBackend.EFFICIENT_ATTENTION, SDPBackend.MATH]
    )
    normalise = backbone.preprocess.transforms[-1]
    folder.mkdir(parents=True, exist_ok=True)
    started = time.time()
    with (
        open(folder / "log.jsonl", "a") as log,
        tqdm(total=steps, initial=first, unit="step") as bar,
    ):
        for step, (pictures, captions, traits, grid) in enumerate(loader, first):
            torch.manual_seed(seed + step)
            grid, traits = torch.from_numpy(grid), torch.from_numpy(traits).to(device)
            dropout.kept = (
                None
                if step >= (1 - WHOLE) * steps
                else choose(grid, keep, favour=parts > 0).to(device)
            )
            for group in (group for optimizer in optimizers for group in optimizer.param_groups):
                group["lr"] = lr * min(
                    (step + 1) / warmup, 0.5 + 0.5 * math.cos(math.pi * step / steps)
                )
            pixels = normalise(
                torch.from_numpy(pictures).permute(0, 3, 1, 2).float().to(device) / 255
            )
            tokens = backbone.tokenize(captions)
            used[tokens.cpu().unique()] = True
            with sdpa_kernel(attention):
                with torch.autocast(torch.device(device).type, torch.bfloat16):
                    loss = losses(backbone, heads, pixels, tokens, phrases, traits)
                    grid = (
                        grid.to(device)
                        if dropout.kept is None
                        else grid.to(device).gather(1, dropout.kept)
                    )
                    loss["parts"], loss["parts_right"] = heads.read_parts(grid, traits)
                (
                    loss["contrastive"]
                    + loss["image"]
                    + loss["patch"]
                    + loss["traits"]
                    + parts * loss["parts"]
                ).backward()
            torch.nn.utils.clip_grad_norm_(learned.parameters(), 1.0)
            for optimizer in optimizers:
                optimizer.step()
                optimizer.zero_grad(set_to_none=True)
            bar.update()
            if step % 20 == 0:
                row = {
                    "step": step,
                    "images": (step + 1) * batch,
                    "seconds": round(time.time() - started, 1),
                    **{k: round(v.item(), 4) for k, v in loss.items()},
                }
                log.write(json.dumps(row) + "\n")
                log.flush()
                bar.set_postfix({k: f"{v.item():.2f}" for k, v in loss.items()})
            if (step + 1) % SAVE_EVERY == 0 or step + 1 == steps:
                moments = {
                    f"{k}.{names[p]}": v
                    for optimizer in optimizers
                    for p, kept in optimizer.state.items()
                    for k, v in kept.items()
                }
                save_tensors(
                    state, {**learned.state_dict(), **moments, "used": used}, {"step": step + 1}
                )
    settings = {
        "images": steps * batch,
        "batch": batch,
        "lr": lr,
        "keep": keep,
        "parts": parts,
        "seed": seed,
    }
    return export(model, used, folder / "weights.safetensors", settings)


def export(model: nn.Module, used: Tensor, path: Path, record: dict) -> Path:
    """Write the weights in fp16, with only the word embeddings that training met."""
    rows = used.nonzero()[:, 0].int()
    tensors = {k: v.half() for k, v in model.state_dict().items()}
    tensors["token_embedding.weight"] = tensors["token_embedding.weight"][rows.long()]
    save_tensors(path, {**tensors, "token_rows": rows}, record)
    return path


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m sotglp_core.pocket.pretrain", description=__doc__.split("\n")[0]
    )
    parser.add_argument(
        "folder", type=Path, help="log, resumable state and weights go here; run again to resume"
    )
    parser.add_argument("--images", type=int, default=128_000)
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--lr", type=float, default=2e-3)
    parser.add_argument(
        "--keep", type=float, default=0.25, help="share of the patches kept in each image"
    )
    parser.add_argument(
        "--parts", type=float, default=1.0, help="weight of the loss that uses the part masks"
    )
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument(
        "--workers",
        type=int,
        default=max(1, (os.cpu_count() or 2) // 2),
        help="processes that draw",
    )
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    options = vars(parser.parse_args())
    print(pretrain(options.pop("folder"), **options))


if __name__ == "__main__":
    main()
