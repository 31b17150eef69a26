"""Pictures of the pocket world with the part label of every pixel."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from PIL import Image, ImageFilter

from .birds import draw_bird
from .canvas import SIDE
from .scenery import (
    HABITATS,
    SCENES,
    TEXTURES,
    draw_background,
    draw_room,
    draw_scene,
    draw_texture,
)
from .things import CREATURES, OBJECTS, OUTDOORS, draw_thing
from .traits import COLOURS, PARTS, Bird, random_bird

KINDS = ("bird", "creature", "object", "scene", "texture")
SHIFTS = ("sketch", "night", "blur", "places")
NAMES = {"creature": CREATURES, "object": OBJECTS, "scene": SCENES, "texture": TEXTURES}


class Picture(NamedTuple):
    """One image, its parts, and the words that are true of it."""

    image: np.ndarray
    parts: np.ndarray
    kind: str
    words: dict[str, str]


def _pick(rng: np.random.Generator, options) -> str:
    return options[rng.integers(len(options))]


def _sketch(image: np.ndarray, parts: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Pencil lines and a thin wash of the picture's own colours on paper."""
    grey = Image.fromarray(image).convert("L")
    fine = np.asarray(grey.filter(ImageFilter.GaussianBlur(0.6)), np.float32)
    drop = np.asarray(grey.filter(ImageFilter.GaussianBlur(2.2)), np.float32) - fine
    line = np.clip((np.abs(drop) - 4) * 0.022, 0, 0.85)
    step = np.zeros(parts.shape, bool)
    step[:, 1:] |= parts[:, 1:] != parts[:, :-1]
    step[1:] |= parts[1:] != parts[:-1]
    line = np.maximum(line, 0.6 * step)
    wash = np.where(parts > 0, 0.36, 0.10)[..., None]
    paper = np.array((246, 241, 229)) + rng.normal(0, 3, image.shape[:2])[..., None]
    return paper * (1 - wash) * (1 - 0.82 * line[..., None]) + image * wash * (
        1 - 0.82 * line[..., None]
    )


def _night(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Moonlight: dim, blue and a little grainy, brighter around one spot."""
    y, x = np.mgrid[:SIDE, :SIDE]
    spot = rng.uniform(25, 87, 2)
    glow = 0.32 + 0.36 * np.exp(-((x - spot[0]) ** 2 + (y - spot[1]) ** 2) / (2 * 34**2))
    grey = image.mean(-1, keepdims=True)
    moon = (0.45 * image + 0.55 * grey) * glow[..., None] * np.array((0.72, 0.86, 1.28)) + (
        4,
        7,
        16,
    )
    return moon + rng.normal(0, 4, image.shape)


def _blur(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    soft = Image.fromarray(image).filter(ImageFilter.GaussianBlur(rng.uniform(1.3, 2.2)))
    return np.asarray(soft, float) + rng.normal(0, 14, image.shape)


def _place(rng: np.random.Generator) -> tuple[np.ndarray, str]:
    """A background no animal lives on, and its name."""
    way = rng.integers(3)
    if way == 0:
        return draw_room(rng), "room"
    if way == 1:
        name, colours = _pick(rng, TEXTURES), rng.permutation(list(COLOURS))
        return draw_texture(rng, name, *colours[:2]), name
    flat = np.array(
        [(255, 0, 140), (0, 220, 255), (120, 255, 0), (255, 90, 0), (150, 0, 255), (255, 240, 0)][
            rng.integers(6)
        ],
        float,
    )
    slope = np.linspace(rng.uniform(0.6, 1), 1, SIDE)[:, None, None]
    return np.broadcast_to(flat * slope, (SIDE, SIDE, 3)).astype(np.uint8), "neon"


def _shifted(
    image: np.ndarray, parts: np.ndarray, shift: str | None, rng: np.random.Generator
) -> np.ndarray:
    if shift not in ("sketch", "night", "blur"):
        return image
    out = (
        _sketch(image, parts, rng)
        if shift == "sketch"
        else {"night": _night, "blur": _blur}[shift](image, rng)
    )
    return np.clip(out, 0, 255).astype(np.uint8)


def draw(
    kind: str,
    rng: np.random.Generator,
    *,
    bird: Bird | None = None,
    name: str | None = None,
    shift: str | None = None,
) -> Picture:
    """One picture; whatever is not given is drawn at random.

    The same generator state gives the same subject and pose under every `shift`.
    """
    if kind not in KINDS or shift not in (None, *SHIFTS):
        raise ValueError(f"no such kind or shift: {kind}, {shift}")
    behind, subject, after = (
        np.random.Generator(np.random.PCG64(int(s))) for s in rng.integers(2**62, size=3)
    )
    parts = np.zeros((SIDE, SIDE), np.uint8)
    if kind == "bird":
        bird = bird or random_bird(subject)
        habitat = place = _pick(subject, HABITATS)
        if shift == "places":
            scenery, place = _place(behind)
        else:
            scenery = draw_background(behind, habitat)
        image, parts = draw_bird(bird, subject, scenery, habitat)
        return Picture(
            _shifted(image, parts, shift, after), parts, kind, {**bird.traits(), "habitat": place}
        )

    name = name or _pick(subject, NAMES[kind])
    words = {"name": name}
    if kind == "texture":
        first, second = subject.permutation(list(COLOURS))[:2].tolist()
        words |= {"colour": first, "other": second}
        image = draw_texture(behind, name, first, second)
    elif kind == "scene":
        image = draw_scene(behind, name)
    else:
        indoors = kind == "object" and name not in OUTDOORS
        words["colour"] = _pick(subject, list(COLOURS))
        words["habitat"] = (
            "room"
            if indoors
            else OUTDOORS.get(name) or _pick(subject, ("meadow", "forest", "reeds", "desert"))
        )
        image = draw_thing(behind, name, words["colour"], words["habitat"])
    return Picture(_shifted(image, parts, shift, after), parts, kind, words)


def part_grid(parts: np.ndarray, grid: int = 14, share: float = 0.4) -> np.ndarray:
    """(grid, grid) uint8: each cell's commonest part where parts cover at least `share` of it, else 0."""
    cell = parts.shape[0] // grid
    cells = parts.reshape(grid, cell, grid, cell).swapaxes(1, 2).reshape(grid, grid, cell * cell)
    counts = (cells[..., None] == np.arange(len(PARTS))).sum(2)
    covered = counts[..., 1:].sum(-1) >= share * cell * cell
    return np.where(covered, counts[..., 1:].argmax(-1) + 1, 0).astype(np.uint8)
