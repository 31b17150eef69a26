"""Break the method in one place at a time; the tests named beside each break must notice."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
MUTATIONS = {
    "column marginal": (
        "transport/sinkhorn.py",
        "residual = b - column",
        "residual = 1.01 * b - column",
        "transport/test_sinkhorn.py::test_converges",
    ),
    "default marginal": (
        "transport/sinkhorn.py",
        "C.new_full(shape, 1 / size)",
        "C.new_full(shape, 1 / (size + 1))",
        "method/test_alignment.py::test_balanced_ot_on_the_support",
    ),
    "support order": (
        "method/alignment.py",
        "topk(support, dim=-1)",
        "topk(support, dim=-1, largest=False)",
        "method/test_alignment.py::test_support_is_the_largest_mean_cosine_and_shared_by_the_prompts",
    ),
    "detach": (
        "method/alignment.py",
        "differentiable: bool = False,\n    memory",
        "differentiable: bool = True,\n    memory",
        "method/test_alignment.py::test_gradient_is_the_plan",
    ),
    "division by N": (
        "method/alignment.py",
        "score / N if divide_by_prompts else score",
        "score",
        "method/test_alignment.py::test_divided_by_prompts",
    ),
    "reference's division by N": (
        "config.py",
        "shared_first_block=True, divide_by_prompts=True",
        "shared_first_block=True",
        "method/test_reference.py::test_plan_score_and_logits",
    ),
    "mean over prompts": (
        "method/alignment.py",
        "prompts.detach().mean(1)",
        "prompts.detach().amax(1)",
        "method/test_alignment.py::test_support_is_the_largest_mean_cosine_and_shared_by_the_prompts",
    ),
    "mean of the global prompts": (
        "method/model.py",
        "by_prompt.mean(-1)",
        "by_prompt.amax(-1)",
        "method/test_model.py::test_logits_average_the_branches",
    ),
    "implicit gradient": (
        "transport/sinkhorn.py",
        "(plan * (x[..., None] + y[..., None, :]) - weighted)",
        "(-weighted)",
        "transport/test_sinkhorn.py::test_gradient_equals_unrolled_iterations",
    ),
    "causal mask": (
        "clip/text.py",
        ".tril(begun)",
        ".tril(begun + 1)",
        "method/test_prompts.py::test_first_prompt_is_the_template",
    ),
    "patches gathered again": (
        "method/alignment.py",
        "index_select(0, rows).view",
        "index_select(0, rows.flip(0)).view",
        "method/test_alignment.py::test_equals_the_dense_formula",
    ),
    "scaled losses": (
        "learning/training.py",
        "enabled=fp16",
        "enabled=False",
        "clip/test_precision.py::test_small_gradients_survive_in_fp16",
    ),
    "fused kernel's marginal": (
        "transport/kernel.py",
        "q = B / tl.where",
        "q = 1.01 * B / tl.where",
        "transport/test_kernel.py::test_equals_the_torch_solver_in_float64",
    ),
    "first block's leak": (
        "clip/backbone.py",
        "if number == 0 and shared_first_block:",
        "if False:",
        "method/test_reference.py::test_patch_tokens",
    ),
    "FPR threshold": (
        "judging/ood.py",
        "tpr >= recall - 1e-9",
        "tpr > recall",
        "judging/test_ood.py::test_the_two_conventions_differ",
    ),
}


def outcome(folder, *tests):
    """pytest's exit code on some tests of a copy of the project, and what it printed."""
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-x",
        "-q",
        "-p",
        "no:cacheprovider",
        *(str(folder / "tests" / test) for test in tests),
    ]
    done = subprocess.run(
        command,
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(folder)},
        capture_output=True,
        text=True,
    )
    return done.returncode, done.stdout[-2000:] + done.stderr[-500:]


def copy(tmp_path):
    shutil.copytree(
        ROOT / "sotglp_core", tmp_path / "sotglp_core", ignore=shutil.ignore_patterns("__pycache__")
    )
    shutil.copytree(
        ROOT / "tests", tmp_path / "tests", ignore=shutil.ignore_patterns("__pycache__")
    )


@pytest.mark.slow
def test_unbroken_code_passes(tmp_path):
    copy(tmp_path)
    code, printed = outcome(tmp_path, *sorted({mutation[3] for mutation in MUTATIONS.values()}))
    assert code == 0, printed


@pytest.mark.slow
@pytest.mark.parametrize("name", MUTATIONS)
def test_a_test_fails(name, tmp_path):
    file, old, new, test = MUTATIONS[name]
    copy(tmp_path)
    source = tmp_path / "sotglp_core" / file
    text = source.read_text()
    assert text.count(old) == 1, f"{file} no longer has the line that this mutation breaks"
    source.write_text(text.replace(old, new))
    code, printed = outcome(tmp_path, test)
    assert code == 1, f"nothing noticed: {printed}"
