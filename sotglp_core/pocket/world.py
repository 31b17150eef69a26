"""Pictures of the embedded world, with the part of every pixel."""

from collections.abc import Iterable
from typing import NamedTuple

import numpy as np
from numpy.random import Generator
from PIL import Image, ImageFilter

from .birds import draw_bird
from .canvas import SIDE, as_bytes
from .landscapes import LANDSCAPES, draw_landscape
from .scenery import HABITATS, NEON, SCENERY, SCENERY_WORDS, draw_background, draw_room
from .textures import draw_texture
from .things import THINGS, draw_thing
from .traits import COLOURS, PARTS, Bird, random_bird

NAMES = {**THINGS, "scene": LANDSCAPES, "texture": SCENERY_WORDS["textures"]}
KINDS = ("bird", *NAMES)
SHIFTS = ("sketch", "night", "blur", "places")
UNKNOWN = 255


class Picture(NamedTuple):
    """One image, its parts, and the words that are true of it."""

    image: np.ndarray  # (112, 112, 3) uint8
    parts: np.ndarray  # (112, 112) uint8, an index into PARTS
    scenery: np.ndarray  # (112, 112) uint8, an index into SCENERY: what shows or is behind the bird
    kind: str
    words: dict[str, str]


def draw(
    kind: str,
    rng: Generator,
    *,
    bird: Bird | None = None,
    name: str | None = None,
    shift: str | None = None,
) -> Picture:
    """One picture; whatever is not given is drawn at random.

    The same generator state gives the same subject and pose under every shift.

    :param kind: one of KINDS.
    :param bird: of a bird's picture.
    :param name: of any other picture, one of NAMES.
    :param shift: one of SHIFTS.
    :raises ValueError: on an unknown kind or shift.
    """
    if kind not in KINDS or shift not in (None, *SHIFTS):
        raise ValueError(f"no such kind or shift: {kind}, {shift}")
    behind, subject, after = (
        Generator(np.random.PCG64(int(s))) for s in rng.integers(2**62, size=3)
    )
    if kind == "bird":
        bird = bird or random_bird(subject)
        habitat = place = _pick(subject, HABITATS)
        if shift == "places":
            background, place = _draw_place(behind)
        else:
            background = draw_background(behind, habitat)
        image, labels = draw_bird(bird, subject, background, habitat=habitat)
        words = {**bird.traits(), "habitat": place}
    else:
        place = name or _pick(subject, NAMES[kind])
        image, words = _draw_other(kind, place, subject=subject, behind=behind)
        labels = np.zeros((SIDE, SIDE), np.uint8)
    parts = np.where(labels < len(PARTS), labels, 0).astype(np.uint8)
    backdrop = SCENERY.index(place) if place in SCENERY else UNKNOWN
    scenery = np.where(labels < len(PARTS), backdrop, labels - len(PARTS)).astype(np.uint8)
    if shift == "sketch":
        image = _sketch(image, parts, after)
    elif shift == "night":
        image = _night(image, after)
    elif shift == "blur":
        image = _blur(image, after)
    return Picture(image, parts, scenery, kind=kind, words=words)


def _draw_other(
    kind: str, name: str, *, subject: Generator, behind: Generator
) -> tuple[np.ndarray, dict[str, str]]:
    """An image without a bird, and its words."""
    if kind == "scene":
        return draw_landscape(behind, name), {"name": name}
    if kind == "texture":
        colour, other = subject.permutation(list(COLOURS))[:2].tolist()
        look = {"colour": colour, "other": other}
        return draw_texture(behind, name, **look), {"name": name, **look}
    thing = THINGS[kind][name]
    look = {"colour": _pick(subject, COLOURS), "habitat": _pick(subject, thing["habitats"])}
    return draw_thing(behind, thing, **look), {"name": name, **look}


def _draw_place(rng: Generator) -> tuple[np.ndarray, str]:
    """A background no animal lives on, and its name."""
    way = rng.integers(3)
    if way == 0:
        return draw_room(rng), "room"
    if way == 1:
        name, colours = _pick(rng, NAMES["texture"]), rng.permutation(list(COLOURS))
        return draw_texture(rng, name, colour=colours[0], other=colours[1]), name
    flat = NEON[rng.integers(len(NEON))]
    slope = np.linspace(rng.uniform(0.6, 1), 1, SIDE)[:, None, None]
    return np.broadcast_to(flat * slope, (SIDE, SIDE, 3)).astype(np.uint8), "neon"


def _pick(rng: Generator, options: Iterable[str]) -> str:
    names = list(options)
    return names[rng.integers(len(names))]


def _sketch(image: np.ndarray, parts: np.ndarray, rng: Generator) -> np.ndarray:
    """Pencil lines and a thin wash of the image's own colours on paper."""
    grey = Image.fromarray(image).convert("L")
    fine = np.asarray(grey.filter(ImageFilter.GaussianBlur(0.6)), np.float32)
    drop = np.asarray(grey.filter(ImageFilter.GaussianBlur(2.2)), np.float32) - fine
    line = np.clip((np.abs(drop) - 4) * 0.022, 0, 0.85)
    border = np.zeros(parts.shape, bool)
    border[:, 1:] |= parts[:, 1:] != parts[:, :-1]
    border[1:] |= parts[1:] != parts[:-1]
    unmarked = 1 - 0.82 * np.maximum(line, 0.6 * border)[..., None]
    wash = np.where(parts > 0, 0.36, 0.10)[..., None]
    paper = np.array((246, 241, 229)) + rng.normal(0, 3, image.shape[:2])[..., None]
    return as_bytes(paper * (1 - wash) * unmarked + image * wash * unmarked)


def _night(image: np.ndarray, rng: Generator) -> np.ndarray:
    """Moonlight: dim, blue and a little grainy, brighter around one spot."""
    y, x = np.mgrid[:SIDE, :SIDE]
    spot = rng.uniform(25, 87, 2)
    glow = 0.32 + 0.36 * np.exp(-((x - spot[0]) ** 2 + (y - spot[1]) ** 2) / (2 * 34**2))
    faded = 0.45 * image + 0.55 * image.mean(-1, keepdims=True)
    moon = faded * glow[..., None] * np.array((0.72, 0.86, 1.28)) + (4, 7, 16)
    return as_bytes(moon + rng.normal(0, 4, image.shape))


def _blur(image: np.ndarray, rng: Generator) -> np.ndarray:
    soft = Image.fromarray(image).filter(ImageFilter.GaussianBlur(rng.uniform(1.3, 2.2)))
    return as_bytes(np.asarray(soft, float) + rng.normal(0, 14, image.shape))


def part_grid(parts: np.ndarray) -> np.ndarray:
    """(14, 14) uint8: each patch's commonest part where parts cover 40 % of it, else 0."""
    counts = _count(parts, len(PARTS))[..., 1:]
    covered = counts.sum(-1) >= 0.4 * 64
    return np.where(covered, counts.argmax(-1) + 1, 0).astype(np.uint8)


def scenery_grid(picture: Picture) -> np.ndarray:
    """(14, 14) uint8: the commonest scenery of each patch that shows no part, else UNKNOWN."""
    shown = np.where(picture.parts > 0, UNKNOWN, picture.scenery)
    counts = _count(shown, len(SCENERY))
    known = (part_grid(picture.parts) == 0) & counts.any(-1)
    return np.where(known, counts.argmax(-1), UNKNOWN).astype(np.uint8)


def _count(shown: np.ndarray, number: int) -> np.ndarray:
    """(14, 14, number): the pixels of each patch that show each index."""
    cells = shown.reshape(14, 8, 14, 8).swapaxes(1, 2).reshape(14, 14, 64)
    return (cells[..., None] == np.arange(number)).sum(2)
