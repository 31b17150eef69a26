"""English for pictures: the traits that are true of them, in varied grammar."""

from __future__ import annotations

import numpy as np

from .foreground import perch
from .traits import TRAITS, adjective
from .world import Picture

__all__ = ["adjective", "article", "caption", "phrase"]

GROUPS = tuple(group for group in TRAITS if group != "family")
PLACES = {
    "meadow": "in a meadow",
    "forest": "in a forest",
    "lake": "by a lake",
    "sky": "under an open sky",
    "snow": "in the snow",
    "desert": "in the desert",
    "reeds": "among reeds",
    "room": "in a room",
}
PERCHES = {
    "branch": "on a branch",
    "water": "in the water",
    "ground": "on the ground",
    "rock": "on a rock",
}
SCENE_WORDS = {
    "mountains": "a mountain landscape",
    "woods": "a forest of pines",
    "lakeside": "a mountain lake",
    "beach": "a sandy beach",
    "hills": "green hills",
    "dunes": "desert dunes",
    "flowers": "a field of flowers",
    "sunset": "a sunset over water",
    "waterfall": "a waterfall",
}
TEXTURE_WORDS = {
    "stripes": "striped",
    "checks": "checkered",
    "dots": "dotted",
    "bricks": "brick",
    "wood": "wooden",
    "marble": "marble",
    "woven": "woven",
    "zigzag": "zigzag",
    "waves": "wavy",
    "rings": "ringed",
}


def article(words: str) -> str:
    """The words with "a" or "an" before them."""
    return ("an " if words[0] in "aeiou" else "a ") + words


def _detail(group: str, value: str) -> str:
    """What follows "with": ("crown", "red") -> "a red crown"; a missing thing starts with "no"."""
    if group == "crest":
        return "a crest" if value == "crested" else "no crest"
    if group == "eye":
        return "no eye ring" if value == "none" else f"{article(value)} eye ring"
    if group in ("wing", "pattern"):
        return f"{value} wings"
    if group == "legs":
        return f"{value} legs"
    return article(f"{value} {'tail' if group == 'shape' else group}")


def phrase(group: str, value: str) -> str:
    """The noun phrase of one trait: ("crown", "red") -> "a bird with a red crown"."""
    if group == "family":
        return article(value)
    detail = _detail(group, value)
    return (
        f"a bird without {article(detail[3:])}"
        if detail.startswith("no ")
        else f"a bird with {detail}"
    )


def _listed(items: list[str]) -> str:
    return items[0] if len(items) == 1 else ", ".join(items[:-1]) + " and " + items[-1]


def _merged(words: dict[str, str], groups: list[str]) -> list[str]:
    """Details of the groups, with the two traits of one part told together."""
    details, left = [], list(groups)
    for colour, form, part in (("tail", "shape", "tail"), ("wing", "pattern", "wings")):
        if colour in left and form in left:
            left = [g for g in left if g not in (colour, form)]
            both = f"{words[form]} {words[colour]} {part}"
            details.append(article(both) if part == "tail" else both)
    return [_detail(g, words[g]) for g in left] + details


def _bird(words: dict[str, str], rng: np.random.Generator) -> str:
    count = rng.choice(5, p=(0.14, 0.26, 0.28, 0.2, 0.12)) + 1
    groups = [GROUPS[k] for k in rng.permutation(len(GROUPS))[:count]]
    noun_first = ("pattern" in groups and words["pattern"] == "plain") or rng.random() < 0.3
    before = 0 if noun_first else int(rng.integers(0, min(count, 2) + 1))
    head, tail = groups[:before], groups[before:]
    noun = words["family"] if rng.random() < 0.7 else "bird"
    text = article(" ".join([*(adjective(g, words[g]) for g in head), noun]))
    if tail:
        text += " with " + _listed(_merged(words, tail))
    if rng.random() < 0.3 and words["habitat"] in PLACES:
        rest = perch(words["family"], words["habitat"])
        spots = [PLACES[words["habitat"]]]
        if words["habitat"] != "room":
            spots += [PERCHES[rest], f"{PERCHES[rest]} {PLACES[words['habitat']]}"]
        text += (", " if tail else " ") + spots[rng.integers(len(spots))]
    return text


def _other(picture: Picture, rng: np.random.Generator) -> str:
    words = picture.words
    name = words["name"]
    if picture.kind == "texture":
        look = f"{TEXTURE_WORDS[name]} texture"
        plain, both = (
            article(f"{words['colour']} {look}"),
            article(f"{words['colour']} and {words['other']} {look}"),
        )
        return (plain, both, article(look))[rng.integers(3)]
    if picture.kind == "scene":
        return SCENE_WORDS[name] + ("", " with no animal", " without any bird")[rng.integers(3)]
    text = article(f"{words['colour']} {name}" if rng.random() < 0.8 else name)
    place = {"fish": "in a lake", "boat": "on a lake"}.get(name, PLACES[words["habitat"]])
    return text + (f" {place}" if rng.random() < 0.5 else "")


def caption(picture: Picture, rng: np.random.Generator) -> str:
    """A sentence fragment naming one to five true traits of the picture."""
    text = _bird(picture.words, rng) if picture.kind == "bird" else _other(picture, rng)
    start = rng.random()
    if start < 0.5:
        return "a photo of " + text
    return (
        text
        if start < 0.85
        else ("a picture of ", "a drawing of ", "a close view of ")[rng.integers(3)] + text
    )
