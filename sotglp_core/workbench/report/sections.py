"""What a report says: numbers, curves and tables of one run."""

from __future__ import annotations

import json
from collections.abc import Mapping

import numpy as np

from ... import figures
from ...judging.ood import SCORES
from ...messages import printable
from .page import Content, Markup, fill, paragraph, plot, table
from .run import Run, percent, probability

MATRIX, PAIRS = (
    40,
    20,
)  # classes that a confusion matrix is drawn for; most confused pairs that are listed


def summary(run: Run) -> Content:
    """The numbers to look at first."""
    low, high = (100 * share for share in wilson(run.counts.trace(), len(run.labels)))
    images = _count(len(run.labels), "test image")
    numbers = {
        "accuracy": (
            percent(run.result.accuracy),
            f"{low:.1f} to {high:.1f} is its 95 % interval for {images}",
        ),
        "calibration error": (
            percent(run.result.calibration_error),
            "mean distance of probability and accuracy",
        ),
    }
    if run.result.ood:
        mean, sets = run.result.ood["mean"][run.score], list(run.result.ood_outputs)
        against = (
            f"against {sets[0]}" if len(sets) == 1 else f"mean over {len(sets)} unfamiliar sets"
        )
        numbers["AUROC"] = percent(mean["auroc"]), f"by {run.score}, {against}"
        numbers["FPR95"] = (
            percent(mean["fpr95"]),
            "unfamiliar images accepted by a threshold that accepts 95 % of the test images",
        )
    rows = [
        fill(
            "<div><dt>{name}</dt><dd><strong>{value}</strong> {what}</dd></div>",
            name=name,
            value=value,
            what=what,
        )
        for name, (value, what) in numbers.items()
    ]
    return [
        paragraph(
            "{classes}, {train}, {test}; frozen CLIP: {backbone}.",
            classes=_count(len(run.names), "class", "classes"),
            train=_count(len(run.task.train), "training image"),
            test=images,
            backbone=run.model.backbone.name,
        ),
        fill('<dl class="numbers">{rows}</dl>\n', rows=rows),
        absent(run),
    ]


def absent(run: Run) -> Markup:
    """What would be told of images that the run was not given."""
    missing = [
        what
        for what, given in (
            ("how unfamiliar images are told apart (--ood)", run.result.ood),
            ("how other pictures of the same classes fare (--shift)", run.result.shifts),
        )
        if not given
    ]
    return (
        paragraph("Not measured: {missing}.", missing=" and ".join(missing))
        if missing
        else Markup()
    )


def learning(run: Run) -> Content:
    if not run.history:
        return paragraph("Nothing was learned: the run has 0 epochs.")
    first, last = run.history[0], run.history[-1]
    return plot(
        figures.history({run.preset: run.history}),
        f"Training loss goes from {first.loss:.3f} to {last.loss:.3f} and training accuracy from {percent(first.accuracy)} "
        f"to {percent(last.accuracy)} in {_count(len(run.history), 'epoch')}.",
        "Loss and accuracy on the training images, with each epoch's prompt dropout: not how well the run does, but whether it "
        "had settled.",
    )


def classes(run: Run) -> Content:
    """Accuracy class by class."""
    seen = np.bincount(run.task.train.labels, minlength=len(run.names))
    number, taken, right = run.counts.sum(1), run.counts.sum(0), run.counts.diagonal()
    wrong = run.counts - np.diag(right)
    rows = []
    for c, name in enumerate(run.names):
        most = int(wrong[c].argmax())
        rows.append(
            (
                name,
                int(seen[c]),
                int(number[c]),
                _share(right[c], number[c]),
                _share(right[c], taken[c]),
                f"{run.names[most]} ({wrong[c, most]})" if wrong[c, most] else "none",
            )
        )
    head = (
        "class",
        "training images",
        "test images",
        "accuracy, %",
        "precision, %",
        "most often taken for (images)",
    )
    return [
        paragraph(
            "Accuracy: share of the class's test images that are recognised. Precision: share of the answers with this class "
            'that are right.<span class="scripted"> Press a heading to sort by it.</span>'
        ),
        table("Each class", head, rows, sortable=True),
    ]


def confusions(run: Run) -> Content:
    """The confusion matrix where it can be read, and the pairs of classes that are confused most."""
    number, wrong = run.counts.sum(1), run.counts - np.diag(run.counts.diagonal())
    order = np.argsort(-wrong, axis=None, kind="stable")[:PAIRS]
    pairs = [
        (run.names[c], run.names[d], int(wrong[c, d]), _share(wrong[c, d], number[c]))
        for c, d in zip(*np.unravel_index(order, wrong.shape))
        if wrong[c, d]
    ]
    content = []
    if len(run.names) <= MATRIX:
        content.append(
            plot(
                figures.confusion(run.counts, [printable(name) for name in run.names]),
                f"Confusion matrix of {len(run.names)} classes: {run.counts.trace()} of {len(run.labels)} test images are on "
                "its diagonal, recognised. What follows says which pairs of classes are confused most.",
                "A row is a true class: which classes its images are taken for.",
            )
        )
    if not pairs:
        return [*content, paragraph("No test image was taken for another class.")]
    rest = int(wrong.sum()) - sum(pair[2] for pair in pairs)
    content.append(
        table(
            "Most confused pairs",
            ("true class", "taken for", "images", "% of the class"),
            pairs,
            sortable=True,
        )
    )
    if rest:
        content.append(paragraph("All other pairs together: {rest}.", rest=_count(rest, "image")))
    return content


def calibration(run: Run) -> Content:
    stated = probability(run.odds)
    tone = "more" if stated.mean() > run.result.accuracy else "less"
    return plot(
        figures.reliability(stated, run.predicted == run.labels),
        f"Reliability diagram: the mean probability of the answers is {percent(stated.mean())}, their accuracy "
        f"{percent(run.result.accuracy)}; the expected calibration error is {percent(run.result.calibration_error)}.",
        f"On average the model states {percent(stated.mean())} and is right {percent(run.result.accuracy)} of the time: {tone} "
        f"confident than accurate. The expected calibration error is {percent(run.result.calibration_error)}.",
    )


def unfamiliar(run: Run) -> Content:
    """How well the scores tell the OOD sets from the test images."""
    if not run.result.ood:
        return []
    outside = {
        _label(name, i): out.scores[run.score].numpy()
        for i, (name, out) in enumerate(run.result.ood_outputs.items())
    }
    rows = {name: row for name, row in run.result.ood.items() if name != "mean" or len(outside) > 1}
    aurocs = ", ".join(f"{name} {percent(row[run.score]['auroc'])}" for name, row in rows.items())
    number = {name: len(images) for name, images in run.task.ood.items()}
    content = [
        plot(
            figures.roc(run.result.outputs.scores[run.score].numpy(), outside, score=run.score),
            f"ROC curves of {run.score}, test images against unfamiliar ones. AUROC: {aurocs}.",
            f"Shares of the test images and of the unfamiliar ones that {run.score} accepts, threshold by threshold.",
        ),
        paragraph(
            "AUROC is the chance that a test image scores higher than an unfamiliar one; 50 % is guessing. FPR95 is the share "
            "of the unfamiliar images that a threshold accepts if it accepts 95 % of the test images."
        ),
    ]
    for caption, metric in {"AUROC, %": "auroc", "FPR95, %": "fpr95"}.items():
        content.append(
            table(
                caption,
                ("set", "images", *SCORES),
                [
                    (name, number.get(name), *(100 * row[score][metric] for score in SCORES))
                    for name, row in rows.items()
                ],
            )
        )
    return content


def tradeoff(run: Run) -> Content:
    """Where the run stands between accuracy and detection."""
    if not run.result.ood:
        return []
    aurocs = {name: row[run.score]["auroc"] for name, row in run.result.ood.items()}
    mean = aurocs.pop("mean")
    points = {run.preset: ([run.result.accuracy], [mean])}
    if len(aurocs) > 1:
        points |= {
            f"on {_label(name, i)}": ([run.result.accuracy], [auroc])
            for i, (name, auroc) in enumerate(aurocs.items())
        }
    figure = figures.tradeoff(points, score=run.score)
    ax = figure.axes[0]
    ax.set_xlim(0, 101)
    ax.set_ylim(min(50, 100 * min(aurocs.values())) - 1, 101)
    ax.set_ylabel(f"AUROC of {run.score}, %")
    at = f"{percent(run.result.accuracy)} accuracy and {percent(mean)} AUROC"
    others = (
        "; the other marks are the single sets that its AUROC is the mean of."
        if len(aurocs) > 1
        else "."
    )
    return plot(
        figure,
        f"Accuracy against AUROC: one mark at {at}{others}",
        f"{at}: the point to compare with other runs on these images{others}",
    )


def shifts(run: Run) -> Content:
    """Accuracy on other pictures of the same classes."""
    if not run.result.shifts:
        return []
    return [
        paragraph("Where a set has only some of the classes, the answer is the best of those."),
        table(
            "Accuracy under shift",
            ("pictures", "images", "classes", "accuracy, %", "difference"),
            [
                (
                    "test images",
                    len(run.labels),
                    len(np.unique(run.labels)),
                    100 * run.result.accuracy,
                    None,
                ),
                *(
                    (
                        name,
                        len(run.task.shifts[name]),
                        len(np.unique(run.task.shifts[name].labels)),
                        100 * accuracy,
                        100 * (accuracy - run.result.accuracy),
                    )
                    for name, accuracy in run.result.shifts.items()
                ),
            ],
        ),
    ]


def made(run: Run) -> Content:
    """How to make the run again: what the record says, and the settings and the backbone where it does not."""
    backbone = run.model.backbone
    record = {
        "settings": run.model.config.to_dict(),
        "backbone": {
            key: getattr(backbone, key)
            for key in ("name", "pretrained", "precision", "fingerprint")
        },
        **run.record,
    }
    content, single = (
        [],
        [
            (key, _text(value))
            for key, value in record.items()
            if key != "command" and not isinstance(value, Mapping)
        ],
    )
    if record.get("command"):
        content.append(
            fill(
                '<p>To make it again:</p>\n<pre tabindex="0"><code>{command}</code></pre>\n',
                command=record["command"],
            )
        )
    if single:
        content.append(table("This run", ("what", "value"), single))
    content += [
        table(
            key.capitalize(),
            ("what", "value"),
            [(name, _text(item)) for name, item in value.items()],
        )
        for key, value in record.items()
        if isinstance(value, Mapping) and value
    ]
    return content


def wilson(right: int, number: int) -> tuple[float, float]:
    """The 95 % score interval of a share. Source: Wilson, JASA 22 (1927)."""
    z, share = 1.96, right / number
    centre, half = (
        share + z**2 / (2 * number),
        z * np.sqrt(share * (1 - share) / number + z**2 / (4 * number**2)),
    )
    return (centre - half) / (1 + z**2 / number), (centre + half) / (1 + z**2 / number)


def _share(part: int, whole: int) -> float | None:
    return 100 * float(part) / float(whole) if whole else None


def _count(number: int, one: str, many: str = "") -> str:
    return f"{number:,} {one if number == 1 else many or one + 's'}"


def _text(value: object) -> str:
    return (
        value
        if isinstance(value, str)
        else f"{value:.6g}"
        if isinstance(value, float)
        else json.dumps(value, default=str)
    )


def _label(name: str, i: int) -> str:
    """The i-th set's name as a legend shows it: not too long, no mathematics, and not hidden for beginning with an underscore."""
    name = printable(name)
    name = (name if len(name) <= 28 else f"{i + 1}: {name[:24]}…").replace("$", r"\$")
    return f" {name}" if name.startswith("_") else name
