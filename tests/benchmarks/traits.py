"""How well the embedded CLIP reads each trait of new random birds: ``python
tests/benchmarks/traits.py [--images 1000]``.

A trait is read by the phrase of its group ("a bird with a red crown", "a bird with a blue crown",
...) that is nearest:
to the image feature, or by the mean cosine of its 8 nearest patches, V-V or plain.
"""

from __future__ import annotations

import argparse

import numpy as np
import torch
from PIL import Image
from tables import RESULTS
from torch.nn.functional import normalize

from sotglp_core import load_backbone
from sotglp_core.pocket.captions import phrase
from sotglp_core.pocket.pretrain import BEST_PATCHES
from sotglp_core.pocket.traits import TRAITS
from sotglp_core.pocket.world import draw
from sotglp_core.storage import write_text

SEED = 77


@torch.no_grad()
def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--images", type=int, default=1000)
    number = parser.parse_args().images
    backbone, right = (
        load_backbone(),
        {view: np.zeros(len(TRAITS)) for view in ("image", "V-V patches", "plain patches")},
    )
    words = normalize(
        backbone.encode_text(
            [phrase(group, value) for group, values in TRAITS.items() for value in values]
        ),
        dim=-1,
    )
    for start in range(0, number, 50):
        birds = [
            draw("bird", np.random.default_rng([SEED, i]))
            for i in range(start, min(start + 50, number))
        ]
        pixels = torch.stack([backbone.preprocess(Image.fromarray(bird.image)) for bird in birds])
        seen = {dense: backbone.encode_image(pixels, dense=dense) for dense in ("vv", "plain")}
        similarity = {"image": normalize(seen["vv"].image, dim=-1) @ words.T}
        for view, dense in (("V-V patches", "vv"), ("plain patches", "plain")):
            patches = normalize(backbone.project(seen[dense].patches), dim=-1)
            similarity[view] = (patches @ words.T).topk(BEST_PATCHES, dim=1).values.mean(1)
        for view, cosine in similarity.items():
            for k, ((group, values), own) in enumerate(
                zip(TRAITS.items(), cosine.split([len(v) for v in TRAITS.values()], -1))
            ):
                true = torch.tensor([values.index(bird.words[group]) for bird in birds])
                right[view][k] += int((own.argmax(-1) == true).sum())
    lines = [
        "| trait | values | " + " | ".join(right) + " |",
        "| --- " + "| ---: " * (len(right) + 1) + "|",
    ]
    for k, (group, values) in enumerate(TRAITS.items()):
        lines.append(
            f"| {group} | {len(values)} | "
            + " | ".join(f"{100 * r[k] / number:.0f}" for r in right.values())
            + " |"
        )
    lines.append(
        "| **mean** | | "
        + " | ".join(f"{100 * r.mean() / number:.0f}" for r in right.values())
        + " |"
    )
    write_text(RESULTS / "traits.md", "\n".join(lines) + "\n")
    print("\n".join(lines))


if __name__ == "__main__":
    main()
