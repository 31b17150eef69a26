"""The quoted tables: complete, sourced and consistent in themselves."""

import pytest

from sotglp_core.config import PRESETS
from sotglp_core.workbench.published import FILES, TEXT, published

SHAPES = {"sixteen_shot_accuracy": (9, 15), "average_by_shots": (9, 7), "ood_detection": (12, 9)}
UNSAID = "not stated"


def numbers(row):
    return {column: value for column, value in row.items() if column not in TEXT}


@pytest.mark.parametrize("table", FILES)
def test_rows(table):
    rows = published(table)
    assert (len(rows), len(rows[0])) == SHAPES[table]
    for row in rows:
        assert row.get("preset") in (None, "", *PRESETS), row["method"]
        assert all(row[column] for column in TEXT if column in row and column != "preset")
        assert all(
            value is None or isinstance(value, float) and 20 < value < 100
            for value in numbers(row).values()
        )
        assert any(value is not None for value in numbers(row).values())
    keys = [(row["method"], row.get("score")) for row in rows]
    assert len(set(keys)) == len(keys)


def test_averages_are_the_means_of_their_rows():
    complete = [row for row in published("sixteen_shot_accuracy") if None not in row.values()]
    assert len(complete) == 8
    for row in complete:
        values = [value for column, value in numbers(row).items() if column != "average"]
        assert len(values) == 11 and row["average"] == pytest.approx(sum(values) / 11, abs=0.006), (
            row["method"]
        )


def test_tables_agree():
    average = {row["method"]: row["average"] for row in published("sixteen_shot_accuracy")}
    imagenet = {row["method"]: row["imagenet"] for row in published("sixteen_shot_accuracy")}
    shots = {row["method"]: row["16"] for row in published("average_by_shots")}
    detection = published("ood_detection")
    both = [name for name in shots if name in average]
    assert len(both) == 5 and all(
        shots[name] == pytest.approx(average[name], abs=0.011) for name in both
    )
    assert [
        row["method"]
        for row in detection
        if row["avg11_16shot"]
        and row["method"] in average
        and abs(row["avg11_16shot"] - average[row["method"]]) > 0.051
    ] == []
    same = [row for row in detection if row["method"] in ("CLIP zero-shot", "GalLoP")]
    assert len(same) == 3 and all(row["imagenet_16shot"] == imagenet[row["method"]] for row in same)


def test_more_shots_are_better():
    for row in published("average_by_shots"):
        values = [row[str(k)] for k in (1, 2, 4, 8, 16)]
        assert values == sorted(values), row["method"]


def test_what_the_paper_leaves_open_is_left_open():
    (accuracy,) = (row for row in published("sixteen_shot_accuracy") if row["method"] == "SOT-GLP")
    assert accuracy["average"] == 85.1 and [
        c for c, value in numbers(accuracy).items() if value is not None
    ] == ["average"]
    (detection,) = (row for row in published("ood_detection") if row["method"] == "SOT-GLP")
    assert (
        detection["auroc_avg4"] == 94.2
        and detection["fpr95_avg4"] is None
        and detection["score"] == UNSAID
    )


def test_unknown_table():
    with pytest.raises(ValueError, match="there is no published table .*sixteen_shot_accuracy"):
        published("accuracy")
