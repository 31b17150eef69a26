"""The vocabulary of the embedded field guide, and its species (``species.csv``)."""

from dataclasses import asdict, dataclass, replace
from typing import NamedTuple

import numpy as np

from .tables import load_table

Colour = tuple[int, ...]  # red, green, blue from 0 to 255, and perhaps opacity

COLOURS: dict[str, Colour] = {
    "red": (204, 38, 40),
    "orange": (238, 128, 24),
    "yellow": (246, 212, 48),
    "green": (58, 142, 66),
    "blue": (44, 100, 200),
    "purple": (136, 62, 168),
    "brown": (120, 74, 40),
    "black": (36, 34, 40),
    "white": (242, 240, 234),
    "grey": (142, 147, 153),
}
PARTS = ("background", "body", "crown", "eye", "beak", "wing", "belly", "tail", "legs")

_COLOURS = tuple(COLOURS)
TRAITS: dict[str, tuple[str, ...]] = {
    "family": ("finch", "wader", "parrot", "duck"),
    "crown": _COLOURS,
    "crest": ("plain", "crested"),
    "beak": ("red", "orange", "yellow", "black", "grey"),
    "eye": ("none", "white", "yellow", "red", "blue"),
    "wing": _COLOURS,
    "pattern": ("plain", "barred", "spotted", "streaked"),
    "belly": _COLOURS,
    "tail": _COLOURS,
    "shape": ("forked", "rounded", "pointed"),
    "legs": ("red", "orange", "yellow", "green", "black", "grey"),
    "back": _COLOURS,
}
VARY = 0.8  # chance that a trait of a bird is a sibling species'

_SUFFIX = {
    "crown": "crowned",
    "beak": "billed",
    "eye": "eyed",
    "wing": "winged",
    "pattern": "winged",
    "belly": "bellied",
    "tail": "tailed",
    "shape": "tailed",
    "legs": "legged",
    "back": "backed",
}
_SPECIAL = {
    ("crest", "crested"): "crested",
    ("crest", "plain"): "plain-headed",
    ("eye", "none"): "plain-eyed",
    ("shape", "forked"): "fork-tailed",
    ("shape", "rounded"): "round-tailed",
    ("shape", "pointed"): "point-tailed",
}


def adjective(group: str, value: str) -> str:
    """The field-guide adjective of one trait: ("crown", "red") -> "red-crowned"."""
    if group == "family":
        return value
    return _SPECIAL.get((group, value)) or f"{value}-{_SUFFIX[group]}"


@dataclass(frozen=True)
class Bird:
    """One value for every trait group."""

    family: str
    crown: str
    crest: str
    beak: str
    eye: str
    wing: str
    pattern: str
    belly: str
    tail: str
    shape: str
    legs: str
    back: str

    def traits(self) -> dict[str, str]:
        return asdict(self)


class _Species(NamedTuple):
    bird: Bird
    named: dict[str, str]  # the family and the two traits that the name states
    fixed: dict[str, str]  # these and two more, which hold for each bird of the species
    seen: bool  # False: held out, for the OOD set


def _read_species() -> dict[str, _Species]:
    species = {}
    for row in load_table("species.csv"):
        stated, marks = row["named"].split(), row["marks"].split()
        name = " ".join(adjective(group, row[group]) for group in (*stated, "family"))
        named = {group: row[group] for group in ("family", *stated)}
        fixed = named | {group: row[group] for group in marks}
        bird = Bird(**{group: row[group] for group in TRAITS})
        species[name] = _Species(bird, named, fixed, seen=row["seen"] == "yes")
    return species


_ALL_SPECIES = _read_species()
SPECIES: dict[str, Bird] = {name: s.bird for name, s in _ALL_SPECIES.items() if s.seen}
UNSEEN: dict[str, Bird] = {name: s.bird for name, s in _ALL_SPECIES.items() if not s.seen}


def named_traits(name: str) -> dict[str, str]:
    """The family and the two traits that a species' name states."""
    return dict(_ALL_SPECIES[name].named)


def fixed_traits(name: str) -> dict[str, str]:
    """What holds for each bird of a species: the named traits, and two more."""
    return dict(_ALL_SPECIES[name].fixed)


def _fits(bird: Bird, traits: dict[str, str]) -> bool:
    return all(getattr(bird, group) == value for group, value in traits.items())


def is_reserved(bird: Bird) -> bool:
    """Whether the bird has the family and both named traits of some species."""
    return any(_fits(bird, species.named) for species in _ALL_SPECIES.values())


def random_bird(rng: np.random.Generator) -> Bird:
    """A bird of near-independent traits that fits no species' name.

    A crown, wing or belly of the back's colour is drawn a second time, so most parts stand out.
    """
    while True:
        drawn = {group: values[rng.integers(len(values))] for group, values in TRAITS.items()}
        for group in ("crown", "wing", "belly"):
            if drawn[group] == drawn["back"]:
                drawn[group] = _COLOURS[rng.integers(len(_COLOURS))]
        bird = Bird(**drawn)
        if not is_reserved(bird):
            return bird


def individual(name: str, rng: np.random.Generator) -> Bird:
    """A bird of the species. Its fixed traits hold, and it never has all those of another species.

    The other traits may come from its siblings, the seen species of its family; mostly the bird
    also has what some sibling's name states, so that names alone can't tell the two apart.
    """
    bird, fixed = _ALL_SPECIES[name].bird, _ALL_SPECIES[name].fixed
    rivals = [species for other, species in _ALL_SPECIES.items() if other != name]
    siblings = [
        species
        for other, species in _ALL_SPECIES.items()
        if other != name and species.seen and species.bird.family == bird.family
    ]
    alike = [
        sibling.named
        for sibling in siblings
        if all(fixed.get(group, value) == value for group, value in sibling.named.items())
    ]
    while True:
        varied = {
            group: getattr(siblings[rng.integers(len(siblings))].bird, group)
            for group in TRAITS
            if rng.random() < VARY
        }
        if alike and rng.random() < VARY:
            varied |= alike[rng.integers(len(alike))]
        drawn = replace(bird, **varied | fixed)
        if not any(_fits(drawn, rival.fixed) for rival in rivals):
            return drawn


def jitter(name: str, rng: np.random.Generator) -> Colour:
    """A named colour with a little of its own hue and brightness."""
    tint = 1 + (0.035 * rng.standard_normal(3) + 0.05 * rng.standard_normal())
    return tuple(int(v) for v in np.clip(np.array(COLOURS[name]) * tint, 0, 255))
