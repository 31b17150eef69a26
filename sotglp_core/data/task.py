"""A task: class names; training, validation and test images; shifted and OOD sets."""

import os
from collections import Counter
from collections.abc import Container, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from ..messages import did_you_mean, note, printable, progress_bar
from ..pocket.traits import SPECIES
from ..pocket.world import SHIFTS
from . import embedded as pocket
from .catalogue import CATALOGUE, Dataset, detect, read_split
from .folders import PARTS, Listing, Photo, chosen_keys, list_images, read_folder
from .images import FolderImages, HeldImages, Images, file_version, held_images, read_image
from .labels import LISTS, read_list, read_names
from .names import class_names as name_classes
from .names import composed, plain_words, same
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
    source: Any = "pocket",
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
        :func:`~sotglp_core.data.folders.read_folder`; a CSV or JSON file, see
        :func:`~sotglp_core.data.labels.read_list`; or images, see
        :func:`~sotglp_core.data.images.held_images`, or {"train": images, "test": images}.
    :param root: the folder that holds the catalogue's datasets.
    :param shots: training images of each class, drawn by ``seed``; None: all.
    :param draw: "exact", "coop" or "stratified", see :func:`~sotglp_core.data.sampling.few_shot`.
    :param classes: the classes to use, by folder, label or name; ("base",) or ("new",) for half of
        them; None: all. Of images without ``classes`` of their own: the classes' names.
    :param ood: folders of images that belong to no class, or names of the catalogue.
    :param ood_exclude: sub-folders of the OOD folders to leave out.
    :param shifts: more test sets, each a source as in :func:`load_test_task`; for "pocket" also
        names of its domain shifts.
    :param names: class folder (or label) -> class name, or a file of that, for one's own photos.
    :param allow_fewer: take what there is of a class with fewer images than shots.
    :param skip_corrupt: leave out files that can't be read instead of stopping at the first.
    :raises ValueError: saying which folder, class or file is wrong and how to mend it.
    """
    reader = _Reader(root, skip_corrupt)
    parts: dict[str, Images] = {}
    listing, template = None, None
    held = not isinstance(source, str | Path)
    if not held:
        listing, template = reader.listing(source, names)
    if held:
        class_names, parts = _held_parts(source, classes)
        source = type(source).__name__
    elif listing is None:
        species = Listing([], "pocket", list(SPECIES))
        class_names = tuple(chosen_keys(classes, species) if classes else SPECIES)
        parts = _pocket_parts(class_names)
    else:
        keys = chosen_keys(classes, listing) if classes else listing.keys
        class_names = name_classes(keys, listing.names)
        if len(keys) < 2:
            raise ValueError(f"{listing.source} has one class; a classifier needs at least 2")
        label = {key: i for i, key in enumerate(keys)}
        if any(photo.part for photo in listing.photos):
            parts = {part: reader.images(listing.photos, label, part) for part in PARTS}
        else:
            parts |= draw_parts(reader.images(listing.photos, label))
    pool, test = parts["train"], parts["test"]
    if not len(test):
        raise ValueError(f"{source} has no test images; add some, or leave out the split")
    chosen = few_shot(
        pool.labels, class_names, shots, seed=seed, allow_fewer=allow_fewer, draw=draw
    )
    train = pool.subset(chosen.tolist())
    for kind, images in (("training", train), ("test", test)):
        without = {*range(len(class_names))} - {*images.labels.tolist()}
        if without:
            first = class_names[min(without)]
            note(f"there are no {kind} images of {len(without)} classes, such as {first}")
    task = Task(str(source), class_names, train, parts["val"], test, {}, template=template)
    task = replace(task, shifts=reader.shifts(shifts, task, listing))
    return replace(task, ood=reader.ood(ood, task, ood_exclude))


def _held_parts(source: Any, classes: Sequence[str] | None) -> tuple[tuple[str, ...], dict]:
    """Class names and parts of images that the caller holds."""
    given = source if isinstance(source, Mapping) else {"": source}
    named = (getattr(images, "classes", None) for images in given.values())
    names = next(filter(None, named), classes)
    if names is None or (classes is not None and list(classes) != list(names)):
        raise ValueError("name the classes of these images, all of them, in the order of labels")
    sets = {part: held_images(images) for part, images in given.items()}
    if any(len(images) and images.labels.max() >= len(names) for images in sets.values()):
        raise ValueError(f"a label is beyond the {len(names)} classes, {', '.join(names)[:200]}")
    if "" in sets:
        return tuple(names), draw_parts(sets[""])
    if unknown := sets.keys() - PARTS.keys():
        raise ValueError(f"there is no part {min(unknown)!r}; give train, test and perhaps val")
    return tuple(names), {part: sets.get(part, HeldImages([], [])) for part in PARTS}


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
    reader = _Reader(root, skip_corrupt)
    listing, template = reader.listing(source, names)
    if listing is None:
        test: Images = _pocket_parts(class_names)["test"]
    else:
        test = reader.by_name(listing, class_names, listing)
    none = test.subset([])
    task = Task(str(source), tuple(class_names), none, none, test, {}, template=template)
    task = replace(task, shifts=reader.shifts(shifts, task, listing))
    return replace(task, ood=reader.ood(ood, task, ood_exclude))


def _pocket_parts(names: Sequence[str]) -> dict[str, Images]:
    numbers = {"pool": pocket.POOL, "val": pocket.VAL, "test": pocket.TEST}
    parts = [pocket.species_images(part, n, names=names) for part, n in numbers.items()]
    return dict(zip(PARTS, parts))


@dataclass(frozen=True)
class _Reader:
    """Reads sources of images.

    :param root: where the catalogue's datasets are.
    :param skip_corrupt: leave out files that can't be read.
    """

    root: Source | None
    skip_corrupt: bool

    def listing(self, source: Source, names: Names = None) -> tuple[Listing | None, str | None]:
        """What a source lists, None for the embedded task; and the prompt of its own."""
        listing, row = None, None
        if str(source) != "pocket":
            place, row = self.place(source)
            if row is not None and row.kind == "classes":
                listing = read_split(row, place)
                number = Counter(photo.part for photo in listing.photos)
                note(f"{listing.source}: " + ", ".join(f"{number[part]} {part}" for part in PARTS))
            elif row is None and place.suffix.lower() in LISTS and not place.is_dir():
                listing = read_list(place)
            else:
                listing = read_folder(place / row.images if row else place)
        if names is not None:
            if listing is None or listing.names is not None:
                raise ValueError("names are for photos of your own; this task has its own names")
            given = names if isinstance(names, Mapping) else read_names(Path(names))
            listing = listing._replace(names={composed(key): name for key, name in given.items()})
        return listing, row.template if row else None

    def place(self, source: Source) -> tuple[Path, Dataset | None]:
        """The folder or file of a source; and its row, if it is a dataset of the catalogue."""
        place, row = Path(source), CATALOGUE.get(str(source))
        if row is None or (self.root is None and place.is_dir()):
            near = did_you_mean(source, CATALOGUE)
            if near and not os.path.lexists(place):
                raise ValueError(f"{str(source)!r} is neither a folder nor a known dataset{near}")
            return detect(place)
        folder = row.find(self.root) if self.root is not None else None
        if folder is None:
            raise ValueError(
                f"there is no {row.folder}/{row.images} in the root folder {self.root}; "
                f"`sotglp data get {row.name}` gets {row.title}, or says how"
            )
        return folder, row

    def images(
        self, photos: Sequence[Photo], label: Mapping[str, int], part: str | None = None
    ) -> FolderImages:
        """The photos of a part that have a label; files that are skipped are named and counted.

        :raises ValueError: naming a file that is not there.
        """
        own = [photo for photo in photos if photo.part == part and photo.key in label]
        images = FolderImages([photo.path for photo in own], [label[photo.key] for photo in own])
        if not self.skip_corrupt:
            for path in images.paths:
                file_version(path)
            return images
        good = []
        for i in progress_bar(range(len(own)), desc="check", unit="image", show=len(own) >= 64):
            try:
                read_image(images.paths[i], side=1)
                good.append(i)
            except ValueError as error:
                note(f"skipped: {error}")
        if len(good) < len(own):
            note(f"skipped {len(own) - len(good)} of {len(own)} files")
        return images.subset(good)

    def by_name(
        self, listing: Listing, class_names: Sequence[str], task: Listing | None
    ) -> FolderImages:
        """The test part, or else all images, of the classes of these names.

        :param task: whose keys for the classes are understood, too.
        :raises ValueError: if there are none.
        """
        label_of = {same(name): label for label, name in enumerate(class_names)}
        aliases = {**((task and task.names) or {}), **(listing.names or {})}
        known = {same(key): label_of.get(same(name)) for key, name in aliases.items()}
        label_of |= {key: label for key, label in known.items() if label is not None}
        part = "test" if any(photo.part == "test" for photo in listing.photos) else None
        keys = sorted({photo.key for photo in listing.photos if photo.part == part})
        found = {k: label_of.get(same(k), label_of.get(same(plain_words(k)))) for k in keys}
        label = {key: label for key, label in found.items() if label is not None}
        others = ", ".join(printable(key) for key in keys if key not in label)
        known_names = ", ".join(class_names[:4])
        if not label:
            raise ValueError(
                f"{listing.source} has test images of none of the classes ({known_names} ...); "
                f"it has {others[:200] or 'none at all'}"
            )
        images = self.images(listing.photos, label, part)
        number = f"{len(images)} images of {len(label)} of the {len(class_names)} classes"
        left_out = f"; left out are {others:.200}" if others else ""
        note(f"{listing.source}: {number}{left_out}")
        return images

    def shifts(self, places: Sources, task: Task, listing: Listing | None) -> dict[str, Images]:
        """More test sets of the task's classes; ``listing`` is what the task's source lists."""
        sets: dict[str, Images] = {}
        for place in _each(places):
            name, names = _new_name(place, sets), task.class_names
            if listing is None and name in SHIFTS:
                sets[name] = pocket.species_images("test", pocket.TEST, names=names, shift=name)
                continue
            other, _ = self.listing(place)
            if other is None:
                raise ValueError(f"{place} is no shift of {task.name}")
            sets[name] = self.by_name(other, names, listing)
        return sets

    def ood(self, places: Sources, task: Task, exclude: Sequence[str]) -> dict[str, Images]:
        """The embedded task's own OOD sets; and all images of each place, without some folders."""
        kinds = ("unseen", *pocket.OOD_KINDS) if task.name == "pocket" else ()
        sets: dict[str, Images] = {kind: pocket.ood_images(kind, pocket.OOD) for kind in kinds}
        inside = {os.path.abspath(p) for x in (task.train, task.val, task.test) for p in x.names}
        unused = {*exclude}
        for place in _each(places):
            folder, row = self.place(place)
            folder = folder / row.images if row else folder
            found = [Photo(p, p.relative_to(folder).parts[0], None) for p in list_images(folder)]
            label = dict.fromkeys({photo.key for photo in found} - {*exclude}, -1)
            unused -= {photo.key for photo in found}
            images = self.images(found, label)
            if not len(images):
                raise ValueError(f"the OOD set {place} has no images; give some of no class")
            taken = [name for name in images.names if os.path.abspath(name) in inside]
            if taken:
                raise ValueError(
                    f"the OOD set {place} has {len(images)} images, {len(taken)} of them the "
                    f"task's own {printable(taken[:1])}; give images that belong to no class"
                )
            for name in {*map(same, task.class_names)} & {*map(same, label)}:
                note(f"the OOD set {place} has a folder {name!r}, which is a class of the task")
            sets[_new_name(place, (*sets, "mean"))] = images
        if unused:
            raise ValueError(f"no OOD folder has a sub-folder {min(unused)!r} to leave out")
        return sets


def _each(places: Sources) -> Sequence[Source]:
    return [places] if isinstance(places, str | Path) else places or ()


def _new_name(place: Source, taken: Container[str]) -> str:
    name = Path(place).name
    if name in taken:
        raise ValueError(f"the set {place} has the name of another one; rename its folder")
    return name
