"""Backgrounds out of focus: the habitats of birds, and rooms."""

import numpy as np
from numpy.random import Generator
from PIL import Image, ImageDraw, ImageFilter

from .canvas import SIDE, as_bytes, curve, noise, soft_noise
from .tables import load_table

SCENERY_WORDS = load_table("scenery.json")  # by group: what shows behind and before a bird
SCENERY = tuple(name for group in SCENERY_WORDS.values() for name in group)
_TABLE = load_table("backgrounds.json")
# how each habitat is lit and what grows there; "leaves" and "ground" are of what a bird rests on
HABITATS = _TABLE["habitats"]
ROOMS, NEON = np.array(_TABLE["rooms"], float), np.array(_TABLE["neon"], float)
Pen = ImageDraw.ImageDraw


def gradient(stops) -> np.ndarray:
    """(112, 1, 3) colours down the page through stops (height from 0 to 1, colour)."""
    heights, colours = zip(*stops)
    at = np.linspace(0, 1, SIDE)
    channels = [np.interp(at, heights, channel) for channel in zip(*colours)]
    return np.stack(channels, 1)[:, None].astype(np.float32)


def draw_background(rng: Generator, habitat: str) -> np.ndarray:
    """A (112, 112, 3) uint8 habitat out of focus."""
    look = HABITATS[habitat]
    light = look["lights"][rng.integers(len(look["lights"]))]
    tint = (1 + 0.03 * rng.standard_normal(3) + rng.normal(0, 0.06)).astype(np.float32)
    mottled = gradient(light) + look["mottle"] * soft_noise(rng)[..., None]
    page = Image.fromarray(as_bytes(mottled * tint))
    _draw_far(ImageDraw.Draw(page, "RGBA"), rng, habitat)
    blurred = page.reduce(2).filter(ImageFilter.GaussianBlur(rng.uniform(1.1, 2.1)))
    page = blurred.resize(page.size, Image.Resampling.BICUBIC)
    _draw_near(ImageDraw.Draw(page, "RGBA"), rng, habitat)
    return np.asarray(page.filter(ImageFilter.SMOOTH) if look["smooth"] else page)


def _draw_far(pen: Pen, rng: Generator, habitat: str) -> None:
    """What the blur will make soft: trunks, ridges, stems, and blobs of foliage."""
    look = HABITATS[habitat]
    tones = look["foliage"]
    if habitat == "forest":
        for x in rng.uniform(-5, SIDE, rng.integers(2, 6)):
            wide = rng.uniform(3, 12)
            foot = x + wide * 1.2 + rng.normal(0, 4)
            trunk = [x, 0, x + wide, 0, foot, SIDE, x - wide * 0.2, SIDE]
            pen.polygon(trunk, fill=(62, 58, 48, 120))
    for level, high, alpha in look["ridges"]:
        y = SIDE * level - np.abs(rng.normal(high, high * 0.6, 7))
        line = curve(np.stack([np.linspace(0, SIDE, 7), y], 1)).ravel().tolist()
        foot = SIDE * (level + 0.02)
        pen.polygon([*line, SIDE, foot, 0, foot], fill=(*tones[-1], alpha))
    if habitat == "reeds":
        for x in rng.uniform(0, SIDE, 16):
            stem = [x, SIDE, x + rng.normal(0, 9), rng.uniform(0, 50)]
            tone = tones[rng.integers(len(tones))]
            pen.line(stem, fill=(*tone, 190), width=int(rng.integers(2, 5)))
    flat = look["blob_height"]
    low, high = (0, look["blobs_from"], 3, 0), (SIDE, SIDE, 15, 1)
    for x, y, r, _ in rng.uniform(low, high, (look["blobs"], 4)):
        tone = tones[rng.integers(len(tones))]
        wide, tall = r / flat**0.5, r * flat
        pen.ellipse([x - wide, y - tall, x + wide, y + tall], fill=(*tone, 80))


def _draw_near(pen: Pen, rng: Generator, habitat: str) -> None:
    """What stays sharp: spots of light or snowflakes, grass, ripples."""
    look = HABITATS[habitat]
    for spot in look["spots"]:
        for x, y, r in rng.uniform(spot["from"], spot["to"], (spot["number"], 3)):
            pen.ellipse([x - r, y - r, x + r, y + r], fill=tuple(spot["colour"]))
    if habitat == "meadow":
        for x, tall, sway, k in rng.uniform((0, 6, -5, 0), (SIDE, 22, 5, 2), (22, 4)):
            pen.line([x, SIDE, x + sway, SIDE - tall], fill=(*look["foliage"][int(k)], 200))
    if habitat == "lake":
        for x, y, w in rng.uniform((0, 58, 6), (SIDE, SIDE, 30), (9, 3)):
            pen.line([x - w / 2, y, x + w / 2, y], fill=(240, 246, 250, 60))


def draw_room(rng: Generator) -> np.ndarray:
    """A plain indoor background (112, 112, 3): a wall above a table or floor."""
    wall, floor = ROOMS[rng.integers(len(ROOMS))]
    level = rng.uniform(0.58, 0.78)
    stops = [(0, wall * 0.92), (level - 0.02, wall), (level, floor * 0.85), (1, floor * 1.1)]
    glow = np.linspace(rng.uniform(0.86, 1.1), rng.uniform(0.86, 1.1), SIDE)[None, :, None]
    return as_bytes(gradient(stops) * glow + 3 * noise(rng)[..., None])
