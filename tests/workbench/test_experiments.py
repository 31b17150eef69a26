"""Experiments: what is in a file is not run again, what is shown, and the book's own results."""

import hashlib
import json
from functools import partial

import pytest
import test_catalogue
import torch
from commands import run
from test_catalogue import make

from sotglp_core import SOTGLP
from sotglp_core.clip import backbone as backbone_module
from sotglp_core.clip.backbone import load_backbone
from sotglp_core.config import PRESETS
from sotglp_core.data.catalogue import CATALOGUE
from sotglp_core.learning.training import fit
from sotglp_core.recipes import BENCHMARKS, draw_of
from sotglp_core.workbench import benchmarks, embedded, experiments
from sotglp_core.workbench.experiments import (
    Bench,
    cell,
    experiment_for,
    load_or_run,
    read_rows,
    read_runs,
)
from sotglp_core.workbench.plan import plan

MEASURED = embedded.MEASURED


@pytest.fixture
def reproduce(monkeypatch, capsys, tmp_path):
    """The command with a folder of its own."""

    def call(*words):
        return run(monkeypatch, capsys, "reproduce", *words, "--out", tmp_path)

    return call


@pytest.fixture
def eurosat(monkeypatch, tmp_path):
    """A miniature of EuroSAT below the root that is returned."""
    monkeypatch.setattr(test_catalogue, "TEN", range(1, 33))
    make(CATALOGUE["eurosat"], tmp_path / "data")
    return tmp_path / "data"


def small(monkeypatch, table, rows, **changes):
    """A table of few rows, measured on few images for one epoch."""
    for name, number in {"VAL": 1, "TEST": 1, "OOD": 2}.items():
        monkeypatch.setattr(f"sotglp_core.data.embedded.{name}", number)
    monkeypatch.setattr(embedded, "EPOCHS", 1)
    monkeypatch.setitem(embedded.TABLES, table, {**embedded.TABLES[table], "rows": rows, **changes})


def test_lists_all_tables(reproduce):
    code, out, _ = reproduce()
    assert code == 0 and "0 of 11 below --root" in out
    assert all(name in out for name in (*embedded.TABLES, *benchmarks.TABLES))


@pytest.mark.parametrize(
    "words, said",
    [
        (("presetz",), "did you mean 'presets'"),
        (("presets", "--row", "sotgpl"), "did you mean 'sotglp'"),
        (("few-shot",), "--root"),
        (("few-shot", "--row", "eurosat", "--draw", "x"), "--root"),
        (("few-shot", "--presets", "copo"), "did you mean 'coop'"),
        (("few-shot", "--row", "eurosta"), "did you mean 'eurosat'"),
    ],
)
def test_mistakes_are_one_line(reproduce, words, said):
    code, _, err = reproduce(*words)
    assert code == 2 and said in err


def test_a_run_in_the_file_is_not_made_again(tmp_path):
    path, calls = tmp_path / "runs.jsonl", []

    def measure():
        calls.append(1)
        return {"top-1": 0.5}

    key = {"label": "sotglp, 4", "seed": 1, "weights": "a"}
    for _ in range(2):
        assert load_or_run(path, key, measure) == {**key, "top-1": 0.5}
    assert len(calls) == 1 and read_rows(path) == {"sotglp, 4": [{**key, "top-1": 0.5}]}
    load_or_run(path, {**key, "weights": "b"}, measure)
    assert len(calls) == 2 and [r["weights"] for r in read_runs(path)] == ["a", "b"]


@pytest.mark.parametrize("content", ["junk\n", '{"a": 1}\n', "[1]\n", "1\n"])
def test_a_file_of_something_else_is_left_alone(tmp_path, content):
    path = tmp_path / "runs.jsonl"
    path.write_text(content)
    with pytest.raises(ValueError, match="does not hold runs"):
        load_or_run(path, {"label": "a"}, dict)
    assert path.read_text() == content


@pytest.mark.slow
def test_what_a_run_depends_on_identifies_it(tiny, tmp_path):
    bench = Bench(tiny, results=tmp_path / "runs.jsonl")
    row = bench.experiment("coop", label="a", shots=2)
    key = bench.key(row, 1)
    assert key["settings"]["seed"] == 1 and key["weights"] == tiny.fingerprint
    assert bench.key(row, 2)["trained on"] != key["trained on"]
    assert bench.key(row._replace(config=row.config.replace(lr=3.0)), 1) != key
    assert bench.key(row._replace(draw="stratified"), 1)["trained on"] != key["trained on"]
    other = Bench(tiny, results=tmp_path / "runs.jsonl", classes=bench.task.class_names[:5])
    assert other.key(row, 1)["tested on"] != key["tested on"]
    assert json.loads(json.dumps(key)) == key


@pytest.mark.slow
def test_a_run_that_was_cut_goes_on_from_its_checkpoint(tiny, tmp_path, monkeypatch):
    """It ends as if nothing had happened, and leaves nothing but its line."""

    class Cut(BaseException):
        pass

    def cut(epoch):
        if epoch.epoch == 2:
            raise Cut

    def bench(name):
        monkeypatch.setattr("sotglp_core.data.embedded.TEST", 2)
        monkeypatch.setattr("sotglp_core.data.embedded.OOD", 2)
        return Bench(tiny, results=tmp_path / name / "runs.jsonl")

    first, second = bench("a"), bench("b")
    row = first.experiment("coop", shots=1, epochs=3)
    whole = first.run(row, 1)
    with monkeypatch.context() as patch, pytest.raises(Cut):
        patch.setattr(experiments, "fit", partial(fit, on_epoch=cut))
        second.run(row, 1)
    assert len([*second.results.parent.glob("runs-*.safetensors")]) == 1
    assert not second.results.exists()
    epochs = []
    monkeypatch.setattr(
        experiments,
        "fit",
        lambda *given, **named: epochs.extend(
            fit(*given, **named, on_epoch=lambda epoch: epochs.append(0))
        ),
    )
    again = second.run(row, 1)
    assert epochs.count(0) == 1 and len(epochs) == 4, "one epoch is made, three are behind it"
    assert again["top-1"] == whole["top-1"] and again["ECE"] == whole["ECE"]
    assert [path.name for path in second.results.parent.iterdir()] == ["runs.jsonl"]


def test_a_row_says_what_somebody_else_needs_to_compare(tiny, tmp_path, monkeypatch):
    make(CATALOGUE["eurosat"], tmp_path)
    options = {"root": tmp_path}
    bench = Bench(tiny, "eurosat", results=tmp_path / "runs.jsonl", **options)
    (found,) = bench.runs(bench.experiment("zeroshot", shots=2), (1, 2))
    split = (tmp_path / "eurosat" / CATALOGUE["eurosat"].split).read_bytes()
    assert found["split"] == hashlib.sha256(split).hexdigest() and found["dataset"] == "eurosat"
    assert found["draw"] == draw_of("zeroshot") and found["backbone"] == "pocket random"
    assert found["settings"]["template"] == CATALOGUE["eurosat"].template
    assert found["sources"]["template"] == "the prompt of eurosat"
    assert set(found["sources"]) == set(found["settings"])
    assert {"torch", "open_clip_torch", "device", "processor"} <= set(found["environment"])
    assert json.loads(json.dumps(found)) == found == read_runs(tmp_path / "runs.jsonl")[0]
    ours = Bench(tiny, "eurosat", results=tmp_path / "runs.jsonl", draw="exact", **options)
    assert ours.experiment("coop").draw == "exact" and bench.experiment("coop").draw == "coop"


def test_settings_and_draw_are_those_of_the_recipe_unless_they_are_given():
    real, row = "ViT-B-16", CATALOGUE["eurosat"]
    _, config, _, _, sources = experiment_for("sotglp", row, real, lr=0.5)
    found = (config.epochs, config.batch_size, config.crops, config.lr)
    assert found == (200, 10, "fresh", 0.5)
    assert sources["lr"] == "given" and "SOT-GLP" in sources["batch_size"]
    assert sources["support"] == "preset sotglp" and set(sources) == set(config.to_dict())
    few = experiment_for("coop", row, real, shots=1)
    assert few.config.epochs == 50, "CoOp trains for fewer epochs on fewer shots"
    draws = [experiment_for(name, row, real).draw for name in ("coop", "sotglp")]
    assert draws == ["coop", "stratified"]
    assert experiment_for("sotglp", None, real).draw == "exact"
    assert experiment_for("coop", row, real, draw="exact").draw == "exact"


@pytest.mark.parametrize(
    "dataset",
    [row for row in CATALOGUE.values() if row.kind == "classes"],
    ids=lambda row: row.name,
)
def test_zero_shot_uses_the_datasets_template(dataset, tiny, names):
    config = experiment_for("zeroshot", dataset, tiny.name).config
    with torch.no_grad():
        ours = SOTGLP(tiny, names, config).text_features().global_text[:, 0]
    filled = [dataset.template.format(name) for name in names]
    theirs = torch.nn.functional.normalize(tiny.encode_text(filled), dim=-1)
    torch.testing.assert_close(ours, theirs, atol=1e-4, rtol=1e-4)


def test_a_plan_needs_no_data(tiny, tmp_path):
    """Images, steps and disk follow from the catalogue's counts and the recipe."""
    ood = ["textures"]
    bench = Bench(tiny, "eurosat", results=tmp_path / "runs.jsonl", ood=ood)
    fresh = bench.experiment("sotglp", epochs=7, batch_size=32, crops="fresh")
    cached = fresh._replace(label="cached", config=fresh.config.replace(crops=2))
    zeroshot = bench.experiment("zeroshot")  # by other dense features
    rows = plan([(bench, row) for row in (fresh, cached, zeroshot)], (1, 2, 3))
    tested = 8100 + sum(CATALOGUE["textures"].counts)
    each = 4 * tiny.joint_width + 2 * 196 * tiny.patch_width
    assert [(label, missing) for label, missing, _ in rows] == [
        ("sotglp", 3),
        ("cached", 3),
        ("zeroshot", 1),
    ]
    assert [cost.images for *_, cost in rows] == [tested + 3 * 7 * 160, 3 * 3 * 160, tested]
    assert [cost.steps for *_, cost in rows] == [3 * 7 * 5, 3 * 7 * 5, 0]
    assert [cost.bytes for *_, cost in rows] == [tested * each, 3 * 3 * 160 * each, tested * each]
    assert all(cost.seconds > 0 for *_, cost in rows) and not any(tmp_path.iterdir())


def as_measured(table, bench, experiments):
    """The book's runs as this machine would write them."""
    rows = read_rows(MEASURED / f"{table}.jsonl")
    return [
        {**measured, **bench.key(e, measured["seed"])}
        for e in experiments
        for measured in rows[e.label]
    ]


@pytest.mark.slow
@pytest.mark.parametrize("table", embedded.TABLES)
def test_the_books_own_runs_are_equal_to_the_books(reproduce, tmp_path, table):
    bench = embedded.EmbeddedBench(table, tmp_path, load_backbone(precision="fp64"))
    runs = as_measured(table, bench, bench.experiments())
    bench.results.write_text("".join(json.dumps(row) + "\n" for row in runs))
    code, out, err = reproduce(table)
    assert code == 0 and "equal to the book's" in out and "book " not in out, err
    for view in embedded.TABLES[table]["views"]:
        assert (tmp_path / f"{view}.md").read_text() == (MEASURED / f"{view}.md").read_text()


@pytest.mark.slow
def test_what_differs_from_the_book_is_shown(reproduce, tmp_path):
    bench = embedded.EmbeddedBench("support", tmp_path, load_backbone(precision="fp64"))
    runs = as_measured("support", bench, bench.experiments()[:1])
    for change, said in ((0.0, "equal to the book's"), (0.5, "differs")):
        runs[0]["top-1"] += change
        bench.results.write_text("".join(json.dumps(row) + "\n" for row in runs))
        code, out, _ = reproduce("support", "--row", "K = 1")
        assert code == 0 and said in out
    book = MEASURED.joinpath("support.md").read_text().splitlines()[2].split("|")[2].strip()
    assert f"book {book}" in out


@pytest.mark.slow
def test_the_books_zero_shot_accuracy_comes_out(reproduce):
    code, out, _ = reproduce("shots", "--row", "zeroshot, 1", "--json")
    book = read_rows(MEASURED / "shots.jsonl")["zeroshot, 1"][0]
    ours = json.loads(out)["zeroshot, 1"][0]
    assert code == 0 and ours["top-1"] == pytest.approx(book["top-1"], abs=1e-9)


@pytest.mark.slow
def test_plan_says_what_would_run(reproduce, tmp_path):
    code, out, _ = reproduce("shots", "--row", "zeroshot, 1", "--plan")
    assert code == 0 and "zeroshot, 1" in out and "1,200" in out and not any(tmp_path.iterdir())
    code, out, _ = reproduce("shots", "--row", "zeroshot", "--plan", "--json")
    told = json.loads(out)
    rows, total = told["rows"], told["rows"].pop("all")
    assert code == 0 and len(rows) == 5 and told["gigabytes to download"] == {}
    assert [row["images"] for row in rows.values()] == [1200, 0, 0, 0, 0], "encoded once for all"
    assert total["seconds"] > 0 and total["steps"] == 0 and total["runs"] == 5


@pytest.mark.slow
def test_a_plan_downloads_no_weights(reproduce, monkeypatch, eurosat):
    """It says that they are not there, and times untrained ones."""
    loaded = []

    def load(*given, **_):
        loaded.append(given)
        return load_backbone("pocket", "random")

    monkeypatch.setattr(backbone_module, "load_backbone", load)
    monkeypatch.setattr(backbone_module, "weights_here", lambda name, pretrained: False)
    code, out, err = reproduce("few-shot", "--root", eurosat, "--presets", "zeroshot", "--plan")
    assert code == 0 and loaded == [("ViT-B-16-quickgelu", "random")], err
    assert "eurosat, zeroshot" in out and "8,041" in out and "imagenet 154.6" in out
    assert "ViT-B-16-quickgelu openai is not on this machine" in err
    code, out, _ = reproduce("--root", eurosat, "--json")
    assert json.loads(out)["few-shot"]["data"] == "real, 1 of 11 below --root; weights not here"


def test_published_figures_are_quoted_with_their_source():
    figure, source = benchmarks.quoted("few-shot", "eurosat", "coop", "top-1")
    assert figure == "84.93" and "DMN" in source
    assert benchmarks.quoted("ood", "imagenet", "sotglp", "mean GL-MCM AUROC")[0] == "94.2"
    assert benchmarks.quoted("ood", "imagenet", "coop", "mean MCM FPR95")[0] == "36.8"
    assert benchmarks.quoted("ood", "imagenet", "coop", "mean GL-MCM FPR95")[0] == "30.7"
    none = ("no counterpart", "")
    for preset in ("sotglp-proj", "reference", "plot", "sotglp", "locoop"):
        assert benchmarks.quoted("few-shot", "eurosat", preset, "top-1") == none
    for preset in ("plot", "sotglp-proj", "reference"):
        assert benchmarks.quoted("ood", "imagenet", preset, "mean GL-MCM AUROC") == none
    assert benchmarks.quoted("ood", "imagenet", "sotglp", "top-1") == none
    assert set(benchmarks.TABLES["few-shot"]["datasets"]) == set(BENCHMARKS)
    assert set(benchmarks.TABLES["ood"]["ood"]) <= set(CATALOGUE)


def test_real_data_that_is_not_there_is_named(reproduce, tmp_path):
    code, out, err = reproduce("ood", "--root", tmp_path)
    assert code == 2 and not out and "inaturalist" in err and "--root" in err


@pytest.mark.slow
def test_a_published_table_is_measured_on_the_data_that_is_there(reproduce, monkeypatch, eurosat):
    monkeypatch.setitem(PRESETS, "coop", {**PRESETS["coop"], "epochs": 1})
    weights = ("--backbone", "pocket", "--pretrained", "embedded")
    asked = ("few-shot", "--root", eurosat, *weights, "--presets", "zeroshot,coop", "--seeds", 1)
    code, out, err = reproduce(*asked, "--plan")
    assert code == 0 and "eurosat, coop" in out and "dtd, coop" in out
    code, out, err = reproduce(*asked)
    assert "dtd: dtd not in" in err
    line = next(line for line in out.splitlines() if "coop" in line and "84.93" in line)
    assert code == 0 and "eurosat" in line and "quoted" in out, err
    monkeypatch.setattr(experiments, "fit", lambda *_, **__: pytest.fail("it is kept"))
    code, out, err = reproduce(*asked, "--json")
    found = json.loads(out)
    assert code == 0 and set(found) == {"eurosat, zeroshot", "eurosat, coop"}
    assert all(0 < row["top-1"] < 1 for runs in found.values() for row in runs)


@pytest.mark.slow
def test_learning_rates_are_chosen_again(reproduce, monkeypatch, tmp_path):
    small(monkeypatch, "rates", {"coop": {"shots": 1}}, each={"lr": [0.1, 0.2]})
    code, out, err = reproduce("rates", "--precision", "fp32")
    assert code == 0 and "learning rate" in out and "coop" in out, err
    assert set(embedded.chosen_rates(tmp_path)) == {"coop"}
    small(monkeypatch, "shots", {"coop": {"epochs": 1}}, each={"shots": [1]})
    code, out, err = reproduce("shots", "--seeds", 1, "--precision", "fp32")
    book = cell(read_rows(MEASURED / "shots.jsonl")["coop, 1"], "top-1")
    assert code == 0 and f"book {book}" in out, err
    (ours,) = read_runs(tmp_path / "shots.jsonl")
    assert ours["lr"] == embedded.chosen_rates(tmp_path)["coop"]


@pytest.mark.slow
def test_a_run_holds_all_that_its_table_shows(reproduce, monkeypatch):
    for table in ("presets", "tradeoff"):
        small(monkeypatch, table, {"sotglp-proj": {"shots": 1}})
        code, out, err = reproduce(table, "--seeds", 1, "--precision", "fp32", "--json")
        assert code == 0, err
        ours, book = json.loads(out)["sotglp-proj"][0], read_runs(MEASURED / f"{table}.jsonl")[-1]
        assert set(book) <= set(ours)
    assert [row["strength"] for row in ours["strength"]] == list(embedded.STRENGTHS)
    assert ours["strength"][-1]["top-1"] == ours["top-1"], "the projection as it was learned"


def test_the_projection_was_turned_down_after_the_longest_training():
    rows = read_rows(MEASURED / "tradeoff.jsonl")
    weakened = [label for label, runs in rows.items() if any("strength" in run for run in runs)]
    assert weakened == ["sotglp-proj, 20 epochs"]
    as_learned = embedded.by_strength(rows)["strength 1.0"]
    assert cell(as_learned, "top-1") == cell(rows[weakened[0]], "top-1")


@pytest.mark.slow
def test_bench_measures_this_machine(monkeypatch, capsys):
    words = ("bench", "--backbone", "pocket", "--classes", "2", "--shots", "1")
    code, out, _ = run(monkeypatch, capsys, *words, "--json")
    told = json.loads(out)
    rows = told["rows"]
    assert {"device", "torch", "precision"} <= set(told) and told["backbone"] == "pocket embedded"
    assert code == 0 and rows["train zeroshot"]["value"] == 0 < rows["train sotglp"]["value"]
    code, out, _ = run(monkeypatch, capsys, *words)
    assert code == 0 and all(name in out for name in rows)
