"""Draws: few training images of each class, and parts of a source that has none."""

import hashlib
import random
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from .images import Images

DRAWS = ("exact", "coop", "stratified")


def few_shot(
    labels: np.ndarray,
    class_names: Sequence[str],
    shots: int | None,
    seed: int,
    *,
    allow_fewer: bool = False,
    draw: str = "exact",
) -> np.ndarray:
    """Indices of the few training images, drawn by seed.

    "exact" takes ``shots`` images of each class. "coop" does so, too, and takes the very images of
    CoOp's code, for its seeds 1, 2 and 3 those of the literature. "stratified" takes
    shots * classes images in all, of every class in proportion to its size, as the released code of
    SOT-GLP and GalLoP does (scikit-learn's StratifiedShuffleSplit); small classes may get none.

    :param labels: (n,) class indices, in the order of the split.
    :param shots: images of each class, or on average of each class; None: all images.
    :param allow_fewer: take what there is where there are fewer.
    :return: (classes * shots,) indices, unless there are fewer images.
    :raises ValueError: naming a class that has fewer images, or none; on another draw.
    """
    if draw not in DRAWS or (shots is not None and shots < 1):
        raise ValueError(
            f"shots is {shots} and draw {draw!r}; give at least 1 of {', '.join(DRAWS)}"
        )
    by_class = [np.flatnonzero(labels == label).tolist() for label in range(len(class_names))]
    fewest, name = min(zip(map(len, by_class), class_names))
    wanted = shots if shots and not allow_fewer and draw != "stratified" else 1
    if fewest < wanted:
        raise ValueError(
            f"class {name!r} has {fewest} images to train on (test and "
            f"validation images are set aside), fewer than {wanted} shots; add photos, ask for "
            "fewer shots, or allow fewer"
        )
    total = len(labels) if shots is None else shots * len(by_class)
    if shots is None or (draw == "stratified" and allow_fewer and total >= len(labels)):
        return np.arange(len(labels))
    if draw == "stratified":
        from sklearn.model_selection import StratifiedShuffleSplit

        split = StratifiedShuffleSplit(1, train_size=total, random_state=seed)
        return next(split.split(labels, labels))[0]
    if draw == "coop":
        generator = random.Random(seed)
        pools = [by_class[label] for label in dict.fromkeys(labels.tolist())]
        few = [generator.sample(pool, shots) if len(pool) >= shots else pool for pool in pools]
    else:
        rng = np.random.default_rng(seed)
        few = [rng.permutation(indices)[:shots].tolist() for indices in by_class]
    return np.concatenate(few)


def draw_parts(images: Images) -> dict[str, Images]:
    """A fixed draw of 30 % of each class's images to test, 20 % to validation, the rest to train.

    A class's files are taken in the order of a digest of their names, so that a new photo or class
    moves few others.
    """
    digests = [
        hashlib.sha256(Path(name).name.encode(errors="replace")).digest() for name in images.names
    ]
    parts: dict[str, list[int]] = {"test": [], "val": [], "train": []}
    for label in np.unique(images.labels):
        indices = sorted(np.flatnonzero(images.labels == label), key=digests.__getitem__)
        test = max(1, int(0.3 * len(indices)))
        ends = test, test + int(0.2 * len(indices))
        for part, few in zip(parts, np.split(indices, ends)):
            parts[part] += sorted(few)
    return {part: images.subset(indices) for part, indices in parts.items()}
