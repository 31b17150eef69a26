"""How well the embedded CLIP reads each trait of new random birds.

    python tests/benchmarks/traits.py [--images 1000]

A trait is read by the phrase of its group ("a bird with a red crown", "a bird with a blue crown",
...) that is nearest: to the image feature, or by the mean cosine of its 8 nearest patches, V-V or
plain.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch.nn.functional import normalize

from sotglp_core import load_backbone
from sotglp_core.pocket.captions import phrase
from sotglp_core.pocket.pretrain import BEST_PATCHES
from sotglp_core.pocket.traits import TRAITS
from sotglp_core.pocket.world import draw
from sotglp_core.storage import write_text

RESULTS = Path(__file__).parent / "results"
SEED = 77
VIEWS = ("image", "V-V patches", "plain patches")


@torch.no_grad()
def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--images", type=int, default=1000)
    parser.add_argument("--out", type=Path, default=RESULTS)
    given = parser.parse_args(arguments)
    backbone, right = load_backbone(), torch.zeros(len(TRAITS), len(VIEWS))
    phrases = [phrase(group, value) for group, values in TRAITS.items() for value in values]
    words = normalize(backbone.encode_text(phrases), dim=-1)
    for some in torch.arange(given.images).split(50):
        birds = [draw("bird", np.random.default_rng([SEED, int(i)])) for i in some]
        pixels = torch.stack([backbone.preprocess(Image.fromarray(bird.image)) for bird in birds])
        seen = [backbone.encode_image(pixels, dense=dense) for dense in ("vv", "plain")]
        cosines = [normalize(seen[0].image, dim=-1) @ words.T]
        for features in seen:
            patches = normalize(backbone.project(features.patches), dim=-1)
            cosines.append((patches @ words.T).topk(BEST_PATCHES, dim=1).values.mean(1))
        by_trait = torch.stack(cosines, -1).split([len(v) for v in TRAITS.values()], 1)
        for k, ((group, values), own) in enumerate(zip(TRAITS.items(), by_trait)):
            true = torch.tensor([values.index(bird.words[group]) for bird in birds])
            right[k] += (own.argmax(1) == true[:, None]).sum(0)
    share = 100 * right / given.images
    rows = [("trait", "values", *VIEWS), ("---", *["---:"] * (len(VIEWS) + 1))]
    for (group, values), found in zip(TRAITS.items(), share):
        rows.append((group, str(len(values)), *(f"{x:.0f}" for x in found)))
    rows.append(("**mean**", "", *(f"{x:.0f}" for x in share.mean(0))))
    table = "".join(f"| {' | '.join(row)} |\n" for row in rows)
    write_text(given.out / "traits.md", table)
    print(table)


if __name__ == "__main__":
    main()
