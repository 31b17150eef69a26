"""A task: class names; training, validation and test images; shifted and OOD sets."""

import os
from collections.abc import Container, Mapping, Sequence
from dataclasses import dataclass, field, replace
from hashlib import sha256
from pathlib import Path
from typing import Any

from ..messages import did_you_mean, note, printable, progress_bar
from ..pocket.traits import SPECIES
from ..pocket.world import SHIFTS
from . import embedded as pocket
from .catalogue import CATALOGUE, Dataset, known, read_split
from .folders import PARTS, Source, by_subfolder, chosen_keys, read_folder
from .images import FolderImages, Images, file_version, held_images
from .labels import read_list, read_names
from .names import class_names as name_classes
from .names import composed, same
from .sampling import draw_parts, few_shot

Place = str | Path
Places = Place | Sequence[Place] | None
Names = Place | Mapping[str, str] | None


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

    def digests(self) -> dict[str, str]:
        """Of the images and labels of every set that is not learned from."""
        sets = {"validation": self.val, "test": self.test, **self.shifts, **self.ood}
        digests = {}
        for name, images in sets.items():
            content = f"{images.fingerprint()}{images.labels.tolist()}"
            digests[name] = sha256(content.encode()).hexdigest()[:16]
        return digests


def load_task(
    source: Any = "pocket",
    *,
    root: Place | None = None,
    shots: int | None = 16,
    seed: int = 1,
    draw: str = "exact",
    classes: Sequence[str] | None = None,
    ood: Places = None,
    ood_exclude: Sequence[str] | None = None,
    shifts: Places = None,
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
    :param names: class folder (or label) -> class name, or a file of that.
    :param allow_fewer: take what there is of a class with fewer images than shots.
    :param skip_corrupt: leave out files that can't be read instead of stopping at the first.
    :raises ValueError: saying which folder, class or file is wrong and how to mend it.
    """
    reader = _Reader(root, skip_corrupt)
    found = reader.read(source, names, classes)
    keys = chosen_keys(classes, found) if classes else found.keys
    class_names = name_classes(keys, found.names)
    if len(keys) < 2:
        raise ValueError(f"{found.said} has one class; a classifier needs at least 2")
    label = {found.keys.index(key): i for i, key in enumerate(keys)}
    parts = {
        part: reader.readable(images.relabelled(label)) for part, images in found.parts.items()
    }
    parts = draw_parts(parts[""]) if "" in parts else parts
    pool, test = parts["train"], parts["test"]
    if not len(test):
        raise ValueError(f"{found.said} has no test images; add some, or leave out the split")
    chosen = few_shot(
        pool.labels, class_names, shots, seed=seed, allow_fewer=allow_fewer, draw=draw
    )
    train = pool.subset(chosen.tolist())
    for kind, images in (("training", train), ("test", test)):
        without = [name for i, name in enumerate(class_names) if i not in images.labels]
        if without:
            note(f"there are no {kind} images of {len(without)} classes, such as {without[0]}")
    name = str(source) if isinstance(source, Place) else found.said
    task = Task(name, class_names, train, parts["val"], test, {}, template=found.template)
    return reader.add_sets(task, found, ood, ood_exclude or (), shifts)


def load_test_task(
    source: Any,
    class_names: Sequence[str],
    *,
    root: Place | None = None,
    ood: Places = None,
    ood_exclude: Sequence[str] | None = None,
    shifts: Places = None,
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
    found = reader.read(source, names, class_names)
    test = reader.by_name(found, class_names, {})
    none = test.subset([])
    task = Task(str(source), tuple(class_names), none, none, test, {}, template=found.template)
    return reader.add_sets(task, found, ood, ood_exclude or (), shifts)


@dataclass(frozen=True)
class _Reader:
    """Reads sources of images.

    :param root: where the catalogue's datasets are.
    :param skip_corrupt: leave out files that can't be read.
    """

    root: Place | None
    skip_corrupt: bool

    def read(
        self, source: Any, names: Names = None, classes: Sequence[str] | None = None
    ) -> Source:
        """What a source holds.

        :param names: instead of its own.
        :param classes: what images in memory are of.
        """
        if str(source) == "pocket":
            found = _pocket()
        elif not isinstance(source, Place):
            found = _held(source, classes)
        else:
            place, row = self.place(source)
            if row:
                found = read_split(row, place)
                numbers = (f"{len(images)} {part}" for part, images in found.parts.items())
                note(f"{found.said}: {', '.join(numbers)}")
            else:
                found = read_list(place) if os.path.isfile(place) else read_folder(place)
        if names is None:
            return found
        given = names if isinstance(names, Mapping) else read_names(Path(names))
        return found._replace(names={composed(key): name for key, name in given.items()})

    def place(self, source: Place) -> tuple[Path, Dataset | None]:
        """The folder or file of a source; and its row, if it is a dataset of the catalogue."""
        row, place = known(source, self.root)
        if place is None:
            where = f"not in {self.root}" if self.root else "a dataset, and needs its root folder"
            raise ValueError(
                f"{source} is {where}; `sotglp data get {source}` gets it, or says how"
            )
        near = did_you_mean(source, CATALOGUE)
        if near and not os.path.lexists(place):
            raise ValueError(f"{str(source)!r} is neither a folder nor a known dataset{near}")
        return place, row

    def readable(self, images: Images) -> Images:
        """The images without those that can't be read; files that are skipped are named and
        counted.

        :raises ValueError: naming a file that is not there.
        """
        if not isinstance(images, FolderImages):
            return images
        if not self.skip_corrupt:
            for path in images.paths:
                file_version(path)
            return images
        good, number = [], len(images)
        for i in progress_bar(range(number), desc="check", unit="image", delay=1):
            try:
                images.draft(i, 1)
                good.append(i)
            except ValueError as error:
                note(f"skipped: {error}")
        if len(good) < number:
            note(f"skipped {number - len(good)} of {number} files")
        return images.subset(good)

    def by_name(
        self, found: Source, class_names: Sequence[str], names: Mapping[str, str]
    ) -> Images:
        """The test part, or else all images, of the classes of these names.

        :param names: key -> class name of another source, whose keys are understood, too.
        :raises ValueError: if there are none.
        """
        label_of = {same(name): label for label, name in enumerate(class_names)}
        for key, name in {**names, **found.names}.items():
            if same(name) in label_of:
                label_of[same(key)] = label_of[same(name)]
        label = {
            i: label_of[same(key)] for i, key in enumerate(found.keys) if same(key) in label_of
        }
        others = [printable(key) for i, key in enumerate(found.keys) if i not in label]
        left_out = f"{', '.join(others):.200}"
        images = found.parts["" if "" in found.parts else "test"].relabelled(label)
        if not len(images):
            raise ValueError(
                f"{found.said} has test images of none of the classes "
                f"({', '.join(class_names[:4])} ...); it has {left_out or 'none at all'}"
            )
        images, present = self.readable(images), {*images.labels.tolist()}
        number = f"{len(images)} images of {len(present)} of the {len(class_names)} classes"
        note(f"{found.said}: {number}{'; left out are ' if others else ''}{left_out}")
        return images

    def add_sets(
        self,
        task: Task,
        found: Source,
        ood: Places,
        exclude: Sequence[str],
        shifts: Places,
    ) -> Task:
        """The task with more test sets of its classes, and OOD sets.

        :param found: the task's source.
        :param exclude: folders to leave out of the OOD sets.
        """
        embedded = task.name == "pocket"
        shifted: dict[str, Images] = {}
        for place in _each(shifts):
            name = _new_name(place, shifted)
            other = _pocket(name) if embedded and name in SHIFTS else self.read(place)
            shifted[name] = self.by_name(other, task.class_names, found.names)
        kinds = ("unseen", *pocket.OOD_KINDS) if embedded else ()
        sets: dict[str, Images] = {kind: pocket.ood_images(kind, pocket.OOD) for kind in kinds}
        inside = {os.path.abspath(p) for x in (task.train, task.val, task.test) for p in x.names}
        unused = {*exclude}
        for place in _each(ood):
            folder, row = self.place(place)
            folder = folder / row.images if row else folder
            everything = by_subfolder(folder)
            unused -= {*everything.values()}
            included = {path: key for path, key in everything.items() if key not in exclude}
            images = self.readable(FolderImages([*included], [-1] * len(included)))
            if not len(images):
                raise ValueError(f"the OOD set {place} has no images; give some of no class")
            taken = [name for name in images.names if os.path.abspath(name) in inside]
            if taken:
                raise ValueError(
                    f"the OOD set {place} has {len(images)} images, {len(taken)} of them the "
                    f"task's own {printable(taken[:1])}; give images that belong to no class"
                )
            for name in {*map(same, task.class_names)} & {*map(same, included.values())}:
                note(f"the OOD set {place} has a folder {name!r}, which is a class of the task")
            sets[_new_name(place, (*sets, "mean"))] = images
        if unused:
            raise ValueError(f"no OOD folder has a sub-folder {min(unused)!r} to leave out")
        return replace(task, ood=sets, shifts=shifted)


def _pocket(shift: str | None = None) -> Source:
    """The embedded task, perhaps under a shift."""
    numbers = {"pool": pocket.POOL, "val": pocket.VAL, "test": pocket.TEST}
    images = [pocket.species_images(name, n, shift=shift) for name, n in numbers.items()]
    return Source("pocket", list(SPECIES), dict(zip(PARTS, images)))


def _held(given: Any, classes: Sequence[str] | None) -> Source:
    """Images that the caller holds, of the classes that they name themselves or else ``classes``.

    :raises ValueError: if there are no classes, or fewer than labels; on another part than PARTS.
    """
    parts = given if isinstance(given, Mapping) else {"": given}
    if unknown := parts.keys() - {"", *PARTS}:
        raise ValueError(f"there is no part {min(unknown)!r}; give train, test and perhaps val")
    names = getattr(next(iter(parts.values()), None), "classes", classes)
    if names is None:
        raise ValueError("name the classes of these images, all of them, in the order of labels")
    found = [""] if "" in parts else PARTS
    sets = {part: held_images(parts.get(part, [])) for part in found}
    if any(max(images.labels, default=-1) >= len(names) for images in sets.values()):
        raise ValueError(f"a label is beyond the {len(names)} classes, {', '.join(names)[:200]}")
    return Source(type(given).__name__, list(names), sets, {name: name for name in names})


def _each(places: Places) -> Sequence[Place]:
    return [places] if isinstance(places, Place) else places or ()


def _new_name(place: Place, taken: Container[str]) -> str:
    name = Path(place).name
    if name in taken:
        raise ValueError(f"the set {place} has the name of another one; rename its folder")
    return name
