"""Vocabulary of the pocket field guide and the species that live in it."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace

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
VARY = 0.8  # how much the birds of a species vary

_SUFFIX = {"crown": "crowned", "beak": "billed", "eye": "eyed", "wing": "winged", "pattern": "winged",
           "belly": "bellied", "tail": "tailed", "shape": "tailed", "legs": "legged", "back": "backed"}
_SPECIAL = {("crest", "crested"): "crested", ("crest", "plain"): "plain-headed", ("eye", "none"): "plain-eyed",
            ("shape", "forked"): "fork-tailed", ("shape", "rounded"): "round-tailed",
            ("shape", "pointed"): "point-tailed"}


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
        crown pattern | red plain grey none brown barred white black forked grey brown
        crown belly   | red plain grey white black plain yellow black forked grey brown
        crown wing    | blue plain black none yellow streaked white brown forked black grey
        wing tail     | black crested orange none yellow streaked white red rounded black grey
        crest belly   | red crested grey white green spotted orange green pointed grey blue
        belly tail    | black plain orange yellow green spotted orange purple rounded orange blue""",
    "wader": """
        legs crown    | black plain black none grey plain white black rounded red white
        legs pattern  | brown plain red none brown streaked white black rounded red grey
        legs belly    | brown plain yellow white brown spotted orange white pointed yellow grey
        crown tail    | orange crested yellow white brown spotted white green pointed yellow black
        wing belly    | white crested black red blue barred purple grey forked black grey
        pattern tail  | purple plain black red green barred black white forked grey white""",
    "parrot": """
        belly shape   | green plain orange white green plain yellow blue forked grey green
        belly crown   | purple plain orange white green plain yellow red pointed grey green
        crest wing    | yellow crested black none white plain white yellow rounded grey white
        crown pattern | yellow plain black blue blue barred red orange pointed black green
        tail wing     | orange plain grey yellow purple streaked blue red pointed black green
        wing back     | white crested grey yellow purple spotted green orange rounded black red""",
    "duck": """
        crown belly   | green plain yellow none grey plain brown black pointed orange grey
        crown pattern | green plain yellow white brown spotted white black rounded orange grey
        belly pattern | brown plain grey white blue barred white brown rounded grey orange
        crest wing    | purple crested red none blue streaked black white forked orange white
        tail crown    | blue crested red yellow black streaked grey white pointed red brown
        legs back     | red plain orange red white spotted grey blue forked yellow black""",
}
_HELD = {
    "finch": """
        crown pattern | blue plain grey white brown spotted yellow red forked grey green
        belly shape   | green crested black none black barred red brown pointed black brown
        wing crown    | white plain orange yellow purple plain grey black rounded orange grey""",
    "wader": """
        legs wing     | white plain red none black plain grey brown forked orange brown
        crown belly   | red crested grey yellow grey streaked green black pointed green white
        tail pattern  | black plain orange white white spotted brown blue rounded yellow grey""",
    "parrot": """
        crown wing    | red plain grey white yellow plain blue green forked grey green
        belly pattern | blue crested black none green streaked orange purple rounded black grey
        tail back     | black plain red yellow red barred white white pointed orange blue""",
    "duck": """
        crown wing    | red plain grey yellow green spotted white brown forked red grey
        belly shape   | white plain black none brown streaked purple green rounded black black
        crest pattern | orange crested yellow red purple plain red grey pointed yellow brown""",
}


def _read(table: dict[str, str]) -> dict[str, tuple[Bird, tuple[str, str]]]:
    found: dict[str, tuple[Bird, tuple[str, str]]] = {}
    for family, rows in table.items():
        for row in rows.strip().splitlines():
            groups, values = (side.split() for side in row.split("|"))
            bird = Bird(family, *values)
            words = [adjective(group, getattr(bird, group)) for group in groups]
            found[" ".join([*words, family])] = (bird, (groups[0], groups[1]))
    return found


_NAMED = {**_read(_SEEN), **_read(_HELD)}
SPECIES: dict[str, Bird] = {name: _NAMED[name][0] for name in _read(_SEEN)}
UNSEEN: dict[str, Bird] = {name: _NAMED[name][0] for name in _read(_HELD)}


def named_traits(name: str) -> dict[str, str]:
    """The family and the two traits that a species' name states."""
    bird, groups = _NAMED[name]
    return {group: getattr(bird, group) for group in ("family", *groups)}


_RESERVED = {family: [tuple((g, v) for g, v in named_traits(n).items() if g != "family")
                      for n, (b, _) in _NAMED.items() if b.family == family] for family in TRAITS["family"]}


def is_reserved(bird: Bird) -> bool:
    """Whether the bird has the family and both named traits of some species."""
    return any(all(getattr(bird, g) == v for g, v in pair) for pair in _RESERVED[bird.family])


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
    """A bird of the species: what the name states holds, other traits may be those of a sibling; it fits no other species' name.

    :param vary: chance of each trait that the name does not state to be a random species' of the same family.
    """
    kind, stated = _NAMED[name][0], named_traits(name)
    siblings = [bird for bird in SPECIES.values() if bird.family == kind.family]
    while True:
        own = {g: getattr(siblings[rng.integers(len(siblings))], g) for g in TRAITS if g not in stated and rng.random() < vary}
        bird = replace(kind, **own)
        if sum(all(getattr(bird, g) == v for g, v in pair) for pair in _RESERVED[bird.family]) == 1:
            return bird


def jitter(name: str, rng: np.random.Generator, amount: float = 1.0) -> Colour:
    """A named colour with a little of its own hue and brightness."""
    tint = 1 + amount * (0.035 * rng.standard_normal(3) + 0.05 * rng.standard_normal())
    return tuple(int(v) for v in np.clip(np.array(COLOURS[name]) * tint, 0, 255))  # type: ignore[return-value]
