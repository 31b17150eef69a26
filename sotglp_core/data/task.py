"""A task: class names; training, validation and test images; shifted and OOD sets."""

from __future__ import annotations

import os
from collections.abc import Container, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from ..messages import did_you_mean, note, printable, progress_bar
from ..pocket.traits import SPECIES
from ..pocket.world import SHIFTS
from . import embedded as pocket
from .catalogue import CATALOGUE, Dataset, detect, read_split
from .folders import PARTS, Listing, list_images, read_folder
from .images import FolderImages, Images, read_image
from .labels import LISTS, read_list, read_names
from .names import chosen_keys, composed, plain_words, same
from .names import class_names as name_classes
from .sampling import draw_parts, few_shot

Source = str | Path
Sources = Source | Sequence[Source] | None
Names = Source | Mapping[str, str] | None


@dataclass(frozen=True)
class Task:
    """What a run learns from and is evaluated on."""

    name: str
    class_names: tuple[str, ...]
    train: Images
    val: Images
    test: Images
    ood: Mapping[str, Images]
    shifts: Mapping[str, Images] = field(default_factory=dict)  # more test sets, of some classes
    template: str | None = None  # the dataset's own prompt, from the catalogue


def load_task(
    source: Source = "pocket",
    *,
    root: Source | None = None,
    shots: int | None = 16,
    seed: int = 1,
    draw: str = "exact",
    classes: Sequence[str] | None = None,
    ood: Sources = None,
    ood_exclude: Sequence[str] = (),
    shifts: Sources = None,
    names: Names = None,
    allow_fewer: bool = False,
    skip_corrupt: bool = False,
) -> Task:
    """The embedded task, a dataset of the catalogue, or photos of one's own.

    ``Task.template`` is a dataset's prompt for zero-shot classification; learned contexts start
    from the config's own template, as in CoOp.

    :param source: "pocket"; a name of :data:`~sotglp_core.data.catalogue.CATALOGUE` together with
        ``root``, or the dataset's own folder; a folder, see
        :func:`~sotglp_core.data.folders.read_folder`; or a CSV or JSON file, see
        :func:`~sotglp_core.data.labels.read_list`.
    :param root: the folder that holds the catalogue's datasets.
    :param shots: training images of each class, drawn by ``seed``; None: all.
    :param draw: "exact", "coop" or "stratified", see :func:`~sotglp_core.data.sampling.few_shot`.
    :param classes: the classes to use, by folder, label or name; None: all.
    :param ood: folders of images that belong to no class, or names of the catalogue.
    :param ood_exclude: sub-folders of the OOD folders to leave out.
    :param shifts: more test sets, each a source as in :func:`load_test_task`; for "pocket" also
        names of its domain shifts.
    :param names: class folder (or label) -> class name, or a file of that, for one's own photos.
    :param allow_fewer: take what there is of a class with fewer images than shots.
    :param skip_corrupt: leave out files that can't be read instead of stopping at the first.
    :raises ValueError: saying which folder, class or file is wrong and how to mend it.
    """
    parts: Mapping[str, Images]
    listing, template = _listing(source, root, names, skip_corrupt)
    if listing is None:
        class_names = tuple(classes or SPECIES)
        parts = _pocket_parts(class_names)
    else:
        keys = listing.keys
        if classes:
            keys = chosen_keys(classes, keys, listing.names, listing.source)
        class_names = name_classes(keys, listing.names)
        if len(class_names) < 2:
            raise ValueError(f"{listing.source} has one class; a classifier needs at least 2")
        parts = {part: _labelled(listing, part, keys, skip_corrupt) for part in PARTS}
        if not any(map(len, parts.values())):
            parts = draw_parts(_labelled(listing, None, keys, skip_corrupt))
    for part in ("train", "test"):
        if not len(parts[part]):
            raise ValueError(
                f"{source} has no {part} images; add some, or leave out the split to have it drawn"
            )
    pool = parts["train"]
    chosen = few_shot(pool.labels, class_names, shots, seed, allow_fewer=allow_fewer, draw=draw)
    train = pool.subset(chosen.tolist())
    for kind, images in (("training", train), ("test", parts["test"])):
        without = [name for label, name in enumerate(class_names) if label not in images.labels]
        if without:
            note(f"no {kind} images of {len(without)} classes: {', '.join(without[:8])}")
    task = Task(str(source), class_names, train, parts["val"], parts["test"], {}, {}, template)
    task = _with_shifts(task, listing, shifts, root, skip_corrupt)
    return _with_ood(task, ood, ood_exclude, root, skip_corrupt)


def load_test_task(
    source: Source,
    class_names: Sequence[str],
    *,
    root: Source | None = None,
    ood: Sources = None,
    ood_exclude: Sequence[str] = (),
    shifts: Sources = None,
    names: Names = None,
    skip_corrupt: bool = False,
) -> Task:
    """Images to test a model on, labelled by its class names; none are set aside to learn from.

    A source with a test part (the embedded task, a dataset of the catalogue, a folder with test/)
    gives that; of any other, all images are taken. Its classes may come in any order, some may be
    missing, and those that the model does not know are left out, which is said.

    :param source: as in :func:`load_task`, as are the other parameters.
    :param class_names: the model's.
    :raises ValueError: as :func:`load_task`; if there is no image of any of the classes.
    """
    class_names = tuple(class_names)
    listing, template = _listing(source, root, names, skip_corrupt)
    test: Images
    if listing is None:
        test = _pocket_parts(class_names)["test"]
    else:
        test = _by_name(listing, class_names, listing, skip_corrupt)
    none = test.subset([])
    task = Task(str(source), class_names, none, none, test, {}, {}, template)
    task = _with_shifts(task, listing, shifts, root, skip_corrupt)
    return _with_ood(task, ood, ood_exclude, root, skip_corrupt)


def _pocket_parts(classes: tuple[str, ...]) -> dict[str, pocket.PocketImages]:
    return {
        "train": pocket.species_images("pool", pocket.POOL, names=classes),
        "val": pocket.species_images("val", pocket.VAL, names=classes),
        "test": pocket.species_images("test", pocket.TEST, names=classes),
    }


def _listing(
    source: Source, root: Source | None, names: Names, skip_corrupt: bool
) -> tuple[Listing | None, str | None]:
    """What a source lists, None for the embedded task; and the prompt of its own."""
    listing, row = None, None
    if str(source) != "pocket":
        place, row = _place(source, root)
        if row is not None and row.kind == "classes":
            listing = read_split(row, place)
            parts = [photo.part for photo in listing.photos]
            note(f"{listing.source}: " + ", ".join(f"{parts.count(part)} {part}" for part in PARTS))
        elif row is None and place.suffix.lower() in LISTS and not place.is_dir():
            listing = read_list(place)
        else:
            listing = read_folder(place / row.images if row else place)
        in_a_file = place.is_file() or bool(row and row.split)
        paths = [photo.path for photo in listing.photos] if in_a_file and not skip_corrupt else []
        lost = [path for path in paths if not os.path.isfile(path)]
        if lost:
            raise ValueError(
                f"{listing.source}: {len(lost)} of the {len(listing.photos)} images are not there, "
                f"such as {printable(lost[0])}"
            )
    if names is not None:
        if listing is None or listing.names is not None:
            raise ValueError("names are for photos of your own; this task has its own class names")
        given = names if isinstance(names, Mapping) else read_names(Path(names))
        listing = listing._replace(names={composed(key): name for key, name in given.items()})
    return listing, row.template if row else None


def _place(source: Source, root: Source | None) -> tuple[Path, Dataset | None]:
    """The folder or file of a source; and its row, if it is a dataset of the catalogue."""
    place, row = Path(source), CATALOGUE.get(str(source))
    if row is None or (root is None and place.is_dir()):
        near = did_you_mean(source, CATALOGUE)
        if near and not os.path.lexists(place):
            raise ValueError(f"{str(source)!r} is neither a folder nor a known dataset{near}")
        for known in CATALOGUE.values():
            if place.name == known.split:
                return place.parent, known
        return place, detect(place)
    if root is None:
        raise ValueError(f"{source} is a known dataset; say in which root folder {row.folder} is")
    folder = row.find(root)
    if folder is None:
        raise ValueError(
            f"there is no {Path(root) / row.folder / row.images}; "
            f"`sotglp data get {row.name}` gets {row.title}, or says how"
        )
    return folder, row


def _labelled(
    listing: Listing, part: str | None, keys: Sequence[str], skip_corrupt: bool
) -> FolderImages:
    """The images of a part, labelled by the places of their keys; others are left out."""
    label = {key: i for i, key in enumerate(keys)}
    photos = [photo for photo in listing.photos if photo.part == part and photo.key in label]
    images = FolderImages([p.path for p in photos], [label[p.key] for p in photos])
    return _readable(images, skip_corrupt)


def _by_name(
    listing: Listing, class_names: Sequence[str], task: Listing | None, skip_corrupt: bool
) -> FolderImages:
    """The test part, or else all images, of the classes of these names.

    :param task: whose keys for the classes are understood, too.
    :raises ValueError: if there are none.
    """
    label_of = {same(name): label for label, name in enumerate(class_names)}
    for names in (task and task.names, listing.names):
        label_of |= {
            same(key): label_of[same(name)]
            for key, name in (names or {}).items()
            if same(name) in label_of
        }
    part = "test" if any(photo.part == "test" for photo in listing.photos) else None
    photos = [photo for photo in listing.photos if photo.part == part]
    label = {
        key: label_of.get(same(key), label_of.get(same(plain_words(key)), -1))
        for key in sorted({photo.key for photo in photos})
    }
    known = [photo for photo in photos if label[photo.key] >= 0]
    others = ", ".join(printable(key) for key in label if label[key] < 0)
    if not known:
        raise ValueError(
            f"{listing.source} has images of none of the classes ({', '.join(class_names[:8])} ...)"
            f", but of {others[:200] or 'nothing'}"
        )
    note(
        f"{listing.source}: {len(known)} images of {len({p.key for p in known})} of the "
        f"{len(class_names)} classes" + (f"; left out are {others:.200}" if others else "")
    )
    images = FolderImages([p.path for p in known], [label[p.key] for p in known])
    return _readable(images, skip_corrupt)


def _with_shifts(
    task: Task, listing: Listing | None, places: Sources, root: Source | None, skip_corrupt: bool
) -> Task:
    sets: dict[str, Images] = {}
    for place in _each(places):
        images: Images
        if listing is None and place in SHIFTS:
            classes = task.class_names
            images = pocket.species_images("test", pocket.TEST, names=classes, shift=str(place))
        else:
            other, _ = _listing(place, root, None, skip_corrupt)
            if other is None:
                raise ValueError(f"{place} is no shift of {task.name}")
            images = _by_name(other, task.class_names, listing, skip_corrupt)
        sets[_new_name(place, sets)] = images
    return replace(task, shifts=sets)


def _with_ood(
    task: Task, places: Sources, exclude: Sequence[str], root: Source | None, skip_corrupt: bool
) -> Task:
    sets: dict[str, Images] = {}
    if isinstance(task.test, pocket.PocketImages):
        kinds = ("unseen", *pocket.OOD_KINDS)
        sets = {kind: pocket.ood_images(kind, pocket.OOD) for kind in kinds}
    inside = {os.path.abspath(p) for x in (task.train, task.val, task.test) for p in x.names}
    classes, unused = {same(name) for name in task.class_names}, set(exclude)
    for place in _each(places):
        folder, row = _place(place, root)
        folder = folder / row.images if row else folder
        head = {path: path.relative_to(folder).parts[0] for path in list_images(folder)}
        unused -= set(head.values())
        paths = [path for path in head if head[path] not in exclude]
        if not paths:
            raise ValueError(f"there are no images in {place}; give a folder of OOD images")
        if taken := [path for path in paths if os.path.abspath(path) in inside]:
            raise ValueError(
                f"the OOD set {place} holds {len(taken)} images of the task's own, "
                f"such as {printable(taken[0])}; leave them out"
            )
        if doubtful := sorted(name for name in {head[p] for p in paths} if same(name) in classes):
            note(f"the OOD set {place} has a folder {doubtful[0]!r}, which is a class of the task")
        images = _readable(FolderImages(paths, [-1] * len(paths)), skip_corrupt)
        sets[_new_name(place, (*sets, "mean"))] = images
    if unused:
        raise ValueError(f"no OOD folder has a sub-folder {min(unused)!r} to leave out")
    return replace(task, ood=sets)


def _readable(images: FolderImages, skip_corrupt: bool) -> FolderImages:
    """The images that can be decoded; the others are named and counted on standard error."""
    if not skip_corrupt:
        return images
    good = []
    for i in progress_bar(range(len(images)), desc="check", unit="image", show=len(images) >= 64):
        try:
            read_image(images.paths[i], side=1)
            good.append(i)
        except ValueError as error:
            note(f"skipped: {error}")
    if len(good) < len(images):
        note(f"skipped {len(images) - len(good)} of {len(images)} files")
    return images.subset(good)


def _each(places: Sources) -> Sequence[Source]:
    return [places] if isinstance(places, str | Path) else places or ()


def _new_name(place: Source, taken: Container[str]) -> str:
    name = Path(place).name
    if name in taken:
        raise ValueError(f"the set {place} has the name of another one; rename its folder")
    return name
