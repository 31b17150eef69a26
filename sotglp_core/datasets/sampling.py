"""Few-shot draws."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np


def few_shot(labels: np.ndarray, class_names: Sequence[str], shots: int, seed: int, *, allow_fewer: bool = False) -> np.ndarray:
    """Indices of exactly ``shots`` images of each class, drawn by seed: the CoOp protocol.

    :param labels: (n,) class indices.
    :param shots: images of each class, at least 1.
    :param allow_fewer: take what there is of a class with fewer.
    :return: (classes * shots,) indices, grouped by class.
    :raises ValueError: naming a class that has fewer images, or none.
    """
    if shots < 1:
        raise ValueError(f"shots is {shots}; give at least 1")
    rng, chosen = np.random.default_rng(seed), []
    for c, name in enumerate(class_names):
        own = rng.permutation(np.flatnonzero(labels == c))
        if len(own) == 0:
            raise ValueError(f"class {name!r} has no image to train on; add photos or remove its folder")
        if len(own) < shots and not allow_fewer:
            raise ValueError(f"class {name!r} has {len(own)} images to train on (test and validation images are set aside), "
                             f"fewer than {shots} shots; add photos, lower --shots, or pass --allow-fewer")
        chosen.append(own[:shots])
    return np.concatenate(chosen)
