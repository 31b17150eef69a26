"""English for pictures: the traits that are true of them, in varied grammar."""

import re

from numpy.random import Generator

from .scenery import HABITATS, SCENERY_WORDS
from .traits import GROUPS, TRAITS
from .world import Picture

TOLD = tuple(group for group in TRAITS if group != "family")
PLACES = SCENERY_WORDS["places"]
PERCHES = {
    "branch": "on a branch",
    "water": "in the water",
    "ground": "on the ground",
    "rock": "on a rock",
}


def adjective(group: str, value: str) -> str:
    """The field-guide adjective of one trait: ("crown", "red") -> "red-crowned"."""
    return _tell("adjective", group, value)


def phrase(group: str, value: str) -> str:
    """The noun phrase of one trait: ("crown", "red") -> "a bird with a red crown"."""
    if group == "family":
        return f"a {value}"
    detail = _tell("detail", group, value)
    return _with_an(f"a bird with {detail}".replace("with no ", "without a "))


def caption(picture: Picture, rng: Generator) -> str:
    """A sentence fragment naming one to five true traits of the picture."""
    text = _bird(picture.words, rng) if picture.kind == "bird" else _other(picture, rng)
    start = rng.random()
    if start < 0.5:
        text = "a photo of " + text
    elif start >= 0.85:
        text = ("a picture of ", "a drawing of ", "a close view of ")[rng.integers(3)] + text
    return _with_an(text)


def _tell(form: str, group: str, value: str) -> str:
    """A trait as an "adjective", or as the "detail" after "with": "a red crown", "no crest"."""
    words = GROUPS[group][form]
    return (words.get(value) or words["other"]).format(value)


def _with_an(text: str) -> str:
    """The text with "an" for "a" before a vowel."""
    return re.sub(r"\ba (?=[aeiou])", "an ", text)


def _details(words: dict[str, str], groups: list[str]) -> str:
    """Details of the groups, with the two traits of tail and wings told together."""
    single, merged = list(groups), []
    for colour, form in (("tail", "shape"), ("wing", "pattern")):
        if colour in single and form in single:
            single = [group for group in single if group not in (colour, form)]
            merged.append(_tell("detail", form, f"{words[form]} {words[colour]}"))
    *most, last = [*(_tell("detail", group, words[group]) for group in single), *merged]
    return f"{', '.join(most)} and {last}" if most else last


def _bird(words: dict[str, str], rng: Generator) -> str:
    count = rng.choice(5, p=(0.14, 0.26, 0.28, 0.2, 0.12)) + 1
    groups = [TOLD[k] for k in rng.permutation(len(TOLD))[:count]]
    noun_first = ("pattern" in groups and words["pattern"] == "plain") or rng.random() < 0.3
    before = 0 if noun_first else int(rng.integers(0, min(count, 2) + 1))
    head, tail = groups[:before], groups[before:]
    noun = words["family"] if rng.random() < 0.7 else "bird"
    text = " ".join(["a", *(adjective(group, words[group]) for group in head), noun])
    if tail:
        text += " with " + _details(words, tail)
    if rng.random() < 0.3 and words["habitat"] in PLACES:
        place = PLACES[words["habitat"]]
        spots = [place]
        if words["habitat"] != "room":
            rest = PERCHES[HABITATS[words["habitat"]]["perch"][words["family"]]]
            spots += [rest, f"{rest} {place}"]
        text += (", " if tail else " ") + spots[rng.integers(len(spots))]
    return text


def _other(picture: Picture, rng: Generator) -> str:
    words = picture.words
    name = words["name"]
    if picture.kind == "texture":
        look = SCENERY_WORDS["textures"][name].removeprefix("a ")
        colours = ("{colour} ", "{colour} and {other} ", "")[rng.integers(3)].format(**words)
        return f"a {colours}{look}"
    if picture.kind == "scene":
        absence = ("", " with no animal", " without any bird")[rng.integers(3)]
        return SCENERY_WORDS["landscapes"][name] + absence
    text = f"a {words['colour']} {name}" if rng.random() < 0.8 else f"a {name}"
    place = {"fish": "in a lake", "boat": "on a lake"}.get(name, PLACES[words["habitat"]])
    return f"{text} {place}" if rng.random() < 0.5 else text
