"""The bodies of the four families of birds (``bodies.json``)."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from .tables import load_table


@dataclass(frozen=True)
class Body:
    """A bird in profile facing right, y down, the body about one unit high; points are (n, 2)."""

    outline: np.ndarray  # upper beak base, crown, back, vent, breast, lower beak base
    crown: tuple[int, int]  # the stretch of the outline, by point number, that the cap closes
    cap: np.ndarray
    belly: tuple[int, int]  # the stretch that the flank closes
    flank: np.ndarray
    neck: tuple[int, int]  # where head and body meet, on the back and on the breast
    beak: np.ndarray
    eye: np.ndarray  # (1, 2)
    eye_radius: float
    upper: np.ndarray  # edges of the wing, from shoulder to tip
    lower: np.ndarray
    tail: np.ndarray  # (1, 2), its root
    tail_angle: float
    tail_length: float
    tail_width: float
    hips: np.ndarray  # (2, 2), far and near
    ground: float  # how far down the feet stand
    leg: float  # width
    webbed: bool
    lean: float  # angle of the crest


def _body(row: dict[str, Any]) -> Body:
    points: dict[str, Any] = {name: np.array(value, float) for name, value in row["points"].items()}
    del row["points"]
    return Body(**row, **points)


_BIRDS = load_table("bodies.json")
BODIES = {family: _body(row) for family, row in _BIRDS["families"].items()}
TAILS = {shape: np.array(points) for shape, points in _BIRDS["tails"].items()}
FEATHER = np.array(_BIRDS["crest feather"])
