"""Pairs measured in one run, in turn: ``python tests/benchmarks/speed.py [text step sinkhorn local
epoch breakdown] [--repeats 3]``.

Writes ``results/speed.json`` and ``results/speed.md``, which the book shows; a part measured again
replaces its own rows alone.
"""

from __future__ import annotations

import argparse
import json
import platform
import statistics
import subprocess
import sys
import time
import warnings
from collections.abc import Callable
from pathlib import Path

import naive
import torch
from torch.nn.functional import normalize

from sotglp_core import SOTGLP, fit, load_backbone, load_task, preset, recipe, sinkhorn
from sotglp_core.clip.backbone import ImageFeatures
from sotglp_core.data.features import encode
from sotglp_core.method.alignment import align
from sotglp_core.method.losses import prompt_loss

RESULTS = Path(__file__).parent / "results"


def seconds(call: Callable[[], object]) -> float:
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


def pair(
    what: str,
    wanted: float | None,
    baseline: Callable[[], object],
    ours: Callable[[], object],
    repeats: int,
    warm: bool = True,
) -> dict:
    """Both in turn; medians of the seconds and of the ratios of neighbours."""
    if warm:
        baseline(), ours()
    times = [(seconds(baseline), seconds(ours)) for _ in range(repeats)]
    ratio = statistics.median(a / b for a, b in times)
    print(f"{what}: {ratio:.1f}x" + (f" (wanted {wanted}x)" if wanted else ""), flush=True)
    return {
        "what": what,
        "wanted": wanted,
        "baseline": statistics.median(a for a, _ in times),
        "ours": statistics.median(b for _, b in times),
        "ratio": ratio,
    }


def clip() -> SOTGLP:
    return SOTGLP(
        load_backbone("ViT-B-16", "random"), naive.CLASSES, preset("sotglp", global_dropout=0.0)
    ).train()


def text(repeats: int) -> list[dict]:
    model = clip()
    learners = (model.global_prompts, model.local_prompts)

    def padded():
        for one in learners:
            naive.prompt_features(model.backbone, naive.CLASSES, one.context).sum().backward()

    return [
        pair(
            "text forward + backward, C = 47, 3 + 4 prompts, against 77 tokens",
            10,
            padded,
            lambda: [one(model.backbone).sum().backward() for one in learners],
            repeats,
            warm=False,
        )
    ]


def our_step(model: SOTGLP, features: ImageFeatures, labels: torch.Tensor) -> None:
    seen = model(features)
    prompt_loss(seen.global_logits, seen.local_logits, labels).backward()


def step(repeats: int) -> list[dict]:
    model, pixels, labels = clip(), torch.randn(32, 3, 224, 224), torch.arange(32) % 47
    with torch.no_grad():
        seen = model.backbone.encode_image(pixels)
    features = ImageFeatures(seen.image, seen.patches.half(), seen.grid)
    return [
        pair(
            "training step, C = 47, B = 32, cached image features, against the naive step",
            15,
            lambda: naive.step(model, pixels, labels),
            lambda: our_step(model, features, labels),
            repeats,
            warm=False,
        )
    ]


def transport(repeats: int) -> list[dict]:
    import ot.batch

    cost, rows = 1 - (0.25 + 0.015 * torch.randn(47_000, 10, 4)), []
    for name, settings in {
        "": dict(tol=1e-6),
        ", stopped at the first iteration that reaches it": {},
        " with method='sinkhorn', stopped so": dict(method="sinkhorn"),
    }.items():

        def pot(**more):
            return ot.batch.solve_batch(cost, 0.1, grad="detach", **settings, **more)  # noqa: B023

        def violation(plan):
            return float(
                ((plan.sum(-1) - 0.1).abs().sum(-1) + (plan.sum(-2) - 0.25).abs().sum(-1)).max()
            )

        more = {}
        if name:
            more = dict(
                tol=0.0,
                max_iter=next(
                    i for i in range(1, 100) if violation(pot(tol=0.0, max_iter=i).plan) <= 1e-6
                ),
            )
        reached = violation(pot(**more).plan), violation(sinkhorn(cost, epsilon=0.1).plan)
        assert max(reached) <= 1e-6, reached
        what = (
            "Sinkhorn, 47,000 problems of 10 x 4, to a violation of 1e-6, "
            f"against POT's solve_batch{name}"
        )
        rows.append(
            pair(
                what,
                None if name else 10,
                lambda more=more: pot(**more),
                lambda: sinkhorn(cost, epsilon=0.1),
                max(7, repeats),
            )
        )  # noqa: B023
    return rows


def local_problem() -> tuple[torch.Tensor, torch.Tensor]:
    return normalize(torch.randn(64, 196, 512), dim=-1), normalize(
        torch.randn(1000, 4, 512), dim=-1
    ).requires_grad_()


LOCAL = {"dense": naive.local_score, "ours": lambda patches, prompts: align(patches, prompts).score}


def peak(which: str) -> float:
    """MiB that the first forward and backward pass of a process adds to what it held."""
    code = (
        f"import speed; p = speed.local_problem(); before = speed.high_water(); "
        f"speed.LOCAL[{which!r}](*p).sum().backward(); print(speed.high_water() - before)"
    )
    return float(
        subprocess.check_output(
            [sys.executable, "-c", code], cwd=Path(__file__).parent, text=True
        ).split()[-1]
    )


def high_water() -> float:
    """MiB that this process held at most, from Linux; getrusage would count its parent's."""
    return int(Path("/proc/self/status").read_text().split("VmHWM:")[1].split()[0]) / 1024


def local(repeats: int) -> list[dict]:
    patches, prompts = local_problem()
    dense, ours = (
        lambda score=score: score(patches, prompts).sum().backward() for score in LOCAL.values()
    )
    row = pair(
        "local branch forward + backward, B = 64, C = 1000, N = 4, P = 196, against dense",
        1,
        dense,
        ours,
        repeats,
    )
    dense, ours = (statistics.median(peak(name) for _ in range(3)) for name in LOCAL)
    print(f"memory {dense:.0f} against {ours:.0f} MiB")
    return [
        row,
        {
            "what": "peak memory of the same",
            "wanted": 4,
            "baseline": dense,
            "ours": ours,
            "ratio": dense / ours,
            "unit": "MiB",
        },
    ]


def epoch(repeats: int) -> list[dict]:
    backbone, task = load_backbone(), load_task(shots=16)
    features = encode(backbone, task.train, progress=False)
    model = SOTGLP(backbone, task.class_names, recipe("sotglp", epochs=1))

    def again():
        fit(model, encode(backbone, task.train, cache=False, progress=False), progress=False)

    return [
        pair(
            f"one epoch of the embedded task ({len(features)} images), "
            "from cache against encoding them again",
            50,
            again,
            lambda: fit(model, features, progress=False),
            repeats,
        ),
        pair(
            "the features of these images, from cache against encoding them again",
            None,
            lambda: encode(backbone, task.train, cache=False, progress=False),
            lambda: encode(backbone, task.train, progress=False),
            repeats,
        ),
    ]


def breakdown(repeats: int) -> list[dict]:
    """Milliseconds of the parts of a step, at a base point and with one size changed at a time."""
    model, rows, base = clip(), [], dict(B=32, C=47, P=196, N=4, K=10)
    for change in ({}, {"B": 128}, {"C": 188}, {"P": 576}, {"N": 8}, {"K": 40}):
        at = base | change
        names = (
            naive.CLASSES
            + [f"{n} {m}" for m in ("coarse", "fine", "pale") for n in naive.CLASSES][
                : at["C"] - 47
            ]
        )
        config = preset("sotglp", global_dropout=0.0, local_prompts=at["N"], support=at["K"])
        own = SOTGLP(model.backbone, names, config).train()
        side = int(at["P"] ** 0.5)
        features = ImageFeatures(
            torch.randn(at["B"], 512), torch.randn(at["B"], at["P"], 768), (side, side)
        )
        labels = torch.arange(at["B"]) % 47
        parts: dict[str, list[float]] = {}
        for _ in range(repeats):
            for name, value in one_step(own, features, labels, with_images=not change).items():
                parts.setdefault(name, []).append(1000 * value)
        rows.append(
            {
                "at": ", ".join(f"{k} = {v}" for k, v in (change or base).items()),
                **{name: statistics.median(values) for name, values in parts.items()},
            }
        )
        print(rows[-1], flush=True)
    return rows


def one_step(
    model: SOTGLP, features: ImageFeatures, labels: torch.Tensor, with_images: bool
) -> dict[str, float]:
    """Seconds of each part; the transport is inside the local branch, the images are what caching
    saves.
    """
    parts, spent = {}, []

    def timed(cost, **settings):
        start = time.perf_counter()
        result = sinkhorn(cost, **settings)
        spent.append(time.perf_counter() - start)
        return result

    if with_images:
        pixels = torch.randn(len(features.image), 3, 224, 224)
        with torch.no_grad():
            parts["images (cached)"] = seconds(lambda: model.backbone.encode_image(pixels))
    model.solver, start = timed, time.perf_counter()
    encoded = model.text_features()
    parts["text"], start = time.perf_counter() - start, time.perf_counter()
    leaves = type(encoded)(*(x.detach().requires_grad_() for x in encoded))
    seen = model(features, leaves)
    loss = prompt_loss(seen.global_logits, seen.local_logits, labels)
    parts["branches"], start = time.perf_counter() - start - spent[0], time.perf_counter()
    parts["Sinkhorn"] = spent[0]
    loss.backward()
    parts["branches backward"], start = time.perf_counter() - start, time.perf_counter()
    torch.autograd.backward(encoded, [x.grad for x in leaves])
    return parts | {"text backward": time.perf_counter() - start}


PARTS = {
    "text": text,
    "step": step,
    "sinkhorn": transport,
    "local": local,
    "epoch": epoch,
    "breakdown": breakdown,
}


def figure(value: float) -> str:
    """Three figures, never as a power of ten."""
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def page(results: dict) -> str:
    """The tables as Markdown."""
    lines = [
        results["machine"],
        "",
        "| work | baseline | here | ratio | wanted |",
        "|---|--:|--:|--:|--:|",
    ]
    for row in (row for name in PARTS if name != "breakdown" for row in results.get(name, ())):
        scale, unit = (
            (1, row["unit"]) if "unit" in row else (1, "s") if row["ours"] >= 1 else (1000, "ms")
        )
        lines.append(
            f"| {row['what']} | {figure(scale * row['baseline'])} {unit} "
            f"| {figure(scale * row['ours'])} {unit} "
            f"| {row['ratio']:.1f} | {row['wanted'] or '–'} |"
        )
    if results.get("breakdown"):
        columns = list(results["breakdown"][0])[1:]
        lines += [
            "",
            "Milliseconds of the parts of a step, one size changed from the first row at a time:",
            "",
            f"| sizes | {' | '.join(columns)} |",
            "|---|" + "--:|" * len(columns),
        ]
        lines += [
            f"| {row['at']} | "
            + " | ".join(f"{row[c]:.0f}" if c in row else "–" for c in columns)
            + " |"
            for row in results["breakdown"]
        ]
    return "\n".join(lines) + "\n"


def main() -> None:
    warnings.simplefilter("ignore")
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("parts", nargs="*", default=list(PARTS), help=", ".join(PARTS))
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--out", type=Path, default=RESULTS)
    arguments = parser.parse_args()
    import open_clip
    import ot

    file = arguments.out / "speed.json"
    machine = (
        f"{torch.get_num_threads()} threads of {platform.machine()}, "
        f"Python {platform.python_version()}, torch {torch.__version__}, "
        f"open_clip {open_clip.__version__}, POT {ot.__version__}; "
        f"medians of {arguments.repeats} or more pairs."
    )
    results = json.loads(file.read_text()) if file.exists() else {}
    for name in arguments.parts:
        torch.manual_seed(0)
        results |= {"machine": machine, name: PARTS[name](arguments.repeats)}
        arguments.out.mkdir(parents=True, exist_ok=True)
        file.write_text(json.dumps(results, indent=1) + "\n")
        file.with_suffix(".md").write_text(page(results))
    print(page(results))


if __name__ == "__main__":
    main()
