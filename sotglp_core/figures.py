"""Arrays in, matplotlib Figure out: one style and one colour-blind-safe palette for the whole book."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib import rc_context
from matplotlib.figure import Figure

PALETTE = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#F0E442", "#000000")  # Okabe and Ito
HEATMAP = "magma"
STYLE = {"font.size": 10, "axes.titlesize": 10, "axes.spines.top": False, "axes.spines.right": False, "legend.frameon": False,
         "figure.facecolor": "white", "savefig.facecolor": "white", "axes.grid": True, "grid.alpha": 0.25, "figure.dpi": 110}


def style() -> None:
    """Let notebooks show figures as crisp PNGs; elsewhere this does nothing."""
    try:
        from IPython import get_ipython
        from matplotlib_inline.backend_inline import set_matplotlib_formats
    except ImportError:
        return
    if get_ipython() is not None:
        set_matplotlib_formats("png", dpi=130, bbox_inches=None)


def contact_sheet(images: Sequence[np.ndarray], titles: Sequence[str] | None = None, *, columns: int = 6, size: float = 1.5) -> Figure:
    """A grid of (H, W, 3) images, each with an optional title."""
    rows = -(-len(images) // columns)
    with rc_context(STYLE):
        figure = Figure(figsize=(size * columns, (size + 0.3 * bool(titles)) * rows), layout="constrained")
        axes = figure.subplots(rows, columns, squeeze=False)
        for ax in axes.flat:
            ax.set_axis_off()
        for i, (ax, image) in enumerate(zip(axes.flat, images)):
            ax.imshow(image)
            if titles:
                ax.set_title(_wrapped(titles[i]), fontsize=7)
    return figure


def partition(image: np.ndarray, plan: np.ndarray, *, title: str = "", names: Sequence[str] | None = None) -> Figure:
    """One image, the prompts' shares of its patches, and one heatmap a prompt.

    :param image: (H, W, 3).
    :param plan: (N, h, w) mass of each prompt on each patch.
    """
    prompts = len(plan)
    names = names or [f"prompt {n + 1}" for n in range(prompts)]
    with rc_context(STYLE):
        figure = Figure(figsize=(1.75 * (prompts + 2), 2.25), layout="constrained")
        axes = figure.subplots(1, prompts + 2)
        for ax in axes:
            ax.imshow(image, extent=(0, 1, 1, 0))
            ax.set_axis_off()
        axes[0].set_title(_wrapped(title))
        axes[1].imshow(shares(plan), extent=(0, 1, 1, 0), interpolation="nearest", alpha=0.8)
        axes[1].set_title("largest share")
        top = max(float(plan.max()), 1e-12)
        for n, ax in enumerate(axes[2:]):
            shown = ax.imshow(plan[n], extent=(0, 1, 1, 0), cmap=HEATMAP, vmin=0, vmax=top, alpha=np.where(plan[n] > 0, 0.85, 0.25))
            ax.set_title(names[n], color=PALETTE[n % len(PALETTE)])
        figure.colorbar(shown, ax=list(axes[2:]), shrink=0.8, label="mass")
    return figure


def shares(plan: np.ndarray) -> np.ndarray:
    """(h, w, 4) colours: each patch in the colour of its largest share, paler the smaller that share; clear off the support."""
    colours = np.array([[int(c[i:i + 2], 16) / 255 for i in (1, 3, 5)] for c in PALETTE])
    mass = plan.sum(0)
    best = plan.argmax(0)
    strength = np.divide(plan.max(0), mass, out=np.zeros_like(mass), where=mass > 0)
    return np.concatenate([colours[best % len(colours)], np.where(mass > 0, 0.25 + 0.75 * strength, 0)[..., None]], -1)


def part_colours(parts: np.ndarray) -> np.ndarray:
    """(H, W, 4) colours of a part mask (H, W): part k in colour k - 1 of the palette, 0 clear."""
    colours = np.array([(1, 1, 1, 0), *((*(int(c[i:i + 2], 16) / 255 for i in (1, 3, 5)), 1) for c in PALETTE)])
    return colours[parts]


def tradeoff(points: Mapping[str, tuple[Sequence[float], Sequence[float]]], *, score: str = "GL-MCM") -> Figure:
    """Accuracy against AUROC, one mark a method with the deviation over seeds as bars.

    :param points: name -> (accuracies, AUROCs), one entry a seed, as fractions.
    """
    with rc_context(STYLE):
        figure = Figure(figsize=(5.2, 3.8), layout="constrained")
        ax = figure.subplots()
        for i, (name, (accuracy, auroc)) in enumerate(points.items()):
            x, y = 100 * np.asarray(accuracy), 100 * np.asarray(auroc)
            spread = {"xerr": x.std(ddof=1), "yerr": y.std(ddof=1)} if len(x) > 1 else {}
            ax.errorbar(x.mean(), y.mean(), **spread, fmt="osD^vPX*"[i % 8], markersize=7, capsize=2,
                        color=PALETTE[i % len(PALETTE)], label=name)
        ax.set_xlabel("top-1 accuracy, %")
        ax.set_ylabel(f"AUROC of {score}, mean over OOD sets, %")
        ax.legend(fontsize=8)
    return figure


def curves(x: Sequence[float], lines: Mapping[str, np.ndarray], *, xlabel: str, ylabel: str) -> Figure:
    """One line a method: the mean over seeds, with the deviation as bars; x on a logarithmic axis.

    :param lines: name -> (seeds, len(x)), as fractions.
    """
    with rc_context(STYLE):
        figure = Figure(figsize=(5.6, 3.8), layout="constrained")
        ax = figure.subplots()
        for i, (name, values) in enumerate(lines.items()):
            values = 100 * np.asarray(values)
            ax.errorbar(x, values.mean(0), values.std(0, ddof=1) if len(values) > 1 else None, marker="osD^vPX*"[i % 8], markersize=5,
                        capsize=2, color=PALETTE[i % len(PALETTE)], label=name)
        ax.set_xscale("log", base=2)
        ax.set_xticks(x, [str(v) for v in x])
        ax.set_xlabel(xlabel)
        ax.set_ylabel(ylabel)
        ax.legend(fontsize=8)
    return figure


def history(histories: Mapping[str, Sequence]) -> Figure:
    """Loss and training accuracy by epoch, one line a run; histories are what ``fit`` returns."""
    with rc_context(STYLE):
        figure = Figure(figsize=(7, 2.7), layout="constrained")
        for ax, field, label in zip(figure.subplots(1, 2), ("loss", "accuracy"), ("training loss", "training accuracy, %")):
            for i, (name, epochs) in enumerate(histories.items()):
                values = [getattr(e, field) * (100 if field == "accuracy" else 1) for e in epochs]
                ax.plot([e.epoch for e in epochs], values, color=PALETTE[i % len(PALETTE)], label=name)
            ax.set_xlabel("epoch")
            ax.set_ylabel(label)
        ax.legend(fontsize=8)
    return figure


def score_histograms(inside: np.ndarray, outside: Mapping[str, np.ndarray], *, score: str = "GL-MCM") -> Figure:
    """Distribution of one OOD score on in-distribution images and on each OOD set."""
    with rc_context(STYLE):
        figure = Figure(figsize=(6.5, 3), layout="constrained")
        ax = figure.subplots()
        everything = np.concatenate([inside, *outside.values()])
        bins = np.linspace(everything.min(), everything.max() + 1e-12, 41)
        ax.hist(inside, bins, density=True, color="0.8", label="in-distribution")
        for i, (name, values) in enumerate(outside.items()):
            ax.hist(values, bins, density=True, histtype="step", linewidth=1.6, color=PALETTE[i % len(PALETTE)], label=name)
        ax.set_xlabel(score)
        ax.set_ylabel("density")
        ax.legend(fontsize=8)
    return figure


def _wrapped(text: str, width: int = 22) -> str:
    lines = [""]
    for word in text.split():
        if lines[-1] and len(lines[-1]) + len(word) + 1 > width:
            lines.append("")
        lines[-1] = f"{lines[-1]} {word}".strip()
    return "\n".join(lines)
