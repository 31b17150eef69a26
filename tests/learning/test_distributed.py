"""Three processes on the CPU against one: the same losses, prompts and evaluation."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from sotglp_core import SOTGLP, evaluate, fit, load_backbone, preset
from sotglp_core.data import Images
from sotglp_core.data.features import Features
from sotglp_core.distributed import Processes

pytest.importorskip("accelerate", reason="accelerate is not installed")
NAMES = ("red finch", "blue wader", "green parrot", "grey duck", "black-crowned white-winged bird")
CASES = {  # 11 images in two batches of 4
    "sotglp-proj": dict(epochs=3, lr=0.05),
    "gallop": dict(epochs=2),
    "locoop": dict(epochs=2),
}


class Photos(Images):
    """Seven images that are drawn when asked for."""

    def __getitem__(self, i):
        own = self.items[i]
        return Image.new("RGB", (112, 112), (30 * own, 90, 200 - 20 * own))

    def fingerprint(self):
        return f"photos {self.items}"


def learn(accelerator=None):
    """Losses, contexts and gathered logits of every case."""
    torch.set_num_threads(1)
    backbone, g = load_backbone("pocket", "random"), torch.Generator().manual_seed(0)
    image, patches = (
        torch.randn(11, 128, generator=g),
        torch.randn(11, 196, 192, generator=g).half(),
    )
    features = Features(image, patches, torch.arange(11) % 5, backbone.grid)
    results = {}
    for name, changes in CASES.items():
        model = SOTGLP(backbone, NAMES, preset(name, batch_size=4, **changes), text_chunk=4)
        history = fit(model, features, progress=False, accelerator=accelerator)
        judged = evaluate(
            model, features, {"same": features}, progress=False, accelerator=accelerator
        )
        results[name] = {
            "loss": [e.loss for e in history],
            "accuracy": [e.accuracy for e in history],
            "state": [p.detach().flatten()[:500].tolist() for p in model.parameters()],
            "logits": judged.outputs.logits.tolist(),
            "metrics": [judged.accuracy, judged.ood["same"]["GL-MCM"]["auroc"]],
        }
    for crops in (0, 2, "fresh"):
        model = SOTGLP(backbone, NAMES, preset("sotglp", epochs=2, batch_size=5, crops=crops))
        history = fit(
            model, Photos(range(7), np.arange(7) % 5), progress=False, accelerator=accelerator
        )
        results[f"{crops} crops"] = {"loss": [e.loss for e in history]}
    return results


@pytest.fixture(scope="module")
def alone():
    return learn()


@pytest.mark.slow
@pytest.mark.parametrize("number", [3])
def test_equals_one_process(number, alone, tmp_path):
    environment = {
        **os.environ,
        "OMP_NUM_THREADS": "1",
        "SOTGLP_CACHE": str(tmp_path / "cache"),
        "ACCELERATE_USE_CPU": "true",
        "PYTHONPATH": os.pathsep.join(
            [str(Path(__file__).parents[2]), os.environ.get("PYTHONPATH", "")]
        ),
    }
    command = [
        sys.executable,
        "-m",
        "torch.distributed.run",
        "--standalone",
        f"--nproc-per-node={number}",
        __file__,
        str(tmp_path),
    ]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=280)
    assert done.returncode == 0, done.stderr[-3000:]
    for rank in range(number):
        seen = json.loads((tmp_path / f"{rank}.json").read_text())
        for case, wanted in alone.items():
            for key, value in wanted.items():
                tolerance = 1e-5 if key in ("loss", "accuracy", "metrics") else 1e-4
                for a, b in zip(seen[case][key], value, strict=True):
                    torch.testing.assert_close(
                        torch.tensor(a), torch.tensor(b), atol=tolerance, rtol=1e-5
                    )


def test_more_processes_than_classes():
    processes = Processes()
    processes.number = 7
    with pytest.raises(ValueError, match="7 processes can't share 5 images or classes"):
        processes.encode_sharded(lambda rows: torch.zeros(1), 5)


if __name__ == "__main__":
    from accelerate import Accelerator

    one = Accelerator(cpu=True)
    Path(sys.argv[1], f"{one.process_index}.json").write_text(json.dumps(learn(one)))
    torch.distributed.destroy_process_group()
