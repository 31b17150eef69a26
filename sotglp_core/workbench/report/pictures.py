"""The images at the ends of a run: surest right and wrong, least familiar, and unfamiliar ones that look familiar."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch

from ...data import Images
from ...figures import overlay
from ...judging.evaluation import Outputs
from ...method.model import TextFeatures
from .page import Content, Markup, fill, paragraph, table, thumbnail
from .run import Run, log_odds, percent, probability

EACH, LARGE, SMALL = 4, 240, 120  # images of a kind; pixels of a picture, and of a heatmap
MEANING = {
    "effective_prompts": "from 1, one prompt leads on every patch, to their number",
    "entropy_ratio": "1: every prompt holds as much of every patch",
    "prompt_overlap": "0: the prompts hold different patches; 1: the same in the same proportions",
}


class Case(NamedTuple):
    """One image to show."""

    images: Images
    outputs: Outputs
    which: int  # of the images
    truth: str  # what it shows, in words


def pictures(run: Run) -> Content:
    """Every group of images, each with the plan of the class that it is taken for."""
    content = []
    if run.result.partition:
        content.append(
            paragraph(
                "Beside each image, the patches that the local prompts of its class look at: the number and colour of the prompt that holds "
                "most of a patch. Below, each prompt's share of them (brighter: more; darkened: not in the support)."
            )
        )
    with torch.no_grad():
        text = run.model.eval().text_features()
        for title, what, cases in groups(run):
            content.append(
                fill(
                    '<h3>{title}</h3>\n<p>{what}</p>\n<div class="cases{bare}">{cases}</div>\n',
                    title=title,
                    what=what,
                    bare="" if run.result.partition else " bare",
                    cases=[_case(run, case, text) for case in cases],
                )
            )
    if run.result.partition:
        content += [
            fill("<h3>How the prompts share the patches</h3>\n"),
            table(
                "Mean over the test images",
                ("measure", "value", "meaning"),
                [
                    (name.replace("_", " "), f"{value:.3f}", MEANING[name])
                    for name, value in run.result.partition.items()
                ],
            ),
        ]
    return content


def groups(run: Run) -> list[tuple[str, str, list[Case]]]:
    """(title, what it shows, cases) of each group that has any."""
    inside, right = run.result.outputs, run.predicted == run.labels
    familiar = inside.scores[run.score].numpy()

    def tested(order: np.ndarray) -> list[Case]:
        return [Case(run.task.test, inside, int(i), run.names[run.labels[i]]) for i in order[:EACH]]

    surest = np.argsort(-run.odds, kind="stable")
    strangers = [
        (float(score), name, i)
        for name, out in run.result.ood_outputs.items()
        for i, score in enumerate(out.scores[run.score].tolist())
    ]
    strangers.sort(key=lambda row: -row[0])
    found = [
        (
            "Most confidently right",
            "Test images that are recognised with the highest probability.",
            tested(surest[right[surest]]),
        ),
        (
            "Most confidently wrong",
            "Test images taken for another class with the highest probability: hard ones, or wrongly labelled.",
            tested(surest[~right[surest]]),
        ),
        (
            "Least familiar",
            f"Test images with the lowest {run.score}.",
            tested(np.argsort(familiar, kind="stable")),
        ),
        (
            "Unfamiliar, taken for familiar",
            f"Out-of-distribution images with the highest {run.score}. If one of them does show a class of "
            "this task, the set should do without it.",
            [
                Case(
                    run.task.ood[name],
                    run.result.ood_outputs[name],
                    i,
                    f"none of the classes ({name})",
                )
                for _, name, i in strangers[:EACH]
            ],
        ),
    ]
    return [group for group in found if group[2]]


def _case(run: Run, case: Case, text: TextFeatures) -> Markup:
    images, outputs, i, truth = case
    image = images[i]
    pixels, logits = (
        run.model.backbone.to_image(run.model.backbone.preprocess(image)),
        outputs.logits[i],
    )
    best, name = int(logits.argmax()), "/".join(Path(images.names[i]).parts[-2:])
    answer, sure = run.names[best], float(probability(log_odds(logits[None]))[0])
    tiles = [_tile("image", thumbnail(pixels, LARGE, f"The image {name}: {truth}"), "large")]
    if run.result.partition:
        plan = (
            run.model(run.model.backbone.preprocess(image)[None], text)
            .plan_on_grid()[0, best]
            .cpu()
            .numpy()
        )
        tiles.append(
            _tile(
                "largest share",
                thumbnail(overlay(pixels, plan), LARGE, _described(plan, answer)),
                "large",
            )
        )
        tiles += [
            _tile(
                f"prompt {n + 1}",
                thumbnail(overlay(pixels, plan, n), SMALL, _peak(plan[n], n)),
                f"p{n % 8}",
            )
            for n in range(len(plan))
        ]
    return fill(
        '<figure class="case"><div class="tiles">{tiles}</div><figcaption>taken for <b>{answer}</b>, {sure}<br>'
        "in truth <b>{truth}</b><br>{score} {familiar}<br><small>{name}</small></figcaption></figure>\n",
        tiles=tiles,
        answer=answer,
        sure=percent(sure),
        truth=truth,
        score=run.score,
        familiar=f"{float(outputs.scores[run.score][i]):.4f}",
        name=name,
    )


def _tile(title: str, picture: Markup, style: str) -> Markup:
    return fill(
        '<div class="tile {style}">{picture}<span aria-hidden="true">{title}</span></div>',
        style=style,
        picture=picture,
        title=title,
    )


def _described(plan: np.ndarray, answer: str) -> str:
    held = plan.sum(0) > 0
    most = [int((plan.argmax(0)[held] == n).sum()) for n in range(len(plan))]
    return (
        f"Partition for {answer}: {int(held.sum())} of {held.size} patches are in the support; "
        f"prompts 1 to {len(plan)} hold most of {_and(most)} of them"
    )


def _peak(mass: np.ndarray, n: int) -> str:
    row, column = np.unravel_index(mass.argmax(), mass.shape)
    return (
        f"Prompt {n + 1}: mass on {int((mass > 0).sum())} patches, the most in row {row + 1} and column {column + 1} "
        f"of {mass.shape[0]} by {mass.shape[1]}"
    )


def _and(items: Sequence[object]) -> str:
    *front, last = map(str, items)
    return f"{', '.join(front)} and {last}" if front else last
