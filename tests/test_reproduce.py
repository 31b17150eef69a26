"""The tables measured again: what is kept, what is shown, and that the book's own numbers come out."""

import json

import pytest
from commands import run

from sotglp_core.datasets.catalogue import CATALOGUE
from sotglp_core.reproduce import benchmarks, pocket
from sotglp_core.reproduce.rows import MEASURED, about, is_kept, kept, read_rows


def test_lists_all_tables(monkeypatch, capsys, tmp_path):
    code, out, _ = run(monkeypatch, capsys, "reproduce", "--out", tmp_path)
    assert code == 0 and all(name in out for name in (*pocket.ROWS, *benchmarks.TABLES)) and "0 of 11 below --root" in out


@pytest.mark.parametrize("arguments, said", [
    (("presetz",), "did you mean 'presets'"), (("presets", "--row", "sotgpl"), "did you mean 'sotglp'"),
    (("few-shot",), "--root"), (("few-shot", "--presets", "copo"), "did you mean 'coop'"),
    (("few-shot", "--row", "eurosta"), "did you mean 'eurosat'")])
def test_mistakes_are_one_line(monkeypatch, capsys, tmp_path, arguments, said):
    code, _, err = run(monkeypatch, capsys, "reproduce", *arguments, "--out", tmp_path)
    assert code == 2 and said in err


def test_a_kept_row_is_not_measured_again(tmp_path):
    facts, calls = about("weights", seeds=[1]), []

    def measure():
        calls.append(1)
        return [{"top-1": 0.5}]

    for _ in range(2):
        assert kept(tmp_path, "shots", "sotglp, 4", facts, measure) == [{"top-1": 0.5}]
    assert len(calls) == 1 and read_rows(tmp_path, "shots") == {"sotglp, 4": [{"top-1": 0.5}]}
    assert not is_kept(tmp_path, "shots", "sotglp, 4", about("other weights", seeds=[1]))
    next((tmp_path / "shots").iterdir()).write_text("{")
    assert kept(tmp_path, "shots", "sotglp, 4", facts, measure) and len(calls) == 2, "a damaged row is measured again"


def test_what_differs_from_the_book_is_shown(monkeypatch, capsys, tmp_path, pocket):
    row = json.loads((MEASURED / "support" / "K_=_1.json").read_text())
    row["about"] = about(pocket.fingerprint, seeds=[1, 2, 3], epochs=20)
    (tmp_path / "support").mkdir()
    path = tmp_path / "support" / "K_=_1.json"
    for change, said in ((0.0, "equal to the book's"), (0.5, "differs")):
        row["runs"][0]["top-1"] += change
        path.write_text(json.dumps(row))
        code, out, _ = run(monkeypatch, capsys, "reproduce", "support", "--row", "K = 1", "--out", tmp_path)
        assert code == 0 and said in out
    book = MEASURED.joinpath("support.md").read_text().splitlines()[2].split("|")[2].strip()
    assert f"book {book}" in out


@pytest.mark.slow
def test_the_books_zero_shot_accuracy_comes_out(monkeypatch, capsys, tmp_path):
    code, out, _ = run(monkeypatch, capsys, "reproduce", "shots", "--row", "zeroshot, 1", "--out", tmp_path, "--json")
    ours = json.loads(out)["zeroshot, 1"][0]["top-1"]
    assert ours == pytest.approx(read_rows(MEASURED, "shots")["zeroshot, 1"][0]["top-1"], abs=1e-9)


def test_plan_says_what_would_run(monkeypatch, capsys, tmp_path):
    code, out, _ = run(monkeypatch, capsys, "reproduce", "shots", "--row", "zeroshot, 1", "--out", tmp_path, "--plan")
    assert code == 0 and "to measure: zeroshot, 1" in out and not any(tmp_path.iterdir())


def test_published_figures_are_quoted_with_their_source():
    assert benchmarks.quoted("few-shot", "eurosat", "coop") == (84.93, benchmarks.quoted("few-shot", "dtd", "coop")[1])
    assert benchmarks.quoted("ood", "imagenet", "sotglp", "GL-MCM AUROC")[0] == 94.2
    assert benchmarks.quoted("ood", "imagenet", "coop", "MCM FPR95")[0] == 36.8
    assert benchmarks.quoted("few-shot", "eurosat", "sotglp-proj") == (None, "")
    assert set(benchmarks.DATASETS) <= set(CATALOGUE) and set(benchmarks.STRANGERS) <= set(CATALOGUE)


def test_real_data_that_is_not_there_is_named(monkeypatch, capsys, tmp_path):
    code, out, err = run(monkeypatch, capsys, "reproduce", "ood", "--root", tmp_path)
    assert code == 2 and "inaturalist" in out and "--root" in err


def test_bench_measures_this_machine(monkeypatch, capsys):
    code, out, _ = run(monkeypatch, capsys, "bench", "--backbone", "pocket", "--classes", "2", "--shots", "1", "--json")
    rows = json.loads(out)["rows"]
    assert code == 0 and rows["train zeroshot"]["value"] == 0 < rows["train sotglp"]["value"]
