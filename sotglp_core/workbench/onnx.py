"""Image tower and head as one ONNX graph, from pixels to probabilities, checked against torch."""

import importlib.util
import io
import json
import logging
import math
import warnings
from collections.abc import Sequence
from contextlib import redirect_stdout
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import torch
from PIL import Image
from torch import Tensor, nn

from ..judging.threshold import score_of
from ..method.fixed import text_free
from ..method.model import SOTGLP, Prediction
from ..storage import atomic_path
from ..transport.sinkhorn import Transport, marginal_violation

OPSET = 18
LIBRARIES = ("onnx", "onnxscript", "onnxruntime")
OUTPUTS = ("probabilities", "score", "plan")
ITERATIONS = (2, 4, 8, 16, 32, 64)  # of Sinkhorn, tried on the images; the graph gets twice as many
VIOLATION = 1e-5  # of the marginals, that the images may show
DIFFERENCE = 1e-4  # from torch


class Graph(NamedTuple):
    """What was measured on the sample images when a graph was written."""

    opset: int
    iterations: int  # of Sinkhorn, unrolled; 0: the model needs none
    violation: float  # largest marginal violation of a plan after these
    difference: float  # largest difference from torch, of probabilities, score and plan
    bytes: int


def to_onnx(model: SOTGLP, path: str | Path, images: Sequence[Image.Image]) -> Graph:
    """Write (B, 3, H, W) normalised pixels -> probabilities, score and plan of the best class.

    probabilities: (B, C); score: (B,); plan: (B, N, h, w), absent without local prompts. The batch
    B is free. As no loop may depend on the data, twice as many of
    Sinkhorn's iterations are unrolled as the images need. The file's metadata "sotglp" is a JSON
    record of the class names, the preprocessing, the score's name, the threshold and the backbone.

    :param images: a sample of what the graph will see, to choose the iterations by and to compare
        with torch on, all at once and the first alone; at least one.
    :raises ValueError: if a library is missing, the backbone is not in float32, epsilon is too
        small for a few iterations, or graph and torch differ by more than 1e-4; then no file is
        written.
    """
    if not all(map(importlib.util.find_spec, LIBRARIES)):
        raise ValueError(
            f"an ONNX graph needs more libraries; run: pip install {' '.join(LIBRARIES)}"
        )
    backbone, config = model.backbone, model.config
    if backbone.dtype != torch.float32:
        raise ValueError(f"the backbone is in {backbone.precision}; load the prompts in fp32")
    graph = _Graph(text_free(model).cpu())
    pixels = torch.stack([backbone.preprocess(image) for image in images])
    iterations, violation = 0, 0.0
    with torch.no_grad():
        prediction = graph.model(pixels)
        expected, alignment = graph.outputs(prediction), prediction.alignment
        if alignment is not None and config.allocation == "ot":
            cost = 1 - alignment.similarity
            iterations, violation = enough_iterations(cost, config.epsilon)
            graph.model.solver = partial(unrolled, iterations=iterations)
        program = _export(graph, pixels[:1].repeat(2, 1, 1, 1), OUTPUTS[: len(expected)])
    difference = max(
        float((ours - theirs[rows]).abs().max())
        for rows in (slice(None), slice(1))
        for ours, theirs in zip(program(pixels[rows]), expected)
    )
    if not difference <= DIFFERENCE:
        raise ValueError(
            f"the graph differs from torch by {difference:.2g}, more than {DIFFERENCE:g}; "
            "nothing was written"
        )
    record = {
        "class_names": model.class_names,
        "score": score_of(model),
        "threshold": model.threshold and vars(model.threshold),
        "preprocessing": backbone.model.visual.preprocess_cfg,
        "backbone": backbone.record,
    }
    program.model.metadata_props["sotglp"] = json.dumps(record)
    with atomic_path(path) as temporary:
        program.save(str(temporary), external_data=False)
    return Graph(OPSET, iterations, violation, difference, Path(path).stat().st_size)


def unrolled(cost: Tensor, *, epsilon: float, iterations: int, **others: Any) -> Transport:
    """u = log a - logsumexp_n(v - C), v = log b - logsumexp_k(u - C) in turn; P = exp(u + v - C).

    Always as many iterations, in the log domain and between uniform marginals.

    :param cost: (..., K, N), epsilon C.
    """
    C, (K, N) = cost / epsilon, cost.shape[-2:]
    u = -torch.logsumexp(-C, -1) - math.log(K)
    v = torch.zeros_like(C[..., 0, :])
    for _ in range(iterations):
        v = -torch.logsumexp(u[..., :, None] - C, -2) - math.log(N)
        u = -torch.logsumexp(v[..., None, :] - C, -1) - math.log(K)
    plan = (u[..., :, None] + v[..., None, :] - C).exp()
    violation = marginal_violation(plan, C.new_tensor(1 / K), C.new_tensor(1 / N))
    return Transport(plan, violation, torch.tensor(iterations), violation <= VIOLATION)


def enough_iterations(cost: Tensor, epsilon: float) -> tuple[int, float]:
    """Twice the iterations that all plans need, and the largest violation that they leave.

    :raises ValueError: if too many are needed.
    """
    for number in ITERATIONS:
        if bool(unrolled(cost, epsilon=epsilon, iterations=number).converged.all()):
            twice = unrolled(cost, epsilon=epsilon, iterations=2 * number)
            return 2 * number, float(twice.marginal_violation.max())
    raise ValueError(
        f"{ITERATIONS[-1]} iterations of Sinkhorn are too few for epsilon = {epsilon:g}, and a "
        "graph can't loop until they are enough; train with a larger epsilon, or export to "
        "safetensors"
    )


class _Graph(nn.Module):
    """pixels -> :data:`OUTPUTS`, without a shape or a loop that depends on the data."""

    def __init__(self, model: SOTGLP):
        super().__init__()
        self.model, self.backbone = model, model.backbone  # whose weights are the graph's

    def forward(self, pixels: Tensor) -> tuple[Tensor, ...]:
        return self.outputs(self.model(pixels))

    @staticmethod
    def outputs(prediction: Prediction) -> tuple[Tensor, ...]:
        """:data:`OUTPUTS` of what the model says."""
        probabilities = prediction.logits.softmax(-1)
        score = prediction.similarity.softmax(-1).amax(-1)
        if prediction.alignment is None:
            return probabilities, score
        score = score + prediction.patch_similarity.softmax(-2).amax((-1, -2))
        plans = prediction.plan_on_grid()  # (B, C, N, h, w); an index by image would fix the batch
        best = prediction.logits.argmax(-1).view(-1, 1, 1, 1, 1).expand(-1, -1, *plans.shape[2:])
        return probabilities, score, plans.gather(1, best)[:, 0]


def _export(graph: nn.Module, pixels: Tensor, names: Sequence[str]) -> Any:
    level = logging.root.manager.disable
    logging.disable(logging.WARNING)  # the exporter's notes to its own developers
    try:
        with warnings.catch_warnings(action="ignore"), redirect_stdout(io.StringIO()):
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
