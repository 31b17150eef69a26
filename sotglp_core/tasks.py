"""A task: class names, few-shot training images, validation, test and out-of-distribution images."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from .datasets import FolderImages, Images, few_shot, folder_splits
from .datasets.folders import list_images, readable
from .pocket import tasks as pocket
from .pocket.traits import SPECIES


@dataclass(frozen=True)
class Task:
    """What a run learns and is judged by."""

    name: str
    class_names: tuple[str, ...]
    train: Images
    val: Images
    test: Images
    ood: Mapping[str, Images]


def load_task(source: str | Path = "pocket", *, shots: int = 16, seed: int = 1, classes: Sequence[str] | None = None,
              ood: str | Path | None = None, allow_fewer: bool = False, skip_corrupt: bool = False) -> Task:
    """The embedded task, or a folder of photos.

    :param source: "pocket", or a folder with a sub-folder a class, or with train/, val/ and test/ of such.
    :param shots: training images of each class, drawn by ``seed``; the rest of the training split stays unused.
    :param classes: class folders to use; None: all. (For "pocket": species names.)
    :param ood: a folder of images that belong to no class.
    :param allow_fewer: take what there is of a class with fewer images than shots.
    :param skip_corrupt: leave out files that can't be read instead of stopping at the first.
    :raises ValueError: saying which folder, class or file is wrong and how to mend it.
    """
    if str(source) == "pocket":
        names = tuple(classes or SPECIES)
        sizes = {"pool": pocket.POOL, "val": pocket.VAL, "test": pocket.TEST}
        pool, val, test = (pocket.species_images(split, n, names=names) for split, n in sizes.items())
        sets = {name: pocket.ood_images(name, pocket.OOD) for name in ("unseen", *pocket.OOD_KINDS)}
    else:
        names, splits = folder_splits(source, classes=classes, skip_corrupt=skip_corrupt)
        pool, val, test = splits["train"], splits["val"], splits["test"]
        sets = {}
    if ood is not None:
        paths = list_images(ood)
        if not paths:
            raise ValueError(f"there are no images in {ood}; give a folder of photos that belong to no class")
        if Path(ood).name in (*sets, "mean"):
            raise ValueError(f"the folder {ood} has the name of another out-of-distribution set; rename it")
        strangers = FolderImages(paths, [-1] * len(paths))
        sets[Path(ood).name] = readable(strangers) if skip_corrupt else strangers
    train = pool.subset(few_shot(pool.labels, names, shots, seed, allow_fewer=allow_fewer))
    return Task(str(source), names, train, val, test, sets)
