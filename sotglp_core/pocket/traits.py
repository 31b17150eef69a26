"""The traits of birds (``traits.json``), and the species that they make (``species.json``)."""

from typing import NamedTuple

import numpy as np
from numpy.random import Generator

from .tables import load_table

Colour = tuple[int, ...]  # red, green, blue from 0 to 255, and perhaps opacity

_TABLE, _SPECIES = load_table("traits.json"), load_table("species.json")
GROUPS = _TABLE["traits"]  # the part that shows a trait, its values, and words for them
COLOURS: dict[str, Colour] = {name: tuple(rgb) for name, rgb in _TABLE["colours"].items()}
PARTS: tuple[str, ...] = tuple(_TABLE["parts"])
TRAITS: dict[str, tuple[str, ...]] = {
    group: tuple(look.get("values", COLOURS)) for group, look in GROUPS.items()
}
VARY = 0.8  # chance that a trait of a bird is a sibling species'


class Bird(NamedTuple):
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
        return self._asdict()


def _birds(species: dict) -> dict[str, Bird]:
    return {
        name: Bird(**row["named"], **row["marks"], **row["others"]) for name, row in species.items()
    }


_ALL = _SPECIES["seen"] | _SPECIES["unseen"]
SPECIES, UNSEEN = _birds(_SPECIES["seen"]), _birds(_SPECIES["unseen"])


def named_traits(name: str) -> dict[str, str]:
    """The family and the two traits that a species' name states."""
    return dict(_ALL[name]["named"])


def fixed_traits(name: str) -> dict[str, str]:
    """What holds for each bird of a species: the named traits, and two more."""
    return _ALL[name]["named"] | _ALL[name]["marks"]


def _fits(bird: Bird, traits: dict[str, str]) -> bool:
    return traits.items() <= bird.traits().items()


def is_reserved(bird: Bird) -> bool:
    """Whether the bird has the family and both named traits of some species."""
    return any(_fits(bird, named_traits(name)) for name in _ALL)


def random_bird(rng: Generator) -> Bird:
    """A bird of near-independent traits that fits no species' name.

    A crown, wing or belly of the back's colour is drawn a second time, so most parts stand out.
    """
    while True:
        drawn = {group: values[rng.integers(len(values))] for group, values in TRAITS.items()}
        for group in ("crown", "wing", "belly"):
            if drawn[group] == drawn["back"]:
                drawn[group] = TRAITS[group][rng.integers(len(COLOURS))]
        bird = Bird(**drawn)
        if not is_reserved(bird):
            return bird


def individual(name: str, rng: Generator) -> Bird:
    """A bird of the species. Its fixed traits hold, and it never has all those of another species.

    The other traits may come from its siblings, the seen species of its family; mostly the bird
    also has what some sibling's name states, so that names alone can't tell the two apart.
    """
    bird, fixed = (SPECIES | UNSEEN)[name], fixed_traits(name)
    rivals = [fixed_traits(other) for other in _ALL if other != name]
    siblings = [
        other for other in SPECIES if other != name and SPECIES[other].family == bird.family
    ]
    alike = [
        named
        for named in map(named_traits, siblings)
        if all(fixed.get(group, value) == value for group, value in named.items())
    ]
    while True:
        varied = {
            group: getattr(SPECIES[siblings[rng.integers(len(siblings))]], group)
            for group in TRAITS
            if rng.random() < VARY
        }
        if alike and rng.random() < VARY:
            varied |= alike[rng.integers(len(alike))]
        drawn = bird._replace(**varied | fixed)
        if not any(_fits(drawn, rival) for rival in rivals):
            return drawn


def jitter(name: str, rng: Generator) -> Colour:
    """A named colour with a little of its own hue and brightness."""
    tint = 1 + (0.035 * rng.standard_normal(3) + 0.05 * rng.standard_normal())
    return tuple(int(v) for v in np.clip(np.array(COLOURS[name]) * tint, 0, 255))
