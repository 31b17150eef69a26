"""The embedded task: 24 species to tell apart, five out-of-distribution sets, four domain shifts, all with part masks."""

from __future__ import annotations

import hashlib
import zlib
from collections.abc import Sequence
from functools import cache
from importlib.resources import files
from typing import NamedTuple

import numpy as np
from PIL import Image

from ..pocket.traits import SPECIES, UNSEEN, Bird, individual
from ..pocket.world import Picture, draw, part_grid
from .images import Images

POOL, VAL, TEST, OOD = 64, 16, 50, 500  # images a class, and a set
DRAWING = (".py", ".json", ".csv")  # files of the pocket world that its images depend on
OOD_KINDS = {"creatures": "creature", "scenes": "scene", "objects": "object", "textures": "texture"}


class Spec(NamedTuple):
    """What one picture is drawn from."""

    kind: str
    bird: Bird | None
    shift: str | None
    seed: tuple[int, int, int]  # set, class, number


class PocketImages(Images):
    """Pictures of the pocket world, drawn when asked for."""

    def __init__(self, specs: Sequence[Spec], labels: Sequence[int]):
        self.specs, self.labels = list(specs), np.asarray(labels, dtype=np.int64)
        self.names = [
            f"{s.kind}-{s.shift or 'plain'}-" + "-".join(map(str, s.seed)) for s in self.specs
        ]

    def picture(self, i: int) -> Picture:
        spec = self.specs[i]
        return draw(spec.kind, np.random.default_rng(spec.seed), bird=spec.bird, shift=spec.shift)

    def __getitem__(self, i: int) -> Image.Image:
        return Image.fromarray(self.picture(i).image)

    def part_grids(self) -> np.ndarray:
        """(n, 14, 14) true part of each patch, an index into PARTS."""
        return np.stack([part_grid(self.picture(i).parts) for i in range(len(self))])

    def fingerprint(self) -> str:
        return hashlib.sha256((_drawing() + repr(self.specs)).encode()).hexdigest()

    def subset(self, indices: Sequence[int]) -> PocketImages:
        return PocketImages([self.specs[i] for i in indices], self.labels[list(indices)].tolist())


def species_images(
    split: str, per_class: int, *, names: Sequence[str] = tuple(SPECIES), shift: str | None = None
) -> PocketImages:
    """``per_class`` images of each named species; "pool", "val" and "test" share none.

    :param shift: one of world.SHIFTS; the same birds and poses as without it.
    :raises ValueError: on a species that the field guide does not have.
    """
    unknown = [name for name in names if name not in SPECIES]
    if unknown:
        raise ValueError(
            f"the field guide has no species {unknown[0]!r}; it has {', '.join(SPECIES)}"
        )
    seeds = [
        (label, name, (zlib.crc32(split.encode()), list(SPECIES).index(name), i))
        for label, name in enumerate(names)
        for i in range(per_class)
    ]
    return PocketImages(
        [_bird(name, shift, seed) for _, name, seed in seeds], [label for label, _, _ in seeds]
    )


def ood_images(name: str, number: int) -> PocketImages:
    """An out-of-distribution set: "unseen" species, "creatures", "scenes", "objects" or "textures"."""
    code, unseen = zlib.crc32(name.encode()), list(UNSEEN)
    if name == "unseen":
        specs = [
            _bird(unseen[i % len(unseen)], None, (code, i % len(unseen), i)) for i in range(number)
        ]
    else:
        specs = [Spec(OOD_KINDS[name], None, None, (code, 0, i)) for i in range(number)]
    return PocketImages(specs, [-1] * number)


def _bird(name: str, shift: str | None, seed: tuple[int, int, int]) -> Spec:
    return Spec("bird", individual(name, np.random.default_rng([*seed, 1])), shift, seed)


@cache
def _drawing() -> str:
    """A digest of the code and data that draw."""
    folder = files("sotglp_core") / "pocket"
    sources = sorted(
        (p for p in folder.iterdir() if p.name.endswith(DRAWING) and p.name != "pretrain.py"),
        key=lambda p: p.name,
    )
    return hashlib.sha256(b"".join(p.read_bytes() for p in sources)).hexdigest()
