"""Flat patterns in two colours."""

import numpy as np
from numpy.random import Generator

from .canvas import SIDE, as_bytes, noise, soft_noise
from .traits import jitter


def draw_texture(rng: Generator, name: str, colour: str, other: str) -> np.ndarray:
    """A (112, 112, 3) uint8 pattern in two named colours."""
    y, x = np.mgrid[:SIDE, :SIDE].astype(np.float32)
    angle, cell = rng.uniform(0, np.pi), rng.uniform(9, 20)
    if name == "wood":
        angle = rng.choice([0, np.pi / 2])
    elif name in ("bricks", "woven"):
        angle = rng.normal(0, 0.04)
    shift = rng.uniform(0, 50, 2)
    u = (x * np.cos(angle) + y * np.sin(angle) + shift[0]) / cell
    v = (y * np.cos(angle) - x * np.sin(angle) + shift[1]) / cell
    soft = soft_noise(rng)
    mix = np.asarray(_mix(name, u, v, soft=soft, rng=rng), np.float32)[..., None]
    first, second = (np.array(jitter(c, rng), float) for c in (colour, other))
    image = second + (first - second) * mix
    return as_bytes(image * (1 + 0.05 * noise(rng) + 0.05 * soft)[..., None])


def _mix(
    name: str, u: np.ndarray, v: np.ndarray, *, soft: np.ndarray, rng: Generator
) -> np.ndarray:
    """How much of the first colour each pixel has, 0 to 1; u and v count cells across and down."""
    match name:
        case "stripes":
            return _crisp(_wave(u))
        case "checks":
            return _odd(u, v)
        case "dots":
            staggered = v + 0.5 * (np.floor(u) % 2)
            return np.clip((0.34 - np.hypot(u % 1 - 0.5, staggered % 1 - 0.5)) * 9 + 0.5, 0, 1)
        case "bricks":
            row = np.floor(v * 1.2)
            along = u * 0.6 + 0.5 * (row % 2)
            brick = (along % 1 > 0.07) & (v * 1.2 % 1 > 0.13)
            return brick * (0.82 + 0.18 * _wave(np.floor(along) * 0.37 + row * 0.61))
        case "wood":
            return 0.3 + 0.7 * _wave(v * 0.7 + 0.5 * soft + 0.08 * noise(rng))
        case "marble":
            return 1 - np.abs(np.sin(u * 0.8 + 1.9 * soft)) ** 0.45
        case "woven":
            over, under = np.sin(np.pi * (v % 1)), np.sin(np.pi * (u % 1))
            return np.where(_odd(u, v), 0.25 + 0.75 * over, 0.45 * under)
        case "zigzag":
            return _crisp(_wave(v + np.abs(u % 1 - 0.5) * 1.4))
        case "waves":
            return _wave(v + 0.35 * np.sin(2 * np.pi * u * 0.5) + 0.1 * soft)
    return _crisp(_wave(np.hypot(u - u.mean(), v - v.mean()) + 0.08 * soft))  # rings


def _odd(u: np.ndarray, v: np.ndarray) -> np.ndarray:
    """1 on the black fields of a chessboard, else 0."""
    return (np.floor(u) + np.floor(v)) % 2


def _wave(t: np.ndarray) -> np.ndarray:
    return 0.5 + 0.5 * np.sin(2 * np.pi * t)


def _crisp(t: np.ndarray) -> np.ndarray:
    return np.clip((t - 0.5) * 6 + 0.5, 0, 1)
