"""Birds drawn from a body plan and a dictionary of traits."""

from __future__ import annotations

from functools import cache

import numpy as np

from .bodies import PLANS, Plan
from .canvas import FINE, SIDE, Canvas, relief, shade, smooth, turn
from .foreground import occlude, perch, support
from .scenery import noise
from .traits import PARTS, Bird, jitter

LABEL = {name: index for index, name in enumerate(PARTS)}
ACROSS = np.linspace(0.03, 0.97, 8)
HEIGHT = np.array([0, 205, 218, 218, 185, 235, 205, 160, 120], np.uint8)


@cache
def _arrays(family: str) -> dict[str, np.ndarray]:
    plan = PLANS[family]
    names = ("outline", "cap", "flank", "beak", "upper", "lower", "hips")
    return {name: np.array(getattr(plan, name), float) for name in names}


def _pose(plan: Plan, family: str, rng: np.random.Generator) -> dict[str, np.ndarray]:
    """The plan's point sets with the body tilted, the head turned and the wing lifted."""
    a = dict(_arrays(family))
    tilt, nod, lift = rng.normal(0, 0.09), rng.normal(0, 0.13), max(0.0, rng.normal(0, 0.14))
    pivot = (a["outline"][plan.neck[0]] + a["outline"][plan.neck[1]]) / 2
    loose = np.ones(len(a["outline"]))
    loose[plan.neck[0] + 1 : plan.neck[1]] = 0
    loose[list(plan.neck)] = 0.45
    a["outline"] = a["outline"] + loose[:, None] * (turn(a["outline"], nod, pivot) - a["outline"])
    a["eye"] = np.array([plan.eye[:2]])
    for name in ("cap", "beak", "eye"):
        a[name] = turn(a[name], nod, pivot)
    for name in ("upper", "lower"):
        a[name] = turn(a[name], lift, a["upper"][0])
    a["tail"] = np.array([plan.tail[:2]])
    hip = a["hips"].mean(0)
    for name in ("outline", "cap", "flank", "beak", "eye", "upper", "lower", "tail"):
        a[name] = turn(a[name], tilt, hip)
    angle = plan.tail[2] + tilt + rng.normal(0, 0.06)
    a["along"] = np.array([np.cos(angle), np.sin(angle)])
    return a


def _tail(sheet: Canvas, plan: Plan, a, shape: str, colour) -> None:
    long, w = plan.tail[3:]
    template = {
        "forked": (
            (0, 0.75),
            (0.5, 1.05),
            (1.12, 1.95),
            (1.08, 1.35),
            (0.46, 0),
            (1.08, -1.35),
            (1.12, -1.95),
            (0.5, -1.05),
            (0, -0.75),
        ),
        "rounded": (
            (0, 0.7),
            (0.45, 1.35),
            (0.82, 1.75),
            (1.0, 1.1),
            (1.06, 0),
            (1.0, -1.1),
            (0.82, -1.75),
            (0.45, -1.35),
            (0, -0.7),
        ),
        "pointed": (
            (0, 0.8),
            (0.35, 1.15),
            (0.7, 0.75),
            (1.3, 0),
            (0.7, -0.75),
            (0.35, -1.15),
            (0, -0.8),
        ),
    }[shape]
    t = np.array(template) * (long, w)
    side = np.array([-a["along"][1], a["along"][0]])
    points = a["tail"] + t[:, :1] * a["along"] + t[:, 1:] * side
    sheet.shape(smooth(points) if shape == "rounded" else points, colour, LABEL["tail"])
    line = shade(colour, 0.35 if sum(colour) < 200 else -0.3)
    half = len(points) // 2
    for k in range(1, half):
        for p in (points[k], points[-1 - k]):
            sheet.stroke([a["tail"][0], a["tail"][0] + 0.9 * (p - a["tail"][0])], 0.018, line)


def _legs(sheet: Canvas, plan: Plan, a, colour, rng, far: bool) -> None:
    hip = a["hips"][0 if far else 1]
    foot = np.array([hip[0] + rng.uniform(-0.06, 0.06) + (0.02 if far else 0.06), plan.ground])
    knee = (hip + foot) / 2 + (-0.07 * (plan.ground - hip[1]), 0)
    colour = shade(colour, -0.18) if far else colour
    edge = shade(colour, -0.45)
    ends = [foot + (0.20, 0.03), foot + (0.10, 0.07), foot + (-0.13, 0.03)]
    for width, tone, label in ((plan.leg + 0.035, edge, LABEL["legs"]), (plan.leg, colour, None)):
        sheet.stroke([hip, knee, foot], width, tone, label)
        for end in ends:
            sheet.stroke([foot - (0, 0.01), end], width * 0.72, tone, label)
    if plan.webbed:
        sheet.shape(
            [foot - (0.05, 0.08), foot + (0.30, 0.08), foot + (0.04, 0.12), foot + (-0.16, 0.08)],
            colour,
            LABEL["legs"],
        )


def _wing(sheet: Canvas, a, bird: Bird, colour) -> None:
    top, low = smooth(a["upper"], closed=False), smooth(a["lower"], closed=False)

    def where(u, v) -> np.ndarray:
        """Points u of the way from shoulder to tip and v of the way across."""
        at, v = np.multiply(u, len(top) - 1), np.asarray(v)[..., None]
        k = at.astype(int)
        step = (at - k)[..., None]
        return (1 - v) * (top[k] + step * (top[k + 1] - top[k])) + v * (
            low[k] + step * (low[k + 1] - low[k])
        )

    rim = np.concatenate([top, low[::-1]])
    sheet.shape(rim + (0, 0.06), (20, 16, 24, 70), edge=0)
    sheet.shape(rim, colour, LABEL["wing"], edge=-0.5, width=3)
    line = (*shade(colour, 0.3 if sum(colour) < 200 else -0.45), 150)
    for v in (0.25, 0.5, 0.75):
        sheet.stroke(where((0.55, 0.7, 0.85, 0.98), v), 0.022, line)
    bow = np.sin(np.pi * ACROSS)
    sheet.stroke(where(0.36 + 0.12 * bow, ACROSS), 0.022, line)
    mark = (250, 240, 214) if sum(colour) < 400 else (52, 38, 34)
    if bird.pattern == "barred":
        for u in (0.2, 0.38, 0.56, 0.73):
            sheet.stroke(where(u + 0.07 * bow, ACROSS), 0.072, mark)
    elif bird.pattern == "streaked":
        for k, v in enumerate((0.17, 0.39, 0.61, 0.83)):
            for start, stop in ((0.07, 0.30), (0.36, 0.58), (0.64, 0.86)):
                sheet.stroke(where(np.linspace(start, stop, 4) + 0.03 * (k % 2), v), 0.048, mark)
    elif bird.pattern == "spotted":
        for k, u in enumerate((0.13, 0.27, 0.41, 0.55, 0.69)):
            for v in (0.28, 0.72) if k % 2 else (0.14, 0.5, 0.86):
                sheet.dot(where(u, v), 0.055, mark)


def _head(sheet: Canvas, plan: Plan, a, bird: Bird, tone, rim) -> None:
    first, last = plan.crown
    arc = rim[first * 6 + 2 : last * 6 + 1]
    if bird.crest == "crested":
        for k, (share, size) in enumerate(((0.95, 0.40), (0.80, 0.54), (0.62, 0.58), (0.44, 0.46))):
            root = arc[round(share * (len(arc) - 1))]
            angle = plan.lean - 0.27 * (3 - k)
            way, side = (
                np.array([np.cos(angle), np.sin(angle)]),
                np.array([-np.sin(angle), np.cos(angle)]),
            )
            vane = np.array(
                [
                    (-0.2, -0.13),
                    (0.1, -0.13),
                    (0.3, -0.10),
                    (0.62, -0.10),
                    (1, -0.02),
                    (0.7, 0.06),
                    (0.35, 0.10),
                    (0.1, 0.12),
                    (-0.2, 0.12),
                ]
            )
            vane[:, 1] += 0.14 * vane[:, 0] ** 2
            sheet.shape(
                root + vane[:, :1] * size * way - vane[:, 1:] * side,
                tone["crown"],
                LABEL["crown"],
                edge=-0.35,
            )
    sheet.shape(
        np.concatenate([arc, smooth(a["cap"], closed=False)]),
        tone["crown"],
        LABEL["crown"],
        edge=-0.4,
    )
    beak = smooth(a["beak"])
    sheet.shape(beak, tone["beak"], LABEL["beak"], edge=-0.55)
    n = len(a["beak"])
    tip = a["beak"][3] if n == 6 else a["beak"][n // 2]
    sheet.stroke(
        [(a["beak"][0] + a["beak"][-1]) / 2 + (0.04, 0.02), tip * 0.75 + a["beak"].mean(0) * 0.25],
        0.022,
        shade(tone["beak"], 0.35 if sum(tone["beak"]) < 200 else -0.5),
    )
    at, r = a["eye"][0], plan.eye[2]
    if bird.eye == "none":
        sheet.dot(at, r * 0.74, (24, 20, 24), LABEL["eye"])
    else:
        sheet.dot(at, r * 1.14, (40, 32, 36), LABEL["eye"])
        sheet.dot(at, r, tone["eye"], LABEL["eye"])
        sheet.dot(at, r * 0.58, (18, 15, 20), LABEL["eye"])
    sheet.dot(at + (r * 0.2, -r * 0.22), r * 0.17, (255, 255, 255))


def _body(sheet: Canvas, plan: Plan, a, tone, rng) -> np.ndarray:
    rim = smooth(a["outline"])
    sheet.shape(rim, tone["back"], LABEL["body"], width=3)
    first, last = plan.belly
    sheet.shape(
        np.concatenate([rim[first * 6 : last * 6 + 1], smooth(a["flank"], closed=False)]),
        tone["belly"],
        LABEL["belly"],
        edge=-0.22,
    )
    if sheet.unit < 18 * FINE:
        return rim
    fleck = (*shade(tone["belly"], -0.35), 110)
    edge, inner = rim[first * 6 + 4 : last * 6 - 3], smooth(a["flank"], closed=False)[::-1]
    for u, v in rng.uniform((0.05, 0.15), (0.95, 0.8), (11, 2)):
        p = (1 - v) * edge[int(u * len(edge))] + v * inner[int(u * len(inner))]
        sheet.stroke([p + (-0.05, -0.01), p + (-0.01, 0.03), p + (0.04, 0)], 0.016, fleck)
    return rim


def draw_bird(
    bird: Bird,
    rng: np.random.Generator,
    background: np.ndarray,
    habitat: str = "meadow",
    size: float | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    """The bird over a (112, 112, 3) background: image (112, 112, 3) and parts (112, 112), both uint8."""
    plan, rest = PLANS[bird.family], perch(bird.family, habitat)
    a = _pose(plan, bird.family, rng)
    tip = a["tail"] + plan.tail[3] * 1.2 * a["along"]
    reach = np.concatenate([a["outline"], a["beak"], a["upper"], tip, [[0, plan.ground + 0.1]]])
    low, high = reach.min(0), reach.max(0)
    if bird.crest == "crested":
        low[1] -= 0.42
    side = size or 0.52 + 0.42 * np.sqrt(rng.random())
    unit = side * SIDE / (high - low).max()
    facing = 1 if rng.random() < 0.5 else -1
    span, middle = (high - low) * unit, (high + low) / 2
    room = np.maximum(SIDE - span, 0) / 2
    spot = SIDE / 2 + room * rng.uniform(-0.9, 0.9, 2)
    if rest != "branch":
        spot[1] = SIDE / 2 + room[1] * rng.uniform(0.45, 0.95)
    sheet = Canvas(background)
    matrix = np.diag([facing * unit, unit])
    offset = spot - middle @ matrix
    foot = np.array([0.1, plan.ground + 0.02]) @ matrix + offset
    support(sheet, rest, habitat, foot, unit, rng)
    sheet.place(matrix, offset)

    tone = {
        g: jitter(getattr(bird, g), rng)
        for g in ("crown", "beak", "wing", "belly", "tail", "legs", "back")
    }
    tone["eye"] = jitter(bird.eye, rng) if bird.eye != "none" else (0, 0, 0)
    _legs(sheet, plan, a, tone["legs"], rng, far=True)
    _legs(sheet, plan, a, tone["legs"], rng, far=False)
    _tail(sheet, plan, a, bird.shape, tone["tail"])
    rim = _body(sheet, plan, a, tone, rng)
    _wing(sheet, a, bird, tone["wing"])
    _head(sheet, plan, a, bird, tone, rim)
    sheet.place(np.eye(2), np.zeros(2))
    occlude(sheet, rest, habitat, foot, spot, span, rng)

    parts = sheet.labels()
    angle = rng.uniform(-2.4, -0.7)
    image = relief(
        sheet.image(), HEIGHT[parts], np.array([np.cos(angle), np.sin(angle)]), noise(rng)
    )
    return image, parts
