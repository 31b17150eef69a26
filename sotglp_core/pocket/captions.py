"""English for pictures: the traits that are true of them, in varied grammar."""

import numpy as np

from .foreground import FOREGROUND, perch
from .landscapes import LANDSCAPES
from .scenery import HABITATS
from .textures import TEXTURES
from .traits import TRAITS, adjective
from .world import Picture

GROUPS = tuple(group for group in TRAITS if group != "family")
PLACES = {habitat: look["words"] for habitat, look in HABITATS.items()} | {"room": "in a room"}
PERCHES = {
    "branch": "on a branch",
    "water": "in the water",
    "ground": "on the ground",
    "rock": "on a rock",
}

SCENERY_WORDS = {
    **dict(zip(FOREGROUND, ("a branch", "a rock", "leaves", "grass"))),
    **PLACES,
    **{name: look["words"] for name, look in LANDSCAPES.items()},
    **{name: f"a {adjective} texture" for name, adjective in TEXTURES.items()},
    "neon": "a bright wall",
}


def article(words: str) -> str:
    """The words with "a" or "an" before them."""
    return ("an " if words[0] in "aeiou" else "a ") + words


def phrase(group: str, value: str) -> str:
    """The noun phrase of one trait: ("crown", "red") -> "a bird with a red crown"."""
    if group == "family":
        return article(value)
    detail = _detail(group, value)
    if detail.startswith("no "):
        return f"a bird without {article(detail[3:])}"
    return f"a bird with {detail}"


def caption(picture: Picture, rng: np.random.Generator) -> str:
    """A sentence fragment naming one to five true traits of the picture."""
    text = _bird(picture.words, rng) if picture.kind == "bird" else _other(picture, rng)
    start = rng.random()
    if start < 0.5:
        return "a photo of " + text
    if start < 0.85:
        return text
    return ("a picture of ", "a drawing of ", "a close view of ")[rng.integers(3)] + text


def _detail(group: str, value: str) -> str:
    """What follows "with": ("crown", "red") -> "a red crown"; a missing thing starts with "no"."""
    match group:
        case "crest":
            return "a crest" if value == "crested" else "no crest"
        case "eye":
            return "no eye ring" if value == "none" else f"{article(value)} eye ring"
        case "wing" | "pattern":
            return f"{value} wings"
        case "legs":
            return f"{value} legs"
        case "shape":
            return article(f"{value} tail")
    return article(f"{value} {group}")


def _details(words: dict[str, str], groups: list[str]) -> str:
    """Details of the groups, with the two traits of tail and wings told together."""
    single, merged = list(groups), []
    for colour, form in (("tail", "shape"), ("wing", "pattern")):
        if colour in single and form in single:
            single = [group for group in single if group not in (colour, form)]
            merged.append(_detail(form, f"{words[form]} {words[colour]}"))
    *most, last = [*(_detail(group, words[group]) for group in single), *merged]
    return f"{', '.join(most)} and {last}" if most else last


def _bird(words: dict[str, str], rng: np.random.Generator) -> str:
    count = rng.choice(5, p=(0.14, 0.26, 0.28, 0.2, 0.12)) + 1
    groups = [GROUPS[k] for k in rng.permutation(len(GROUPS))[:count]]
    noun_first = ("pattern" in groups and words["pattern"] == "plain") or rng.random() < 0.3
    before = 0 if noun_first else int(rng.integers(0, min(count, 2) + 1))
    head, tail = groups[:before], groups[before:]
    noun = words["family"] if rng.random() < 0.7 else "bird"
    text = article(" ".join([*(adjective(group, words[group]) for group in head), noun]))
    if tail:
        text += " with " + _details(words, tail)
    if rng.random() < 0.3 and words["habitat"] in PLACES:
        place = PLACES[words["habitat"]]
        spots = [place]
        if words["habitat"] != "room":
            rest = PERCHES[perch(words["family"], words["habitat"])]
            spots += [rest, f"{rest} {place}"]
        text += (", " if tail else " ") + spots[rng.integers(len(spots))]
    return text


def _other(picture: Picture, rng: np.random.Generator) -> str:
    words = picture.words
    name = words["name"]
    if picture.kind == "texture":
        look, colour = f"{TEXTURES[name]} texture", words["colour"]
        forms = (f"{colour} {look}", f"{colour} and {words['other']} {look}", look)
        return article(forms[rng.integers(3)])
    if picture.kind == "scene":
        absence = ("", " with no animal", " without any bird")[rng.integers(3)]
        return LANDSCAPES[name]["words"] + absence
    text = article(f"{words['colour']} {name}" if rng.random() < 0.8 else name)
    place = {"fish": "in a lake", "boat": "on a lake"}.get(name, PLACES[words["habitat"]])
    return f"{text} {place}" if rng.random() < 0.5 else text
