"""The embedded task: 24 species, five OOD sets and four domain shifts, all with part masks."""

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

POOL, VAL, TEST, OOD = 64, 16, 50, 500  # images of each class, and of each OOD set
DRAWING = (".py", ".json")  # files of the pocket world that its images depend on
OOD_KINDS = {"creatures": "creature", "scenes": "scene", "objects": "object", "textures": "texture"}


class Spec(NamedTuple):
    """What one image is drawn from."""

    kind: str
    bird: Bird | None
    shift: str | None
    seed: tuple[int, int, int]  # set, class, number

    def __str__(self) -> str:
        return "-".join(map(str, (self.kind, self.shift or "plain", *self.seed)))


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
    for name in names:
        if name not in SPECIES:
            raise ValueError(f"there is no species {name!r}; there are {', '.join(SPECIES)}")
    places = {name: place for place, name in enumerate(SPECIES)}
    specs = [_bird(name, shift, split, places[name], i) for name in names for i in range(per_class)]
    return PocketImages(specs, np.repeat(range(len(names)), per_class))


def ood_images(name: str, number: int) -> PocketImages:
    """An OOD set: "unseen" species, "creatures", "scenes", "objects" or "textures"."""
    if name == "unseen":
        kinds = [(i, i % len(UNSEEN)) for i in range(number)]
        specs = [_bird(list(UNSEEN)[kind], None, name, kind, i) for i, kind in kinds]
    else:
        specs = [Spec(OOD_KINDS[name], None, None, _seed(name, 0, i)) for i in range(number)]
    return PocketImages(specs, [-1] * number)


def _bird(name: str, shift: str | None, split: str, place: int, i: int) -> Spec:
    seed = _seed(split, place, i)
    return Spec("bird", individual(name, np.random.default_rng([*seed, 1])), shift, seed)


def _seed(split: str, place: int, i: int) -> tuple[int, int, int]:
    return zlib.crc32(split.encode()), place, i


@cache
def _drawing() -> str:
    """A digest of the code and data that draw."""
    sources = [p for p in (files("sotglp_core") / "pocket").iterdir() if p.name.endswith(DRAWING)]
    drawing = sorted((p.name, p.read_bytes()) for p in sources if p.name != "pretrain.py")
    return hashlib.sha256(b"".join(content for _, content in drawing)).hexdigest()
