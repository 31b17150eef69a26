"""What runs cost before they are made: images, steps, time and disk, from numbers alone."""

from collections.abc import Sequence
from typing import NamedTuple

from ..clip.backbone import Backbone
from ..config import Config
from .experiments import Bench, Experiment
from .timing import seconds_per_image, seconds_per_step

TIMED = 8  # classes that a step is timed with; its time grows with the classes
Work = Sequence[tuple[Bench, Experiment]]


class Cost(NamedTuple):
    """Of some runs of one row."""

    images: int  # to encode, a crop counted as an image
    steps: int
    seconds: float  # on this machine; reading and decoding files is not in it
    bytes: int  # of features, kept in the cache


def plan(work: Work, seeds: Sequence[int]) -> list[tuple[str, int, Cost]]:
    """Label, missing runs and their cost of every row; test images are encoded once for each dense
    feature.
    """
    rows: list = []
    encoded: set = set()
    for bench, experiment in work:
        missing, stream = bench.missing(experiment, seeds), (bench, experiment.config.dense)
        classes, tested = bench.size
        new = tested if missing and stream not in encoded else 0
        encoded |= {stream} if missing else set()
        images = experiment.shots * classes
        sizes = {"classes": classes, "images": images, "tested": tested}
        of_row = cost(bench.backbone, experiment.config, **sizes, runs=missing, new=new)
        rows.append((experiment.label, missing, of_row))
    return rows


def cost(
    backbone: Backbone,
    config: Config,
    *,
    classes: int,
    images: int,
    tested: int,
    runs: int = 1,
    new: int = 0,
) -> Cost:
    """images = new + runs * images * views, steps = runs * epochs * floor(images / batch size).

    The views of an image are one in every epoch where crops are fresh, else the plain one and the
    crops.

    :param images: training images of a run; none are needed where nothing is learned.
    :param tested: images that a run is tested on, of which ``new`` are to be encoded.
    """
    learned = runs * images if config.epochs else 0
    kept = new if config.crops == "fresh" else new + learned * (1 + config.crops)
    encoded = new + learned * config.epochs if config.crops == "fresh" else kept
    steps = runs * config.epochs * max(1, images // config.batch_size)
    timed = min(TIMED, classes)
    step, test = seconds_per_step(backbone, timed, config) if runs else (0.0, 0.0)
    seconds = (steps * step + runs * tested * test) * classes / timed
    if encoded:
        seconds += encoded * seconds_per_image(backbone)
    patches = backbone.grid[0] * backbone.grid[1]
    each = 4 * backbone.joint_width + 2 * patches * backbone.patch_width
    return Cost(encoded, steps, seconds, kept * each)


def total(costs: Sequence[Cost]) -> Cost:
    return Cost(*(sum(column) for column in zip(*costs))) if costs else Cost(0, 0, 0.0, 0)
