"""The tables measured again: what is kept, what is shown, and that the book's own numbers come out."""

import json
import sys

import pytest
import test_catalogue
from commands import run
from test_catalogue import make

from sotglp_core.clip.backbone import load_backbone
from sotglp_core.config import PRESETS
from sotglp_core.data.catalogue import CATALOGUE
from sotglp_core.workbench.reproduce import benchmarks, pocket
from sotglp_core.workbench.reproduce.markdown import cell
from sotglp_core.workbench.reproduce.rows import MEASURED, about, is_kept, kept, read_rows


def test_lists_all_tables(monkeypatch, capsys, tmp_path):
    code, out, _ = run(monkeypatch, capsys, "reproduce", "--out", tmp_path)
    assert (
        code == 0
        and all(name in out for name in (*pocket.ROWS, *benchmarks.TABLES))
        and "0 of 11 below --root" in out
    )


@pytest.mark.parametrize(
    "arguments, said",
    [
        (("presetz",), "did you mean 'presets'"),
        (("presets", "--row", "sotgpl"), "did you mean 'sotglp'"),
        (("few-shot",), "--root"),
        (("few-shot", "--presets", "copo"), "did you mean 'coop'"),
        (("few-shot", "--row", "eurosta"), "did you mean 'eurosat'"),
    ],
)
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
    assert kept(tmp_path, "shots", "sotglp, 4", facts, measure) and len(calls) == 2, (
        "a damaged row is measured again"
    )


@pytest.mark.parametrize("table", pocket.ROWS)
def test_the_books_own_rows_are_equal_to_the_books(monkeypatch, capsys, tmp_path, pocket, table):
    (tmp_path / table).mkdir()
    for path in (MEASURED / table).iterdir():
        row = json.loads(path.read_text())
        row["about"] = about(pocket.fingerprint, precision="fp64", seeds=[1, 2, 3], epochs=20)
        (tmp_path / table / path.name).write_text(json.dumps(row))
    code, out, _ = run(monkeypatch, capsys, "reproduce", table, "--out", tmp_path)
    assert code == 0 and "equal to the book's" in out and "book " not in out


def test_what_differs_from_the_book_is_shown(monkeypatch, capsys, tmp_path, pocket):
    row = json.loads((MEASURED / "support" / "K_=_1.json").read_text())
    row["about"] = about(pocket.fingerprint, precision="fp64", seeds=[1, 2, 3], epochs=20)
    (tmp_path / "support").mkdir()
    path = tmp_path / "support" / "K_=_1.json"
    for change, said in ((0.0, "equal to the book's"), (0.5, "differs")):
        row["runs"][0]["top-1"] += change
        path.write_text(json.dumps(row))
        code, out, _ = run(
            monkeypatch, capsys, "reproduce", "support", "--row", "K = 1", "--out", tmp_path
        )
        assert code == 0 and said in out
    book = MEASURED.joinpath("support.md").read_text().splitlines()[2].split("|")[2].strip()
    assert f"book {book}" in out


@pytest.mark.slow
def test_the_books_zero_shot_accuracy_comes_out(monkeypatch, capsys, tmp_path):
    code, out, _ = run(
        monkeypatch,
        capsys,
        "reproduce",
        "shots",
        "--row",
        "zeroshot, 1",
        "--out",
        tmp_path,
        "--json",
    )
    ours = json.loads(out)["zeroshot, 1"][0]["top-1"]
    assert ours == pytest.approx(read_rows(MEASURED, "shots")["zeroshot, 1"][0]["top-1"], abs=1e-9)


def test_plan_says_what_would_run(monkeypatch, capsys, tmp_path):
    code, out, _ = run(
        monkeypatch,
        capsys,
        "reproduce",
        "shots",
        "--row",
        "zeroshot, 1",
        "--out",
        tmp_path,
        "--plan",
    )
    assert code == 0 and "to measure: zeroshot, 1" in out and not any(tmp_path.iterdir())
    code, out, _ = run(
        monkeypatch,
        capsys,
        "reproduce",
        "shots",
        "--row",
        "zeroshot, 1",
        "--out",
        tmp_path,
        "--plan",
        "--json",
    )
    told = json.loads(out)
    assert (
        code == 0
        and (told["kept"], told["to measure"]) == ([], ["zeroshot, 1"])
        and told["seconds"] > 0
    )


def test_a_plan_downloads_no_weights(monkeypatch, capsys, tmp_path):
    """It says that they are not there, and times untrained ones."""
    monkeypatch.setattr(test_catalogue, "TEN", range(1, 33))
    make(CATALOGUE["eurosat"], tmp_path)
    loaded = []
    command = sys.modules["sotglp_core.cli.reproduce"]
    monkeypatch.setattr(
        command,
        "load_backbone",
        lambda *given, device: loaded.append(given) or load_backbone("pocket", "random"),
    )
    monkeypatch.setattr(command, "weights_here", lambda name, pretrained: False)
    code, out, err = run(
        monkeypatch,
        capsys,
        "reproduce",
        "few-shot",
        "--root",
        tmp_path,
        "--presets",
        "zeroshot",
        "--plan",
    )
    assert (
        code == 0
        and loaded == [("ViT-B-16-quickgelu", "random")]
        and "to measure: eurosat, zeroshot" in out
    )
    assert "weights openai of ViT-B-16-quickgelu are not on this machine" in err
    code, out, _ = run(monkeypatch, capsys, "reproduce", "--root", tmp_path, "--json")
    assert json.loads(out)["few-shot"]["data"] == "real, 1 of 11 below --root; weights not here"


def test_published_figures_are_quoted_with_their_source():
    assert benchmarks.quoted("few-shot", "eurosat", "coop") == (
        84.93,
        benchmarks.quoted("few-shot", "dtd", "coop")[1],
    )
    assert benchmarks.quoted("ood", "imagenet", "sotglp", "GL-MCM AUROC")[0] == 94.2
    assert benchmarks.quoted("ood", "imagenet", "coop", "MCM FPR95")[0] == 36.8
    assert benchmarks.quoted("few-shot", "eurosat", "sotglp-proj") == (None, "")
    assert set(benchmarks.DATASETS) <= set(CATALOGUE) and set(benchmarks.STRANGERS) <= set(
        CATALOGUE
    )


def test_real_data_that_is_not_there_is_named(monkeypatch, capsys, tmp_path):
    code, out, err = run(monkeypatch, capsys, "reproduce", "ood", "--root", tmp_path)
    assert code == 2 and not out and "inaturalist" in err and "--root" in err


@pytest.mark.slow
def test_a_published_table_is_measured_on_the_data_that_is_there(monkeypatch, capsys, tmp_path):
    monkeypatch.setattr(test_catalogue, "TEN", range(1, 33))
    make(CATALOGUE["eurosat"], tmp_path)
    monkeypatch.setitem(PRESETS, "coop", {**PRESETS["coop"], "epochs": 1})
    asked = (
        "reproduce",
        "few-shot",
        "--root",
        tmp_path,
        "--backbone",
        "pocket",
        "--pretrained",
        "embedded",
        "--presets",
        "zeroshot,coop",
        "--seeds",
        1,
        "--out",
        tmp_path / "out",
    )
    code, out, err = run(monkeypatch, capsys, *asked, "--plan")
    assert (
        code == 0
        and "eurosat, coop" in out
        and "dtd: dtd not in" in err
        and not (tmp_path / "out").exists()
    )
    code, out, err = run(monkeypatch, capsys, *asked)
    line = next(line for line in out.splitlines() if "coop" in line and "84.93" in line)
    assert code == 0 and "eurosat" in line and "quoted" in out, err
    monkeypatch.setattr(benchmarks, "measure", lambda *_: pytest.fail("what was measured is kept"))
    code, out, err = run(monkeypatch, capsys, *asked, "--json")
    found = json.loads(out)
    assert code == 0 and set(found) == {"eurosat, zeroshot", "eurosat, coop"}
    assert all(0 < run["top-1"] < 1 for runs in found.values() for run in runs)


@pytest.mark.slow
def test_learning_rates_are_chosen_again(monkeypatch, capsys, tmp_path):
    for name in ("VAL", "TEST"):
        monkeypatch.setattr(f"sotglp_core.data.task.pocket.{name}", 2)
    monkeypatch.setattr(pocket, "EPOCHS", 1)
    monkeypatch.setattr(pocket, "RATES", (0.1, 0.2))
    code, out, err = run(
        monkeypatch, capsys, "reproduce", "rates", "--row", "coop", "--out", tmp_path
    )
    assert code == 0 and "coop: lr 0." in out and "0.2 (" in out, err
    monkeypatch.setitem(pocket.ROWS["shots"], "coop, 1", ("coop", {"shots": 1, "epochs": 1}))
    code, out, err = run(
        monkeypatch,
        capsys,
        "reproduce",
        "shots",
        "--row",
        "coop, 1",
        "--seeds",
        1,
        "--out",
        tmp_path,
    )
    book = cell(read_rows(MEASURED, "shots")["coop, 1"], "top-1")
    assert code == 0 and "coop, 1:" in out and f"; book: {book}" in out, err
    assert (
        read_rows(tmp_path, "shots")["coop, 1"][0]["lr"]
        == json.loads((tmp_path / "rates" / "coop.json").read_text())["runs"]["lr"]
    )


@pytest.mark.slow
def test_a_row_holds_all_that_its_table_shows(monkeypatch, capsys, tmp_path):
    for name, number in (
        ("data.task.pocket.VAL", 1),
        ("data.task.pocket.TEST", 1),
        ("data.task.pocket.OOD", 2),
        ("workbench.reproduce.pocket.TEST", 1),
    ):
        monkeypatch.setattr(f"sotglp_core.{name}", number)
    monkeypatch.setattr(pocket, "EPOCHS", 1)
    monkeypatch.setitem(pocket.ROWS, "presets", {"sotglp-proj": ("sotglp-proj", {"shots": 1})})
    monkeypatch.setitem(
        pocket.ROWS,
        "tradeoff",
        {"sotglp-proj, 1 epochs": ("sotglp-proj", {"shots": 1, "epochs": 1})},
    )
    for table, (name,) in ((table, pocket.ROWS[table]) for table in ("presets", "tradeoff")):
        code, out, err = run(
            monkeypatch, capsys, "reproduce", table, "--seeds", 1, "--out", tmp_path, "--json"
        )
        assert code == 0, err
        ours, book = (
            rows[name][0]
            for rows in (json.loads(out), {name: next(iter(read_rows(MEASURED, table).values()))})
        )
        assert set(book) <= set(ours)
    assert [row["strength"] for row in ours["strength"]] == list(pocket.STRENGTHS)
    assert ours["strength"][-1]["top-1"] == ours["top-1"], "the projection as it was learned"


def test_bench_measures_this_machine(monkeypatch, capsys):
    code, out, _ = run(
        monkeypatch,
        capsys,
        "bench",
        "--backbone",
        "pocket",
        "--classes",
        "2",
        "--shots",
        "1",
        "--json",
    )
    rows = json.loads(out)["rows"]
    assert code == 0 and rows["train zeroshot"]["value"] == 0 < rows["train sotglp"]["value"]
    code, out, _ = run(
        monkeypatch, capsys, "bench", "--backbone", "pocket", "--classes", "2", "--shots", "1"
    )
    assert code == 0 and all(name in out for name in rows)
