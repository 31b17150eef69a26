"""Half precision trains as float32 does, also at small epsilon; in double rounding is harmless."""

import os
import subprocess
import sys

import pytest
import torch

from sotglp_core import SOTGLP, fit, load_backbone, load_task, preset
from sotglp_core.pocket.traits import SPECIES
from sotglp_core.transport.sinkhorn import sinkhorn


def losses(backbone, names, features, **changes):
    accelerator = changes.pop("accelerator", None)
    config = preset("sotglp-proj", **{"epochs": 4, "lr": 0.1, "global_dropout": 0.0, **changes})
    return torch.tensor(
        [
            e.loss
            for e in fit(
                SOTGLP(backbone, names, config, text_chunk=8),
                features,
                progress=False,
                accelerator=accelerator,
            )
        ]
    )


@pytest.mark.slow
@pytest.mark.parametrize("precision", ["bf16", "fp16"])
@pytest.mark.parametrize("epsilon", [0.1, 1e-3])
def test_a_backbone_in_half_precision(tiny, names, features, precision, epsilon):
    low = losses(
        load_backbone("pocket", "random", precision=precision), names, features, epsilon=epsilon
    )
    rounding = {"bf16": 0.1, "fp16": 0.03}[precision]  # 8 and 11 bits
    torch.testing.assert_close(
        low, losses(tiny, names, features, epsilon=epsilon), atol=rounding, rtol=rounding
    )


@pytest.mark.slow
@pytest.mark.parametrize("precision", ["bf16", "fp16"])
def test_autocast(tiny, names, features, precision):
    accelerate = pytest.importorskip("accelerate", reason="accelerate is not installed")
    accelerator = accelerate.Accelerator(mixed_precision=precision, cpu=True)
    low = losses(tiny, names, features, accelerator=accelerator, epsilon=1e-3)
    accelerate.state.AcceleratorState._reset_state(reset_partial_state=True)
    torch.testing.assert_close(
        low, losses(tiny, names, features, epsilon=1e-3), atol=0.03, rtol=0.03
    )


def test_small_gradients_survive_in_fp16(names, features):
    """Without a scale they would vanish: they are smaller than the smallest number of fp16."""
    backbone = load_backbone("pocket", "random", precision="fp16")
    tiny_weight = dict(
        global_prompts=0,
        local_weight=1e-6,
        local_class_specific=False,
        weight_decay=0.0,
        momentum=0.0,
        epochs=1,
        lr=1.0,
    )
    model = SOTGLP(backbone, names, preset("sotglp", **tiny_weight))
    before = model.local_prompts.context.detach().clone()
    fit(model, features, progress=False)
    exact = SOTGLP(
        backbone.__class__(load_backbone("pocket", "random").model, "pocket", "random"),
        names,
        preset("sotglp", **tiny_weight),
    )
    fit(exact, features, progress=False)
    moved, wanted = model.local_prompts.context - before, exact.local_prompts.context - before
    assert torch.cosine_similarity(moved.flatten(), wanted.flatten(), dim=0) > 0.95


def test_double_is_single_but_for_rounding(tiny, names, features):
    for method in ("sotglp-proj", "gallop", "locoop"):
        single = SOTGLP(tiny, names, preset(method)).eval()
        double = SOTGLP(
            load_backbone("pocket", "random", precision="fp64"), names, preset(method)
        ).eval()
        double.load_state_dict(single.state_dict())
        seen = [model(features.batch(torch.arange(11))) for model in (single, double)]
        assert seen[1].logits.dtype == torch.float64 == next(double.parameters()).dtype
        torch.testing.assert_close(seen[0].logits.double(), seen[1].logits, atol=1e-3, rtol=1e-4)


def trained():
    """The parameters after a training in double precision, on this processor."""
    task = load_task(shots=1, classes=list(SPECIES)[:8])
    config = preset("sotglp", lr=2.0, batch_size=8, epochs=15)
    model = SOTGLP(load_backbone(precision="fp64"), task.class_names, config)
    fit(model, task.train, progress=False)
    return [x.detach() for x in model.parameters()]


@pytest.mark.slow
@pytest.mark.skipif(
    os.uname().machine != "x86_64", reason="only x86-64 has instructions that can be left out"
)
def test_double_precision_trains_to_the_same_prompts_on_another_processor(tmp_path):
    """The other processor is this one without its wide instructions, which round differently."""
    old = {
        "ATEN_CPU_CAPABILITY": "default",
        "MKL_ENABLE_INSTRUCTIONS": "SSE4_2",
        "ONEDNN_MAX_CPU_ISA": "SSE41",
        "SOTGLP_CACHE": str(tmp_path / "cache"),
        "PYTHONPATH": os.pathsep.join(sys.path),
    }
    command = [sys.executable, __file__, str(tmp_path / "there")]
    subprocess.run(command, check=True, env={**os.environ, "OMP_NUM_THREADS": "1", **old})
    here, there = trained(), torch.load(tmp_path / "there", weights_only=True)
    assert all(x.dtype == torch.float64 and not torch.equal(x, y) for x, y in zip(here, there)), (
        "nothing was rounded differently"
    )
    torch.testing.assert_close(here, there, atol=1e-6, rtol=0)


@pytest.mark.parametrize("epsilon", [0.1, 1e-2, 1e-3])
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float32])
@pytest.mark.parametrize("differentiable", [False, True])
def test_no_nan(epsilon, dtype, differentiable):
    cost = 2 * torch.rand(13, 7, 3, generator=torch.Generator().manual_seed(0))
    cost = cost.to(dtype).requires_grad_()
    with torch.autocast("cpu", torch.bfloat16):
        result = sinkhorn(cost, epsilon=epsilon, differentiable=differentiable)
        value = (result.plan * cost).sum()
    assert all(x.isfinite().all() for x in result) and result.converged.all()
    assert torch.autograd.grad(value, cost)[0].isfinite().all()


if __name__ == "__main__":
    torch.save(trained(), sys.argv[1])
