"""The script for a GPU: its dry run on the CPU, and what it says of a failure."""

import json
import os
import subprocess
import sys
from pathlib import Path

import gpu
import gpu_checks
import gpu_tables
import pytest
import torch

from sotglp_core import sinkhorn
from sotglp_core.method.alignment import align

HERE = Path(__file__).parent
ABSENT = ("anywidget", "jinja2", "matplotlib", "onnx", "pandas", "rich", "seaborn", "typer", "yaml")
WITHOUT = f"""
import runpy, sys
class Installed:
    finders = [*sys.meta_path]
    def find_spec(name, *rest):
        specs = (finder.find_spec(name, *rest) for finder in Installed.finders)
        return None if name in {ABSENT} else next(filter(None, specs), None)
sys.meta_path[:] = [Installed]
sys.argv = ["gpu.py", "--dry-run", "--out", sys.argv[1]]
runpy.run_path({str(HERE / "gpu.py")!r}, run_name="__main__")
"""


@pytest.mark.slow
def test_the_dry_run_passes_with_little_installed(tmp_path):
    command = [sys.executable, "-c", WITHOUT, str(tmp_path / "out")]
    environment = {**os.environ, "SOTGLP_CACHE": str(tmp_path / "cache")}
    done = subprocess.run(command, capture_output=True, text=True, env=environment)
    assert done.returncode == 0, done.stdout + done.stderr
    wanted = [check.name for check in gpu_checks.CHECKS]
    wanted += [f"table of {name}" for name in gpu_tables.TABLES]
    for name in wanted:
        outcome = "SKIP: onnx" if "graph" in name else "PASS"
        assert f"{name}: {outcome}" in done.stdout
    assert not (tmp_path / "out").exists()


@pytest.mark.slow
def test_a_graph_is_exported_in_a_dry_run(monkeypatch):
    for library in ("onnx", "onnxscript", "onnxruntime"):
        pytest.importorskip(library, reason=f"{library} is not installed")
    (check,) = [check for check in gpu_checks.CHECKS if "onnx" in check.needs]
    assert gpu.attempt(check.name, check.run, True, check.pretend)[0] == "PASS"


def test_a_failure_is_told_and_stops_nothing(monkeypatch, capsys):
    seen = []

    def wrong(card):
        gpu_checks.same(torch.ones(2), torch.tensor([1, float("nan")]), 1.0)

    def right(card):
        seen.append(card)

    checks = [gpu_checks.Check(run, (), True) for run in (wrong, right)]
    monkeypatch.setattr(
        gpu_checks, "CHECKS", [*checks, gpu_checks.Check(right, ("no_such",), True)]
    )
    monkeypatch.setattr(gpu_tables, "TABLES", {"Nothing": lambda card: []})
    assert gpu.main(["--dry-run"]) == 1
    printed = capsys.readouterr().out
    assert len(seen) == 1 and seen[0].dry and seen[0].device.type == "cuda"
    for line in (
        "wrong: FAIL: AssertionError",
        "right: PASS",
        "right: SKIP: no_such missing",
        "table of Nothing: PASS",
        "FAIL  wrong",
    ):
        assert line in printed


def slightly_wrong(cost, **settings):
    result = sinkhorn(cost, **settings)
    return result._replace(plan=result.plan * (1.001 if cost.is_cuda else 1))


def left_on_the_cpu(patches, prompts, **settings):
    return align(patches.cpu(), prompts, **settings)


@pytest.mark.slow
@pytest.mark.parametrize(
    "name, fault, check",
    [
        ("sinkhorn", slightly_wrong, "sinkhorn finds the plan of float64"),
        ("align", left_on_the_cpu, "alignment is the same"),
    ],
)
def test_a_fault_of_the_card_fails_its_check(monkeypatch, name, fault, check):
    (found,) = [one for one in gpu_checks.CHECKS if one.name == check]
    assert gpu.attempt(check, found.run, True)[0] == "PASS"
    monkeypatch.setattr(gpu_checks, name, fault)
    assert gpu.attempt(check, found.run, True)[0].startswith("FAIL")


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a CUDA device")
def test_without_a_gpu_it_says_so(capsys):
    assert gpu.main([]) == 2
    assert "no CUDA device" in capsys.readouterr().err


def test_the_tables_are_written(tmp_path):
    rows = [{"problems": "2 x 3", "µs": 1234.5, "ratio": 0.0123}, {"problems": "4", "µs": None}]
    rows[1]["ratio"] = 2.0
    checks = {"a": "PASS", "b": "FAIL: ValueError: x", "c": "SKIP: onnx missing"}
    results = {"card": "GPU", "checks": checks, "tables": {"Transport": rows, "Training": None}}
    gpu.write(results, tmp_path)
    assert json.loads((tmp_path / "gpu.json").read_text())["tables"]["Transport"] == rows
    page = (tmp_path / "gpu.md").read_text()
    assert "| 2 x 3 | 1,234 | 0.0123 |" in page and "| 4 | – | 2 |" in page
    assert "1 checks and tables passed, failed: b (FAIL: ValueError: x)." in page
    assert "Training" not in page


def test_the_book_says_whether_a_gpu_was_measured():
    measured = (gpu.RESULTS / "gpu.json").exists()
    page = (gpu.RESULTS / "gpu.md").read_text(encoding="utf-8")
    assert page.startswith("Measured with" if measured else "**Not measured on a GPU.**")
