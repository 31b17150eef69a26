"""A supersampled sheet that is painted and labelled in one stroke."""

from functools import cache

import numpy as np
from numpy.random import Generator
from PIL import Image, ImageDraw, ImageFilter

SIDE, FINE = 112, 3

_T = np.arange(6)[:, None] / 6
_BASIS = 0.5 * np.concatenate(
    [-_T + 2 * _T**2 - _T**3, 2 - 5 * _T**2 + 3 * _T**3, _T + 4 * _T**2 - 3 * _T**3, _T**3 - _T**2],
    axis=1,
)


def smooth(points) -> np.ndarray:
    """The closed Catmull-Rom curve through (n, 2) points, six steps a segment."""
    p = np.asarray(points, float)
    return _spline(np.concatenate([p[-1:], p, p[:2]]))


def curve(points) -> np.ndarray:
    """The open Catmull-Rom curve from the first to the last of (n, 2) points."""
    p = np.asarray(points, float)
    return np.concatenate([_spline(np.concatenate([p[:1], p, p[-1:]])), p[-1:]])


def _spline(p: np.ndarray) -> np.ndarray:
    return (_BASIS @ np.stack([p[:-3], p[1:-2], p[2:-1], p[3:]], axis=1)).reshape(-1, 2)


def shade(colour, amount: float) -> tuple[int, ...]:
    """Darker for a negative amount, paler for a positive one, both in [-1, 1]."""
    goal = 255 if amount > 0 else 0
    return tuple(int(c + (goal - c) * abs(amount)) for c in colour)


def direction(angle: float) -> np.ndarray:
    """The unit vector of an angle in radians."""
    return np.array([np.cos(angle), np.sin(angle)])


def across(way: np.ndarray) -> np.ndarray:
    """A direction turned by a right angle."""
    return np.array([-way[1], way[0]])


def turn(points: np.ndarray, angle: float, about=(0.0, 0.0)) -> np.ndarray:
    """(n, 2) points rotated by an angle in radians."""
    c, s = direction(angle)
    return (points - about) @ np.array([[c, s], [-s, c]]) + about


def oval(centre, axes, tilt: float = 0.0, points: int = 36) -> np.ndarray:
    """Points of an ellipse with these half axes."""
    t = np.linspace(0, 2 * np.pi, points, endpoint=False)
    return turn(np.stack([np.cos(t), np.sin(t)], 1) * axes, tilt) + centre


class Canvas:
    """Paint (RGB) and marks (part labels) at FINE times the final size."""

    def __init__(self, background: np.ndarray):
        size = (SIDE * FINE, SIDE * FINE)
        self.paint = Image.fromarray(background).resize(size, Image.Resampling.NEAREST)
        self.marks = Image.new("L", size, 0)
        self._solid, self._glaze = ImageDraw.Draw(self.paint), ImageDraw.Draw(self.paint, "RGBA")
        self._marks = ImageDraw.Draw(self.marks)
        self.place(np.eye(2), np.zeros(2))

    def place(self, matrix: np.ndarray, offset: np.ndarray) -> None:
        """Drawing coordinates x land on the image at x @ matrix + offset (in final pixels)."""
        self.matrix, self.offset = matrix * FINE, offset * FINE
        self.unit = float(np.sqrt(abs(np.linalg.det(self.matrix))))

    def shape(self, points, colour, *, label: int = 0, edge: float = -0.45, width: int = 2) -> None:
        """A filled polygon with a thin edge of its own darker colour."""
        at = self._at(points)
        self._draw("polygon", at, colour, label)
        if edge:
            self._solid.line(at + at[:4], fill=shade(colour, edge), width=width)

    def stroke(self, points, width: float, colour, *, label: int = 0) -> None:
        """A line of a width given in drawing units."""
        thick = max(1, round(width * self.unit))
        self._draw("line", self._at(points), colour, label, width=thick)

    def dot(self, centre, radius: float, colour, *, label: int = 0) -> None:
        x, y = self._at(centre)
        r = radius * self.unit
        self._draw("ellipse", [x - r, y - r, x + r, y + r], colour, label)

    def image(self) -> np.ndarray:
        """(112, 112, 3) uint8."""
        return np.asarray(self.paint.reduce(FINE))

    def labels(self) -> np.ndarray:
        """(112, 112) uint8: the label at the centre of each pixel."""
        return np.ascontiguousarray(np.asarray(self.marks)[FINE // 2 :: FINE, FINE // 2 :: FINE])

    def _draw(self, form: str, at: list[float], colour, label: int, **style) -> None:
        """A form of Pillow's, in its colour on the paint and, if it has a label, on the marks."""
        brush = self._glaze if len(colour) == 4 else self._solid
        getattr(brush, form)(at, fill=colour, **style)
        if label:
            getattr(self._marks, form)(at, fill=label, **style)

    def _at(self, points) -> list[float]:
        return (np.asarray(points, float) @ self.matrix + self.offset).ravel().tolist()


def as_bytes(image: np.ndarray) -> np.ndarray:
    """Clipped to 0 to 255, as uint8."""
    return np.clip(image, 0, 255).astype(np.uint8)


@cache
def _fields(octaves: tuple[int, ...]) -> list[np.ndarray]:
    """Twelve (224, 224) fields of noise, each a sum of grids of so many cells."""
    fields = []
    for rng in map(np.random.default_rng, range(12)):
        total = np.zeros((2 * SIDE, 2 * SIDE), np.float32)
        for weight, cells in enumerate(octaves, 1):
            grid = Image.fromarray(rng.standard_normal((cells, cells)).astype(np.float32))
            total += weight * np.asarray(grid.resize(total.shape, Image.Resampling.BICUBIC))
        fields.append(total / total.std())
    return fields


def noise(rng: Generator, octaves: tuple[int, ...] = (112, 56, 28)) -> np.ndarray:
    """A (112, 112) window of fine noise of unit variance."""
    pick, y, x = rng.integers((12, SIDE, SIDE))
    return _fields(octaves)[pick][y : y + SIDE, x : x + SIDE]


def soft_noise(rng: Generator) -> np.ndarray:
    """As :func:`noise`, but smooth."""
    return noise(rng, (10, 5))


def relief(image: np.ndarray, heights: np.ndarray, rng: Generator) -> np.ndarray:
    """Light an image (112, 112, 3) as if ``heights`` (112, 112) uint8 rose softly from the page.

    The lamp's direction and a fine grain are random.
    """
    light, grain = direction(rng.uniform(-2.4, -0.7)), noise(rng)
    box = Image.fromarray(heights).getbbox()
    if not box:
        return image
    left, top, right, bottom = box
    window = np.s_[max(top - 9, 0) : bottom + 9, max(left - 9, 0) : right + 9]
    inner = heights[window]
    sheet = Image.fromarray(inner)
    near = sheet.filter(ImageFilter.GaussianBlur(1.6))
    wide = sheet.reduce(2).filter(ImageFilter.GaussianBlur(2.5))
    wide = wide.resize(sheet.size, Image.Resampling.BILINEAR)
    hill = 0.075 * np.asarray(wide, np.float32) + 0.012 * np.asarray(near, np.float32)
    slope = np.zeros_like(hill)
    slope[:, 1:-1] += float(light[0]) * (hill[:, 2:] - hill[:, :-2])
    slope[1:-1] += float(light[1]) * (hill[2:] - hill[:-2])
    lit = (np.clip(-0.22 * slope, -0.42, 0.42) + 0.05 * grain[window]) * (inner > 0)
    out = image.copy()
    out[window] = as_bytes(
        image[window] * (1 + lit)[..., None] + 46 * np.maximum(lit, 0)[..., None]
    )
    return out
