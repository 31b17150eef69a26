"""Image tower and head as one ONNX graph, from pixels to probabilities, checked against torch before the file is there."""

from __future__ import annotations

import importlib.util
import json
import logging
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import torch
from PIL import Image
from torch import Tensor, nn

from ..judging.threshold import score_of, threshold_of
from ..method.model import SOTGLP, Prediction, PromptMask, text_free
from ..storage import atomic_path
from ..transport.sinkhorn import Transport, marginal_violation

OPSET = 18
LIBRARIES = ("onnx", "onnxscript", "onnxruntime")
ITERATIONS = (
    2,
    4,
    8,
    16,
    32,
    64,
)  # of Sinkhorn, tried on the sample images; the graph gets twice as many
VIOLATION = 1e-5  # of the marginals, that the sample images may show
DIFFERENCE = 1e-4  # from torch


class Graph(NamedTuple):
    """What was measured on the sample images when a graph was written."""

    opset: int
    iterations: int  # of Sinkhorn, unrolled; 0: the model needs none
    violation: float  # largest marginal violation of a plan after these
    difference: float  # largest difference from torch, of probabilities, score and plan
    bytes: int


def to_onnx(model: SOTGLP, path: str | Path, images: Sequence[Image.Image]) -> Graph:
    """Write pixels (B, 3, H, W), normalised -> probabilities (B, C), score (B,), plan (B, N, h, w) of the most probable class.

    The batch B is free; models without local prompts have no plan. As no loop may depend on the data, twice as many of Sinkhorn's
    iterations are unrolled as the images need. The file's metadata "sotglp" is a JSON record of the class names, the
    preprocessing, the score's name, the threshold and the backbone.

    :param images: a sample like what the graph will see, to choose the iterations by and to compare with torch on.
    :raises ValueError: if a library is missing, the backbone is not in float32, the allocation is neither ot nor topk, epsilon is too
        small for a few iterations, or graph and torch differ by more than 1e-4; then no file is written.
    """
    missing = [name for name in LIBRARIES if importlib.util.find_spec(name) is None]
    if missing:
        raise ValueError(
            f"an ONNX graph needs {', '.join(missing)}; run: pip install {' '.join(missing)}"
        )
    if model.backbone.dtype != torch.float32:
        raise ValueError(
            f"the backbone is in {model.backbone.precision}, but a graph is made in fp32; train and export in that"
        )
    if model.config.allocation not in ("ot", "topk"):
        raise ValueError(
            f"allocation is {model.config.allocation!r}; a graph can be made of ot and topk"
        )
    if not images:
        raise ValueError("there is no image to check the graph on; give at least one")
    baked = text_free(model).cpu()
    pixels = torch.stack([baked.backbone.preprocess(image) for image in images])
    with torch.no_grad():
        seen = baked(pixels)
        iterations, violation = _enough(seen, baked)
        wanted = _outputs(seen)
        program = _exported(_Graph(baked, iterations), pixels[:1].repeat(2, 1, 1, 1), list(wanted))
    program.model.metadata_props["sotglp"] = json.dumps(_record(model))
    with atomic_path(path) as temporary:
        program.save(str(temporary), external_data=False)
        difference = _difference(temporary, pixels, wanted)
        if not difference <= DIFFERENCE:
            raise ValueError(
                f"the graph differs from torch by {difference:.2g}, more than {DIFFERENCE:g}; nothing was written"
            )
    return Graph(OPSET, iterations, violation, difference, Path(path).stat().st_size)


def unrolled(support: int | None, iterations: int) -> Callable[..., Transport]:
    """A solver over all patches that itself keeps to the ``support`` of least mean cost; a fixed number of Sinkhorn's iterations.

    u = log a - logsumexp_n(v - C), v = log b - logsumexp_k(u - C), with C the cost in units of epsilon; the rows come last.
    """

    def solver(cost: Tensor, *, epsilon: float, differentiable: bool = False) -> Transport:
        P, N = cost.shape[-2:]
        K = support or P
        index = cost.mean(-1).topk(K, largest=False).indices[..., None].expand(-1, -1, -1, N)
        C = cost.gather(-2, index) / epsilon  # (B, C, K, N)
        a, b = C.new_full((K,), 1 / K), C.new_full((N,), 1 / N)
        u, v = a.log() - torch.logsumexp(-C, -1), torch.zeros_like(C[..., 0, :])
        for _ in range(iterations):
            v = b.log() - torch.logsumexp(u[..., None] - C, -2)
            u = a.log() - torch.logsumexp(v[..., None, :] - C, -1)
        plan = (u[..., None] + v[..., None, :] - C).exp()
        violation = marginal_violation(plan, a, b)
        return Transport(
            torch.zeros_like(cost).scatter(-2, index, plan),
            violation,
            torch.full_like(violation, iterations, dtype=torch.int64),
            violation <= VIOLATION,
        )

    return solver


def _enough(seen: Prediction, model: SOTGLP) -> tuple[int, float]:
    """Twice the iterations that all of the images' problems need, and the violation that they leave."""
    if seen.alignment is None or model.config.allocation != "ot":
        return 0, 0.0
    cost, epsilon = 1 - seen.alignment.similarity, model.config.epsilon
    for number in ITERATIONS:
        if (
            float(unrolled(None, number)(cost, epsilon=epsilon).marginal_violation.max())
            <= VIOLATION
        ):
            return 2 * number, float(
                unrolled(None, 2 * number)(cost, epsilon=epsilon).marginal_violation.max()
            )
    raise ValueError(
        f"{ITERATIONS[-1]} iterations of Sinkhorn are too few for epsilon = {epsilon:g}, and a graph can't loop until "
        "they are enough; train with a larger epsilon, or export to safetensors"
    )


class _Graph(nn.Module):
    """pixels -> outputs, without a shape or a loop that depends on the data."""

    def __init__(self, model: SOTGLP, iterations: int):
        super().__init__()
        self.model, config = text_free(model), model.config
        if config.allocation == "ot":
            self.model.config = config.replace(support=None)
            self.model.solver = unrolled(config.support, iterations)
        self.backbone = model.backbone  # so that its weights are the graph's

    def forward(self, pixels: Tensor) -> tuple[Tensor, ...]:
        return tuple(_outputs(self.model(pixels, mask=PromptMask(None, None))).values())


def _outputs(seen: Prediction) -> dict[str, Tensor]:
    probabilities, score = seen.logits.softmax(-1), seen.similarity.softmax(-1).amax(-1)
    if seen.alignment is None:
        return {"probabilities": probabilities, "score": score}
    plans = seen.plan_on_grid()  # (B, C, N, h, w)
    best = seen.logits.argmax(-1)[:, None, None, None, None].expand(-1, -1, *plans.shape[2:])
    return {
        "probabilities": probabilities,
        "score": score + seen.patch_similarity.softmax(-2).amax((-1, -2)),
        "plan": plans.gather(1, best)[:, 0],
    }


def _exported(graph: nn.Module, pixels: Tensor, names: list[str]) -> Any:
    level = logging.root.manager.disable
    logging.disable(logging.WARNING)  # the exporter's notes to its own developers
    try:
        with warnings.catch_warnings(action="ignore"):
            return torch.onnx.export(
                graph,
                (pixels,),
                dynamo=True,
                opset_version=OPSET,
                input_names=["pixels"],
                output_names=names,
                dynamic_shapes=({0: torch.export.Dim("batch")},),
                verbose=False,
            )
    finally:
        logging.disable(level)


def _difference(path: Path, pixels: Tensor, wanted: dict[str, Tensor]) -> float:
    """The largest, over all images at once and the first alone."""
    import onnxruntime

    session = onnxruntime.InferenceSession(path.read_bytes(), providers=["CPUExecutionProvider"])
    return max(
        float((torch.from_numpy(got) - expected[rows]).abs().max())
        for rows in (slice(None), slice(1))
        for got, expected in zip(
            session.run(list(wanted), {"pixels": pixels[rows].numpy()}), wanted.values()
        )
    )


def _record(model: SOTGLP) -> dict:
    backbone, threshold = model.backbone, threshold_of(model)
    return {
        "class_names": model.class_names,
        "score": score_of(model),
        "threshold": threshold and threshold.to_dict(),
        "preprocessing": backbone.model.visual.preprocess_cfg,
        "backbone": {
            "name": backbone.name,
            "pretrained": backbone.pretrained,
            "fingerprint": backbone.fingerprint,
        },
    }
