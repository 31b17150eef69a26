"""The scripts that measured what the book quotes still run, at the smallest size."""

from dataclasses import replace

import pytest
from benchmarks import predictions, rounding, traits

from sotglp_core import load_task


def test_traits_are_counted(tmp_path, capsys):
    traits.main(["--images", "6", "--out", str(tmp_path)])
    table = (tmp_path / "traits.md").read_text(encoding="utf-8")
    lines = table.splitlines()
    assert len(lines) == 2 + len(traits.TRAITS) + 1 and lines[-1].startswith("| **mean** |")
    shares = [int(cell) for line in lines[2:] for cell in line.split("|")[3:-1]]
    assert min(shares) >= 0 and 50 < max(shares) <= 100
    assert table.strip() == capsys.readouterr().out.strip()


@pytest.mark.slow
def test_rounding_is_followed(capsys, monkeypatch):
    task = load_task(shots=1)
    small = replace(task, val=task.val.subset(range(0, len(task.val), 24)))
    monkeypatch.setattr(rounding, "load_task", lambda shots: small)
    monkeypatch.setattr(rounding, "TRIED", ({"method": "coop"},))
    rounding.main(["--epochs", "1"])
    lines = capsys.readouterr().out.splitlines()
    assert [line.split(",")[0] for line in lines] == ["fp32", "fp64"]
    assert all("apart" in line and "of val right" in line for line in lines)


@pytest.mark.slow
def test_predictions_are_counted(capsys):
    predictions.main(["--number", "100"])
    assert capsys.readouterr().out.splitlines()[-1].split()[0] == "100"
