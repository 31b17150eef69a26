"""Evaluation: each number against a plain formula."""

import json

import pytest
import torch

from sotglp_core import SOTGLP, evaluate, outputs, preset
from sotglp_core.data.features import Features
from sotglp_core.judging.evaluation import calibration_error


def changed(features, **changes):
    return Features(**{**vars(features), **changes})


@pytest.fixture
def model(tiny, names):
    return SOTGLP(tiny, names, preset("sotglp")).eval()


def test_accuracy_of_all_and_of_each_class(model, names, features):
    result = evaluate(model, features, progress=False)
    predicted = model(features.batch(slice(None))).logits.argmax(-1)
    pairs = list(zip(predicted.tolist(), features.labels.tolist(), strict=True))
    assert result.accuracy == pytest.approx(sum(p == y for p, y in pairs) / 11)
    for c, name in enumerate(names):
        of_class = [p == c for p, y in pairs if y == c]
        assert result.class_accuracy[name] == pytest.approx(sum(of_class) / len(of_class))
    some = features.subset([1, 6])
    assert list(evaluate(model, some, progress=False).class_accuracy) == [names[1]]


def test_accuracy_on_a_shift_is_among_the_classes_that_it_has(model, features):
    some = features.subset([0, 1, 5, 6])  # of classes 0 and 1
    result = evaluate(model, features, shifts={"some": some}, progress=False)
    logits = model(some.batch(slice(None))).logits[:, :2]
    expected = (logits.argmax(-1) == some.labels).double().mean()
    assert result.shifts == {"some": pytest.approx(float(expected))}


def test_detection_and_its_mean(model, features):
    other = changed(features, image=features.image.flip(1), patches=-features.patches)
    result = evaluate(model, features, {"same": features, "other": other}, progress=False)
    assert result.ood["same"]["GL-MCM"]["auroc"] == pytest.approx(0.5), "a set against itself"
    assert set(result.ood) == {"same", "other", "mean"}
    mean = (result.ood["other"]["MCM"]["fpr95"] + result.ood["same"]["MCM"]["fpr95"]) / 2
    assert result.ood["mean"]["MCM"]["fpr95"] == pytest.approx(mean)
    assert set(result.partition) == {"effective_prompts", "entropy_ratio", "prompt_overlap"}


def test_ready_for_json(model, features):
    record = evaluate(model, features, {"a": features}, progress=False).to_dict()
    assert json.loads(json.dumps(record)) == record
    assert set(record) == {
        *("accuracy", "class_accuracy", "calibration_error", "shifts", "ood", "partition")
    }


def test_the_size_of_batches_changes_rounding_alone(model, features):
    whole = outputs(model, features, progress=False)
    for name, scores in outputs(model, features, batch_size=3, progress=False).scores.items():
        torch.testing.assert_close(scores, whole.scores[name], atol=0, rtol=1e-6)
    assert not whole.logits.requires_grad


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no GPU")
def test_features_and_model_on_either_device(tiny, names, features):
    expected = evaluate(SOTGLP(tiny, names), features, {"a": features}, progress=False)
    on_gpu = features.to(torch.device("cuda"))
    model = SOTGLP(tiny, names).to("cuda")
    for given in (features, on_gpu):
        result = evaluate(model, given, {"a": given}, progress=False)
        assert result.accuracy == expected.accuracy
        assert not result.outputs.logits.is_cuda
    model.to("cpu")
    assert evaluate(model, on_gpu, progress=False).accuracy == expected.accuracy


def test_labels_are_needed(model, features):
    unlabelled = changed(features, labels=features.labels * 0 - 1)
    with pytest.raises(ValueError, match="labelled 0 to 4.*there are labelled -1 to -1"):
        evaluate(model, unlabelled, progress=False)
    with pytest.raises(ValueError, match="there are none at all"):
        evaluate(model, features.subset([]), progress=False)


def test_an_empty_set_is_named(model, features):
    with pytest.raises(ValueError, match="'nothing' has no images"):
        evaluate(model, features, {"nothing": features.subset([])}, progress=False)


def test_calibration_error_by_hand():
    logits = torch.log(torch.tensor([[0.9, 0.1], [0.9, 0.1], [0.3, 0.7], [0.4, 0.6]]))
    # bins of width 1/15: two at .9 with accuracy 1/2, one at .7 right, one at .6 wrong
    expected = 0.5 * abs(0.5 - 0.9) + 0.25 * abs(1 - 0.7) + 0.25 * abs(0 - 0.6)
    labels = torch.tensor([0, 1, 1, 0])
    assert calibration_error(logits, labels) == pytest.approx(expected, abs=1e-6)
