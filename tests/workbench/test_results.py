"""The measured tables of the book belong to the shipped weights and to the runs beside them."""

import json

import pytest

from sotglp_core.workbench.reproduce import markdown
from sotglp_core.workbench.reproduce.pocket import ROWS
from sotglp_core.workbench.reproduce.rows import MEASURED


@pytest.mark.parametrize("table", ROWS)
def test_rows_are_those_of_the_shipped_weights(table, pocket):
    rows = [json.loads(path.read_text()) for path in (MEASURED / table).glob("*.json")]
    assert {row["label"] for row in rows} == set(ROWS[table])
    assert {row["about"]["weights"] for row in rows} == {pocket.fingerprint}, (
        "measure again: sotglp reproduce"
    )


@pytest.mark.parametrize("table", [table for table in ROWS if table != "rates"])
def test_tables_are_what_the_runs_say(table, tmp_path):
    (tmp_path / table).symlink_to(MEASURED / table)
    markdown.write_tables(tmp_path, table)
    written = {path.name: path.read_text() for path in tmp_path.glob("*.md")}
    assert written and all((MEASURED / name).read_text() == text for name, text in written.items())


def test_a_cell_is_mean_and_deviation():
    runs = [{"x": 0.1}, {"x": 0.2}, {"x": 0.3}]
    assert markdown.cell(runs, "x") == "20.0\u00a0±\u00a010.0"
    assert markdown.cell(runs[:1], "x") == "10.0" and markdown.cell(runs, "y") == "–"
