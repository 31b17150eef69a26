"""The measured tables of the book belong to the shipped weights and to the runs beside them."""

import re
from pathlib import Path

import pytest

from sotglp_core.workbench.embedded import MEASURED, TABLES, chosen_rates, tables
from sotglp_core.workbench.experiments import cell, markdown, read_rows


def labels(table):
    """The rows of a table as runs call them, in their order."""
    spec = TABLES[table]
    each = [value for values in spec.get("each", {}).values() for value in values]
    return [f"{row}, {v}" for row in spec["rows"] for v in each] or list(spec["rows"])


@pytest.mark.parametrize("table", TABLES)
def test_rows_are_those_of_the_shipped_weights(table, pocket):
    rows = read_rows(MEASURED / f"{table}.jsonl")
    assert set(rows) == set(labels(table))
    weights = {run["weights"] for runs in rows.values() for run in runs}
    assert weights == {pocket.fingerprint}, "measure again: sotglp reproduce"


@pytest.mark.parametrize("table", TABLES)
def test_tables_are_what_the_runs_say(table):
    rows = read_rows(MEASURED / f"{table}.jsonl")
    shown = tables(table, {label: rows[label] for label in labels(table)})
    assert set(shown) == set(TABLES[table]["views"])
    for view, content in shown.items():
        assert (MEASURED / f"{view}.md").read_text() == markdown(content)


def test_the_chosen_rate_is_the_best_on_validation_images():
    rates, rows = chosen_rates(), read_rows(MEASURED / "rates.jsonl")
    assert set(rates) == set(TABLES["rates"]["rows"])
    for row, rate in rates.items():
        tried = {v: rows[f"{row}, {v}"][0]["top-1"] for v in TABLES["rates"]["each"]["lr"]}
        assert tried[rate] == max(tried.values())


def test_rows_were_measured_at_the_chosen_rate():
    rates = chosen_rates()
    for preset, runs in read_rows(MEASURED / "presets.jsonl").items():
        if preset != "zeroshot":
            assert {run["lr"] for run in runs} == {rates[preset]}


@pytest.mark.parametrize("page", ["index", "results"])
def test_figures_in_the_text_are_those_of_the_tables(page):
    text = (Path(__file__).parents[2] / "book" / f"{page}.md").read_text(encoding="utf-8")
    prose = re.sub(r"^```.*?^```|\$[^$]*\$|`[^`]*`|ε = [\d.]+", "", text, flags=re.S | re.M)
    figure = re.compile(r"\d+\.\d+")
    measured = {n for path in MEASURED.glob("*.md") for n in figure.findall(path.read_text())}
    quoted = set(figure.findall(prose))
    assert quoted and quoted <= measured


def test_a_cell_is_mean_and_standard_deviation():
    runs = [{"x": 0.1}, {"x": 0.2}, {"x": 0.3}]
    assert cell(runs, "x") == "20.0\u00a0±\u00a010.0"
    assert cell(runs[:1], "x") == "10.0" and cell(runs, "y") == cell([], "x") == "–"
