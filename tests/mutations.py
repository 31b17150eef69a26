"""Breaks of the method that tests must notice: ``python tests/mutations.py`` prints what they say.

Each break replaces a function or a value while one test runs, all in one process; the result is a
JSON object of pytest's exit codes, by break, and "" for all the tests without one.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple
from unittest import mock

import pytest
import torch

from sotglp_core.clip import dense, text
from sotglp_core.config import PRESETS
from sotglp_core.judging import ood
from sotglp_core.method import alignment, model
from sotglp_core.transport import kernel, sinkhorn

TESTS = Path(__file__).parent


class Mutation(NamedTuple):
    """A function that replaces another, given that one, and the test that must fail."""

    owner: Any  # a module, or a dictionary
    name: str
    replace: Callable[[Any], Any]
    test: str


def with_argument(**changed: Any) -> Callable:
    """A function, called with other keyword arguments."""
    return lambda original: lambda *args, **named: original(*args, **{**named, **changed})


def tilted(plans: Callable) -> Callable:
    def newton(*args: Any) -> tuple:
        plan, used = plans(*args)
        plan[..., 0] *= 1.01
        return plan, used

    return newton


MUTATIONS = {
    "Newton steps miss the marginal of a column": Mutation(
        sinkhorn,
        "_newton",
        tilted,
        "transport/test_sinkhorn.py::test_converges[float64-0.001-wide range]",
    ),
    "marginals are not uniform by default": Mutation(
        sinkhorn,
        "_marginal",
        lambda original: (
            lambda value, C, size: (
                original(value, C, size) * torch.linspace(0.9, 1.1, size, dtype=C.dtype)
            )
        ),
        "method/test_alignment.py::test_balanced_ot_on_the_support",
    ),
    "the support is of the least similar patches": Mutation(
        torch.Tensor,
        "topk",
        with_argument(largest=False),
        "method/test_alignment.py::test_support_is_the_largest_mean_cosine_and_shared_by_the_prompts",
    ),
    "the support is of another class": Mutation(
        torch.Tensor,
        "topk",
        lambda original: lambda x, *args, **named: original(x.roll(1, 1), *args, **named),
        "method/test_alignment.py::test_support_is_the_largest_mean_cosine_and_shared_by_the_prompts",
    ),
    "no global prompt is dropped": Mutation(
        model,
        "one_hot",
        lambda original: lambda *args: torch.ones_like(original(*args)),
        "method/test_model.py::test_global_dropout_draws_with_replacement_and_only_while_training",
    ),
    "the gradient flows through the plan": Mutation(
        alignment.ALLOCATIONS,
        "ot",
        with_argument(differentiable=True),
        "method/test_alignment.py::test_gradient_is_the_plan",
    ),
    "the score is not divided by N": Mutation(
        alignment,
        "align",
        with_argument(divide_by_prompts=False),
        "method/test_alignment.py::test_divided_by_prompts",
    ),
    "the reference does not divide by N": Mutation(
        PRESETS,
        "reference",
        lambda original: {**original, "divide_by_prompts": False},
        "method/test_reference.py::test_plan_score_and_logits",
    ),
    "the best global prompt counts alone": Mutation(
        model,
        "_global_similarity",
        lambda original: (
            lambda image, text, keep: torch.einsum("bd,cmd->bcm", image, text).amax(-1)
        ),
        "method/test_model.py::test_logits_average_the_branches",
    ),
    "the implicit gradient ignores the column potentials": Mutation(
        sinkhorn,
        "_schur_solve",
        lambda original: lambda plan, a, b, right: torch.zeros_like(right),
        "transport/test_sinkhorn.py::test_gradient_equals_unrolled_iterations",
    ),
    "text tokens see what follows": Mutation(
        text,
        "scaled_dot_product_attention",
        with_argument(attn_mask=None),
        "method/test_prompts.py::test_first_prompt_is_the_template",
    ),
    "losses in fp16 are not scaled": Mutation(
        torch.amp,
        "GradScaler",
        with_argument(enabled=False),
        "clip/test_precision.py::test_small_gradients_survive_in_fp16",
    ),
    "the fused kernel takes another column marginal": Mutation(
        kernel,
        "scale",
        lambda original: lambda C, a, b, *rest: original(C, a, b.roll(1, -1), *rest),
        "transport/test_kernel.py::test_equals_pot",
    ),
    "the first block is not shared": Mutation(
        dense.DENSE,
        "vv-shared",
        lambda original: dense.vv,
        "method/test_reference.py::test_patch_tokens",
    ),
    "FPR95 has one convention": Mutation(
        ood,
        "fpr_at_recall",
        with_argument(ood_positive=False),
        "judging/test_ood.py::test_the_two_conventions_differ",
    ),
}


@contextmanager
def broken(mutation: Mutation) -> Iterator[None]:
    owner, name = mutation.owner, mutation.name
    if isinstance(owner, dict):
        patch = mock.patch.dict(owner, {name: mutation.replace(owner[name])})
    else:
        patch = mock.patch.object(owner, name, mutation.replace(getattr(owner, name)))
    with patch:
        yield


def outcome(*tests: str) -> int:
    """pytest's exit code; the tests' modules are imported anew, and find what is there now."""
    for module in [name for name in sys.modules if name.startswith("test_")]:
        del sys.modules[module]
    places = [str(TESTS / test) for test in tests]
    return int(pytest.main(["-x", "-q", "-p", "no:cacheprovider", *places]))


def main() -> None:
    printed, sys.stdout = sys.stdout, sys.stderr
    found = {"": outcome(*{mutation.test for mutation in MUTATIONS.values()})}
    for name, mutation in MUTATIONS.items():
        with broken(mutation):
            found[name] = outcome(mutation.test)
    json.dump(found, printed)


if __name__ == "__main__":
    main()
