"""The embedded task: 24 species, five OOD sets and four domain shifts, all with part masks."""

from __future__ import annotations

import hashlib
import zlib
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image

from ..pocket.traits import SPECIES, UNSEEN, Bird, individual
from ..pocket.world import Picture, draw, part_grid
from .images import Images

POOL, VAL, TEST, OOD = 64, 16, 50, 500  # images of each class, and of each OOD set
OOD_KINDS = {"creatures": "creature", "scenes": "scene", "objects": "object", "textures": "texture"}


class Spec(NamedTuple):
    """What one image is drawn from."""

    kind: str
    bird: Bird | None
    shift: str | None
    seed: tuple[int, int, int]  # set, class, number

    def __str__(self) -> str:
        split, label, number = self.seed
        return f"{self.kind}-{self.shift or 'plain'}-{split}-{label}-{number}"


class PocketImages(Images):
    """Images of the embedded world, drawn when asked for."""

    @property
    def specs(self) -> list[Spec]:
        return self.items

    def picture(self, i: int) -> Picture:
        """Image i with the masks of its parts."""
        spec = self.specs[i]
        rng = np.random.default_rng(spec.seed)
        return draw(spec.kind, rng, bird=spec.bird, shift=spec.shift)

    def __getitem__(self, i: int) -> Image.Image:
        return Image.fromarray(self.picture(i).image)

    def part_grids(self) -> np.ndarray:
        """(n, 14, 14) true part of each patch, an index into PARTS."""
        return np.stack([part_grid(self.picture(i).parts) for i in range(len(self))])

    def fingerprint(self) -> str:
        return hashlib.sha256((_drawing() + repr(self.specs)).encode()).hexdigest()


def species_images(
    split: str, per_class: int, *, names: Sequence[str] = tuple(SPECIES), shift: str | None = None
) -> PocketImages:
    """``per_class`` images of each named species; "pool", "val" and "test" have none in common.

    :param shift: one of world.SHIFTS; the same birds and poses as without it.
    :raises ValueError: on a species that the field guide does not have.
    """
    species = tuple(SPECIES)
    for name in names:
        if name not in species:
            raise ValueError(f"there is no species {name!r}; there are {', '.join(species)}")
    places = map(species.index, names)
    specs = [_spec(split, species, k, i, shift) for k in places for i in range(per_class)]
    return PocketImages(specs, np.repeat(range(len(names)), per_class))


def ood_images(name: str, number: int) -> PocketImages:
    """An OOD set: "unseen" species, "creatures", "scenes", "objects" or "textures"."""
    kinds = tuple(UNSEEN) if name == "unseen" else (OOD_KINDS[name],)
    specs = [_spec(name, kinds, i % len(kinds), i) for i in range(number)]
    return PocketImages(specs, [-1] * number)


@cache
def _spec(split: str, kinds: tuple[str, ...], k: int, i: int, shift: str | None = None) -> Spec:
    """Image i of the k-th species or kind."""
    seed = zlib.crc32(split.encode()), k, i
    if kinds[k] in OOD_KINDS.values():
        return Spec(kinds[k], None, None, seed)
    return Spec("bird", individual(kinds[k], np.random.default_rng([*seed, 1])), shift, seed)


@cache
def _drawing() -> str:
    """A digest of the code and data that draw."""
    folder = Path(__file__).parents[1] / "pocket"
    files = sorted(p for p in folder.iterdir() if p.suffix in (".py", ".json"))
    sources = [path for path in files if path.stem != "pretrain"]
    return hashlib.sha256(b"".join(path.read_bytes() for path in sources)).hexdigest()
