"""Vocabulary of the pocket field guide and the species that live in it."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from typing import NamedTuple

import numpy as np

Colour = tuple[int, int, int]

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

_ALL = tuple(COLOURS)
TRAITS: dict[str, tuple[str, ...]] = {
    "family": ("finch", "wader", "parrot", "duck"),
    "crown": _ALL,
    "crest": ("plain", "crested"),
    "beak": ("red", "orange", "yellow", "black", "grey"),
    "eye": ("none", "white", "yellow", "red", "blue"),
    "wing": _ALL,
    "pattern": ("plain", "barred", "spotted", "streaked"),
    "belly": _ALL,
    "tail": _ALL,
    "shape": ("forked", "rounded", "pointed"),
    "legs": ("red", "orange", "yellow", "green", "black", "grey"),
    "back": _ALL,
}
VARY = 0.8  # how much the birds of a species differ from each other

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


# Columns: the two groups that name the species | crown crest beak eye wing pattern belly tail shape legs back
_SEEN = {
    "finch": """
        crown pattern, wing back    | red plain grey none brown barred white black forked grey brown
        crown belly, eye back       | red plain grey white black plain yellow black forked grey brown
        crown wing, beak pattern    | blue plain black none yellow streaked white brown forked black grey
        wing tail, crest beak       | black crested orange none yellow streaked white red rounded black grey
        crest belly, tail shape     | red crested grey white green spotted orange green pointed grey blue
        belly tail, eye legs        | black plain orange yellow green spotted orange purple rounded orange blue""",
    "wader": """
        legs crown, eye wing        | black plain black none grey plain white black rounded red white
        legs pattern, beak eye      | brown plain red none brown streaked white black rounded red grey
        legs belly, beak eye        | brown plain yellow white brown spotted orange white pointed yellow grey
        crown tail, crest back      | orange crested yellow white brown spotted white green pointed yellow black
        wing belly, crown crest     | white crested black red blue barred purple grey forked black grey
        pattern tail, crown eye     | purple plain black red green barred black white forked grey white""",
    "parrot": """
        belly shape, crown tail     | green plain orange white green plain yellow blue forked grey green
        belly crown, beak eye       | purple plain orange white green plain yellow red pointed grey green
        crest wing, eye tail        | yellow crested black none white plain white yellow rounded grey white
        crown pattern, eye belly    | yellow plain black blue blue barred red orange pointed black green
        tail wing, crown pattern    | orange plain grey yellow purple streaked blue red pointed black green
        wing back, crown pattern    | white crested grey yellow purple spotted green orange rounded black red""",
    "duck": """
        crown belly, beak wing      | green plain yellow none grey plain brown black pointed orange grey
        crown pattern, beak wing    | green plain yellow white brown spotted white black rounded orange grey
        belly pattern, crown beak   | brown plain grey white blue barred white brown rounded grey orange
        crest wing, belly back      | purple crested red none blue streaked black white forked orange white
        tail crown, eye wing        | blue crested red yellow black streaked grey white pointed red brown
        legs back, beak eye         | red plain orange red white spotted grey blue forked yellow black""",
}
_HELD = {
    "finch": """
        crown pattern, tail back    | blue plain grey white brown spotted yellow red forked grey green
        belly shape, beak pattern   | green crested black none black barred red brown pointed black brown
        wing crown, eye pattern     | white plain orange yellow purple plain grey black rounded orange grey""",
    "wader": """
        legs wing, belly back       | white plain red none black plain grey brown forked orange brown
        crown belly, beak eye       | red crested grey yellow grey streaked green black pointed green white
        tail pattern, beak wing     | black plain orange white white spotted brown blue rounded yellow grey""",
    "parrot": """
        crown wing, tail shape      | red plain grey white yellow plain blue green forked grey green
        belly pattern, crown tail   | blue crested black none green streaked orange purple rounded black grey
        tail back, beak legs        | black plain red yellow red barred white white pointed orange blue""",
    "duck": """
        crown wing, beak eye        | red plain grey yellow green spotted white brown forked red grey
        belly shape, beak tail      | white plain black none brown streaked purple green rounded black black
        crest pattern, crown belly  | orange crested yellow red purple plain red grey pointed yellow brown""",
}


class _Species(NamedTuple):
    bird: Bird
    stated: tuple[str, ...]  # groups that the name states
    marks: tuple[str, ...]  # two more that hold for each bird of the species


def _read(table: dict[str, str]) -> dict[str, _Species]:
    found: dict[str, _Species] = {}
    for family, rows in table.items():
        for row in rows.strip().splitlines():
            groups, values = row.split("|")
            stated, marks = (tuple(side.split()) for side in groups.split(","))
            bird = Bird(family, *values.split())
            found[
                " ".join([*(adjective(group, getattr(bird, group)) for group in stated), family])
            ] = _Species(bird, stated, marks)
    return found


_NAMED = {**_read(_SEEN), **_read(_HELD)}
SPECIES: dict[str, Bird] = {name: _NAMED[name].bird for name in _read(_SEEN)}
UNSEEN: dict[str, Bird] = {name: _NAMED[name].bird for name in _read(_HELD)}


def named_traits(name: str) -> dict[str, str]:
    """The family and the two traits that a species' name states."""
    bird, stated, _ = _NAMED[name]
    return {group: getattr(bird, group) for group in ("family", *stated)}


def fixed_traits(name: str) -> dict[str, str]:
    """What holds for each bird of a species: what the name states, and the two marks that it doesn't."""
    bird, _, marks = _NAMED[name]
    return named_traits(name) | {group: getattr(bird, group) for group in marks}


_SIBLINGS = {
    family: [n for n in _read(_SEEN) if _NAMED[n].bird.family == family]
    for family in TRAITS["family"]
}


def _fits(bird: Bird, traits: dict[str, str]) -> bool:
    return all(getattr(bird, group) == value for group, value in traits.items())


_STATED = [named_traits(name) for name in _NAMED]


def is_reserved(bird: Bird) -> bool:
    """Whether the bird has the family and both named traits of some species."""
    return any(_fits(bird, stated) for stated in _STATED)


def random_bird(rng: np.random.Generator) -> Bird:
    """A bird of near-independent traits that fits no species' name.

    A crown, wing or belly of the back's colour is drawn a second time, so most parts stand out.
    """
    while True:
        drawn = {group: values[rng.integers(len(values))] for group, values in TRAITS.items()}
        for group in ("crown", "wing", "belly"):
            if drawn[group] == drawn["back"]:
                drawn[group] = _ALL[rng.integers(len(_ALL))]
        bird = Bird(**drawn)
        if not is_reserved(bird):
            return bird


def individual(name: str, rng: np.random.Generator, vary: float = VARY) -> Bird:
    """A bird of the species. Its fixed traits hold; the others may come from its siblings, the species of its family.

    :param vary: chance that a trait is a random sibling's, and that the bird also has what some sibling's name states,
        so that names alone can't tell the two apart. No bird has all fixed traits of another species.
    """
    kind, fixed = _NAMED[name].bird, fixed_traits(name)
    siblings = [sibling for sibling in _SIBLINGS[kind.family] if sibling != name]
    like = [
        traits
        for traits in map(named_traits, siblings)
        if all(fixed.get(g, v) == v for g, v in traits.items())
    ]
    while True:
        own = {
            g: getattr(SPECIES[siblings[rng.integers(len(siblings))]], g)
            for g in TRAITS
            if rng.random() < vary
        }
        if like and rng.random() < vary:
            own |= like[rng.integers(len(like))]
        bird = replace(kind, **own | fixed)
        if not any(_fits(bird, fixed_traits(other)) for other in _NAMED if other != name):
            return bird


def jitter(name: str, rng: np.random.Generator, amount: float = 1.0) -> Colour:
    """A named colour with a little of its own hue and brightness."""
    tint = 1 + amount * (0.035 * rng.standard_normal(3) + 0.05 * rng.standard_normal())
    return tuple(int(v) for v in np.clip(np.array(COLOURS[name]) * tint, 0, 255))  # type: ignore[return-value]
