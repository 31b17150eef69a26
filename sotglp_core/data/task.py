"""A task: class names, few-shot training images, validation, test, shifted and out-of-distribution images."""

from __future__ import annotations

import difflib
import os
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from ..pocket.traits import SPECIES
from ..pocket.world import SHIFTS
from . import FolderImages, Images, few_shot, folder_splits
from . import embedded as pocket
from .catalogue import CATALOGUE, Dataset, detect
from .folders import class_names, list_images, readable
from .labels import SUFFIXES as LABEL_FILES
from .labels import labelled_splits, read_names
from .official import class_folders
from .splits import read_split

Source = str | Path


@dataclass(frozen=True)
class Task:
    """What a run learns and is judged by."""

    name: str
    class_names: tuple[str, ...]
    train: Images
    val: Images
    test: Images
    ood: Mapping[str, Images]
    shifts: Mapping[str, Images] = field(
        default_factory=dict
    )  # other pictures of the same classes, or of some of them
    template: str | None = None  # the dataset's own prompt, from the catalogue


def load_task(
    source: Source = "pocket",
    *,
    root: Source | None = None,
    shots: int = 16,
    seed: int = 1,
    draw: str = "exact",
    classes: Sequence[str] | None = None,
    ood: Source | Sequence[Source] | None = None,
    ood_exclude: Sequence[str] = (),
    shifts: Source | Sequence[Source] | None = None,
    names: Source | Mapping[str, str] | None = None,
    allow_fewer: bool = False,
    skip_corrupt: bool = False,
) -> Task:
    """The embedded task, a dataset of the catalogue, or a folder of photos.

    Which split a catalogue dataset uses is said on standard error: the community's split file where it is in the dataset's folder,
    else the official split. ``Task.template`` is its prompt for zero-shot classification; learned contexts start from the config's own
    template, as in CoOp.

    :param source: "pocket"; a name of :data:`~sotglp_core.data.catalogue.CATALOGUE` together with ``root``, or the dataset's own
        folder; or a folder with a sub-folder a class, or with train/, val/ and test/ of such; or a CSV or JSON file, see
        :func:`~sotglp_core.data.labels.labelled_splits`.
    :param root: the folder that holds catalogue datasets' folders.
    :param shots: training images of each class, drawn by ``seed``; the rest of the training split stays unused.
    :param draw: "exact" or "proportional", see :func:`~sotglp_core.data.sampling.few_shot`.
    :param classes: class folders to use; None: all. (For "pocket": species names; for catalogue datasets: class names.)
    :param ood: folders of images that belong to no class, or names of the catalogue. A set that shares classes with the task is
        contaminated: nothing finds that out, see ``ood_exclude``.
    :param ood_exclude: sub-folders of the OOD folders to leave out.
    :param shifts: folders with class folders of the same names (or WordNet ids) as the task's, or names of the catalogue; for "pocket",
        names of its domain shifts. Folders of other classes are left out.
    :param names: class folder (or label) -> class name, or a file of that, for photos of one's own.
    :param allow_fewer: take what there is of a class with fewer images than shots.
    :param skip_corrupt: leave out files that can't be read instead of stopping at the first.
    :raises ValueError: saying which folder, class or file is wrong and how to mend it.
    """
    keep = readable if skip_corrupt else (lambda images: images)
    naming = read_names(names) if isinstance(names, str | Path) else names
    pool: Images
    val: Images
    test: Images
    sets: dict[str, Images] = {}
    shifted: dict[str, Images] = {}
    aliases: dict[str, str] = {}
    template, own_names = (
        None,
        "names are for photos of your own; this task has its own class names",
    )
    if str(source) == "pocket":
        if names is not None:
            raise ValueError(own_names)
        known = tuple(classes or SPECIES)
        sizes = {"pool": pocket.POOL, "val": pocket.VAL, "test": pocket.TEST}
        pool, val, test = (
            pocket.species_images(split, n, names=known) for split, n in sizes.items()
        )
        sets = {name: pocket.ood_images(name, pocket.OOD) for name in ("unseen", *pocket.OOD_KINDS)}
        shifted = {
            name: pocket.species_images("test", pocket.TEST, names=known, shift=name)
            for name in _listed(shifts)
            if name in SHIFTS
        }
    else:
        folder, row = _place(source, root)
        row = row or (detect(folder) if os.access(folder, os.X_OK) else None)
        if row is None:
            read = (
                labelled_splits
                if folder.suffix.lower() in LABEL_FILES and not folder.is_dir()
                else folder_splits
            )
            aliases = {_plain(key): name for key, name in (naming or {}).items()}
            known, splits = read(folder, classes=classes, names=naming, skip_corrupt=skip_corrupt)
        else:
            if names is not None:
                raise ValueError(own_names)
            split, template = read_split(row, folder), row.template
            print(
                f"{row.title}: {split.source}: "
                + ", ".join(f"{len(images)} {part}" for part, images in split.images.items()),
                file=sys.stderr,
            )
            aliases = {_plain(key): name for key, name in zip(split.keys, split.class_names)}
            if (
                row.name == "imagenet"
            ):  # ImageNet-V2's first release names its folders by class index
                aliases |= {str(i): name for i, name in enumerate(split.class_names)}
            split = split.only(classes) if classes else split
            known, splits = (
                split.class_names,
                {part: keep(images) for part, images in split.images.items()},
            )
        pool, val, test = splits["train"], splits["val"], splits["test"]
    unused = set(ood_exclude)
    for place in _listed(ood):
        images, excluded = _strangers(place, root, ood_exclude)
        unused -= excluded
        sets[_fresh(place, (*sets, "mean"), "out-of-distribution set")] = keep(images)
    if unused:
        raise ValueError(
            f"no out-of-distribution folder has a sub-folder {sorted(unused)[0]!r} to leave out"
        )
    for place in _listed(shifts):
        if place not in shifted:
            shifted[_fresh(place, shifted, "shift")] = keep(_shift(place, root, known, aliases))
    chosen = few_shot(pool.labels, known, shots, seed, allow_fewer=allow_fewer, draw=draw)
    without = len(known) - len(np.unique(pool.labels[chosen]))
    if without:
        print(
            f"the proportional draw leaves {without} of the {len(known)} classes without a training image",
            file=sys.stderr,
        )
    return Task(
        str(source), known, pool.subset(chosen.tolist()), val, test, sets, shifted, template
    )


def _listed(places: Source | Sequence[Source] | None) -> list[Source]:
    return [places] if isinstance(places, str | Path) else list(places or ())


def _place(source: Source, root: Source | None) -> tuple[Path, Dataset | None]:
    """The folder of a catalogue name below ``root``, with its row; or a folder as it is."""
    row = CATALOGUE.get(str(source))
    if row is None or (root is None and Path(source).is_dir()):
        near = (
            difflib.get_close_matches(str(source), CATALOGUE, 1)
            if root is not None and not Path(source).exists()
            else []
        )
        if near:
            raise ValueError(
                f"{str(source)!r} is neither a folder nor a dataset of the catalogue; did you mean {near[0]!r}?"
            )
        return Path(source), None
    if root is None:
        raise ValueError(
            f"{source} is a dataset of the catalogue; give the folder that holds {row.folder} with --root"
        )
    folder = row.find(root)
    if folder is None:
        raise ValueError(
            f"there is no {Path(root) / row.folder / row.images}; `sotglp data get {row.name} --root {root}` "
            f"gets {row.title}, or says how"
        )
    return folder, row


def _strangers(
    source: Source, root: Source | None, exclude: Sequence[str]
) -> tuple[FolderImages, set[str]]:
    """All images below a folder but those in ``exclude``, labelled -1; and which of ``exclude`` there were."""
    folder, row = _place(source, root)
    folder = folder / row.images if row else folder
    excluded = {name for name in exclude if (folder / name).is_dir()}
    paths = [p for p in list_images(folder) if p.relative_to(folder).parts[0] not in excluded]
    if not paths:
        raise ValueError(
            f"there are no images in {source}; give a folder of photos that belong to no class"
        )
    return FolderImages(paths, [-1] * len(paths)), excluded


def _shift(
    source: Source, root: Source | None, names: Sequence[str], aliases: Mapping[str, str]
) -> FolderImages:
    """The images of those class folders that are classes of the task, too."""
    folder, row = _place(source, root)
    folder = folder / row.images if row else folder
    if not folder.is_dir():
        raise ValueError(
            f"there is no folder {folder} of a shift; give one with class folders of the task's own classes"
        )
    label_of = {_plain(name): i for i, name in enumerate(names)}
    found = class_folders(folder)
    label = {
        name: label_of.get(
            _plain(aliases.get(_plain(name), name)), label_of.get(_plain(_tidy(name)))
        )
        for name in found
    }
    rows = [
        (path, label[name])
        for name in found
        if label[name] is not None
        for path in list_images(folder / name)
    ]
    shared = {label for _, label in rows}
    if len(shared) < 2:
        raise ValueError(
            f"{folder} shares {len(shared)} classes with the task; a shift needs at least 2 of {', '.join(names[:4])} ..."
        )
    print(
        f"shift {source}: {len(rows)} images of {len(shared)} of the {len(names)} classes"
        + (
            f"; {len(found) - len(shared)} other folders are left out"
            if len(found) > len(shared)
            else ""
        ),
        file=sys.stderr,
    )
    return FolderImages(*zip(*rows))


def _fresh(place: Source, taken: Sequence[str] | Mapping[str, Images], kind: str) -> str:
    name = Path(place).name
    if name in taken:
        raise ValueError(f"the folder {place} has the name of another {kind}; rename it")
    return name


def _tidy(folder: str) -> str:
    try:
        return class_names([folder])[0]
    except ValueError:
        return folder


def _plain(name: str) -> str:
    return " ".join(name.replace("_", " ").replace("-", " ").split()).lower()
