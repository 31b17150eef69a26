"""The measured tables of the book belong to the shipped weights and to the runs beside them."""

import json
import sys
from pathlib import Path

import pytest

BENCHMARKS = Path(__file__).parent / "benchmarks"
sys.path.insert(0, str(BENCHMARKS))

import tables  # noqa: E402

MEASURED = [table for table in tables.ROWS if (tables.RESULTS / table).is_dir()]


@pytest.mark.parametrize("table", MEASURED)
def test_rows_are_those_of_the_shipped_weights(table, pocket):
    rows = [json.loads(path.read_text()) for path in (tables.RESULTS / table).glob("*.json")]
    assert {row["label"] for row in rows} == set(tables.ROWS[table])
    assert {row["about"]["weights"] for row in rows} == {pocket.fingerprint}, "measure again: tests/benchmarks/tables.py"


@pytest.mark.parametrize("table", [table for table in MEASURED if table != "rates"])
def test_tables_are_what_the_runs_say(table, tmp_path, monkeypatch):
    before = {path.name: path.read_text() for path in tables.RESULTS.glob("*.md")}
    (tmp_path / table).symlink_to(tables.RESULTS / table)
    monkeypatch.setattr(tables, "RESULTS", tmp_path)
    tables.write_tables(table)
    written = {path.name: path.read_text() for path in tmp_path.glob("*.md")}
    assert written and all(before[name] == text for name, text in written.items())


def test_a_cell_is_mean_and_deviation():
    runs = [{"x": 0.1}, {"x": 0.2}, {"x": 0.3}]
    assert tables.cell(runs, "x") == "20.0\u00a0±\u00a010.0" and tables.cell(runs[:1], "x") == "10.0" and tables.cell(runs, "y") == "–"
