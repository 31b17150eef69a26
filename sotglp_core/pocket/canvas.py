"""A supersampled sheet that is painted and labelled in one stroke."""

from __future__ import annotations

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

SIDE, FINE = 112, 3

_T = np.arange(6)[:, None] / 6
_BASIS = 0.5 * np.concatenate(
    [-_T + 2 * _T**2 - _T**3, 2 - 5 * _T**2 + 3 * _T**3, _T + 4 * _T**2 - 3 * _T**3, _T**3 - _T**2],
    axis=1,
)


def smooth(points: np.ndarray, closed: bool = True) -> np.ndarray:
    """Catmull-Rom curve through (n, 2) points, six steps a segment."""
    p = np.asarray(points, float)
    p = np.concatenate([p[-1:], p, p[:2]] if closed else [p[:1], p, p[-1:]])
    knots = np.stack([p[:-3], p[1:-2], p[2:-1], p[3:]], axis=1)
    curve = (_BASIS @ knots).reshape(-1, 2)
    return curve if closed else np.concatenate([curve, p[-1:]])


def shade(colour, amount: float) -> tuple[int, int, int]:
    """Darker for a negative amount, paler for a positive one, both in [-1, 1]."""
    goal = 255 if amount > 0 else 0
    return tuple(int(c + (goal - c) * abs(amount)) for c in colour)  # type: ignore[return-value]


def turn(points: np.ndarray, angle: float, about=(0.0, 0.0)) -> np.ndarray:
    """(n, 2) points rotated by an angle in radians."""
    c, s = np.cos(angle), np.sin(angle)
    return (np.asarray(points, float) - about) @ np.array([[c, s], [-s, c]]) + about


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
        """Drawing coordinates x land on the picture at x @ matrix + offset (in final pixels)."""
        self.matrix, self.offset = matrix * FINE, np.asarray(offset) * FINE
        self.unit = float(np.sqrt(abs(np.linalg.det(self.matrix))))

    def _brush(self, colour) -> ImageDraw.ImageDraw:
        return self._glaze if len(colour) == 4 else self._solid

    def _at(self, points) -> list[float]:
        return (np.asarray(points, float) @ self.matrix + self.offset).ravel().tolist()

    def shape(
        self, points, colour, label: int | None = None, edge: float = -0.45, width: int = 2
    ) -> None:
        """A filled polygon with a thin edge of its own darker colour."""
        at = self._at(points)
        self._brush(colour).polygon(at, fill=colour)
        if edge:
            self._solid.line(at + at[:4], fill=shade(colour, edge), width=width)
        if label is not None:
            self._marks.polygon(at, fill=label)

    def stroke(self, points, width: float, colour, label: int | None = None) -> None:
        """A line of a width given in drawing units."""
        at, thick = self._at(points), max(1, round(width * self.unit))
        self._brush(colour).line(at, fill=colour, width=thick)
        if label is not None:
            self._marks.line(at, fill=label, width=thick)

    def dot(self, centre, radius: float, colour, label: int | None = None) -> None:
        x, y = self._at(centre)
        r = radius * self.unit
        box = (x - r, y - r, x + r, y + r)
        self._brush(colour).ellipse(box, fill=colour)
        if label is not None:
            self._marks.ellipse(box, fill=label)

    def image(self) -> np.ndarray:
        """(112, 112, 3) uint8."""
        return np.asarray(self.paint.reduce(FINE))

    def labels(self) -> np.ndarray:
        """(112, 112) uint8: the label at the centre of each pixel."""
        return np.ascontiguousarray(np.asarray(self.marks)[FINE // 2 :: FINE, FINE // 2 :: FINE])


def relief(
    image: np.ndarray, heights: np.ndarray, light: np.ndarray, grain: np.ndarray
) -> np.ndarray:
    """Light an image (112, 112, 3) as if `heights` (112, 112) uint8 rose softly out of the page.

    `light` is the (2,) direction towards the lamp and `grain` (112, 112) a fine unevenness.
    """
    rows, columns = np.flatnonzero(heights.any(1)), np.flatnonzero(heights.any(0))
    if not len(rows):
        return image
    window = np.s_[max(rows[0] - 9, 0) : rows[-1] + 10, max(columns[0] - 9, 0) : columns[-1] + 10]
    inner = heights[window]
    sheet = Image.fromarray(inner)
    wide = (
        sheet.reduce(2)
        .filter(ImageFilter.GaussianBlur(2.5))
        .resize(sheet.size, Image.Resampling.BILINEAR)
    )
    near = sheet.filter(ImageFilter.GaussianBlur(1.6))
    hill = 0.075 * np.asarray(wide, np.float32) + 0.012 * np.asarray(near, np.float32)
    slope = np.zeros_like(hill)
    slope[:, 1:-1] += float(light[0]) * (hill[:, 2:] - hill[:, :-2])
    slope[1:-1] += float(light[1]) * (hill[2:] - hill[:-2])
    lit = (np.clip(-0.22 * slope, -0.42, 0.42) + 0.05 * grain[window]) * (inner > 0)
    out = image.copy()
    shaded = image[window] * (1 + lit)[..., None] + (np.maximum(lit, 0) * 46)[..., None]
    out[window] = np.clip(shaded, 0, 255).astype(np.uint8)
    return out
