"""Few-shot draws."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

DRAWS = ("exact", "proportional")


def few_shot(
    labels: np.ndarray,
    class_names: Sequence[str],
    shots: int,
    seed: int,
    *,
    allow_fewer: bool = False,
    draw: str = "exact",
) -> np.ndarray:
    """Indices of the few training images, drawn by seed.

    "exact" takes ``shots`` images of each class: the CoOp protocol. "proportional" takes shots * classes images in all, from every class in
    proportion to its size: what the released code of SOT-GLP draws (scikit-learn's StratifiedShuffleSplit); small classes may get none.

    :param labels: (n,) class indices.
    :param shots: images of each class, or on average of each class; at least 1.
    :param allow_fewer: take what there is where there are fewer.
    :param draw: "exact" or "proportional".
    :return: indices, grouped by class; (classes * shots,) of them unless there are fewer.
    :raises ValueError: naming a class that has fewer images, or none; on another draw.
    """
    if shots < 1:
        raise ValueError(f"shots is {shots}; give at least 1")
    if draw not in DRAWS:
        raise ValueError(f"draw is {draw!r}; choose {' or '.join(DRAWS)}")
    rng = np.random.default_rng(seed)
    own = [rng.permutation(np.flatnonzero(labels == c)) for c in range(len(class_names))]
    sizes = np.array([len(o) for o in own])
    if (sizes == 0).any():
        raise ValueError(
            f"class {class_names[int(sizes.argmin())]!r} has no image to train on; add photos or remove its folder"
        )
    if draw == "proportional":
        wanted = _proportional(sizes, shots, allow_fewer)
    else:
        wanted = np.full(len(own), shots)
        short = np.flatnonzero(sizes < shots)
        if len(short) and not allow_fewer:
            first = short[0]
            raise ValueError(
                f"class {class_names[first]!r} has {sizes[first]} images to train on (test and validation images are set "
                f"aside), fewer than {shots} shots; add photos, lower --shots, or pass --allow-fewer"
            )
    return np.concatenate([o[:n] for o, n in zip(own, wanted)])


def _proportional(sizes: np.ndarray, shots: int, allow_fewer: bool) -> np.ndarray:
    """shots * classes shared out in proportion to the sizes; the largest remainders are rounded up."""
    total = shots * len(sizes)
    if total > sizes.sum():
        if not allow_fewer:
            raise ValueError(
                f"there are {sizes.sum()} images to train on, fewer than {shots} shots times {len(sizes)} classes; "
                "add photos, lower --shots, or pass --allow-fewer"
            )
        return sizes
    exact = total * sizes / sizes.sum()
    wanted = np.floor(exact).astype(int)
    wanted[np.argsort(wanted - exact, kind="stable")[: total - wanted.sum()]] += 1
    return wanted
