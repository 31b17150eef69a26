"""Training in the memory of a GPU, which a pretend one has as much of as a test wants."""

import pytest
import torch
from pretend_cuda import pretend_cuda

from sotglp_core import SOTGLP, fit, load_backbone, recipe
from sotglp_core.learning import training
from sotglp_core.learning.memory import choose_text_chunk, with_less_memory

METHODS = ("sotglp", "gallop", "coop")


def saved_bytes(backbone, learner):
    """What autograd keeps of the text tower's forward pass, its frozen weights aside."""
    weights = {p.untyped_storage().data_ptr() for p in backbone.parameters()}
    kept = {}

    def note(tensor):
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in weights:
            kept[storage.data_ptr()] = storage.nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(note, lambda x: x):
        result = learner(backbone)
    assert result.requires_grad
    return sum(kept.values())


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
@pytest.mark.parametrize("method", METHODS)
def test_a_chunk_leaves_a_quarter_of_the_memory(names, method, precision):
    memory = 1 << 20
    with pretend_cuda(memory=memory) as card:
        backbone = load_backbone("pocket", "random", device=card, precision=precision)
        model = SOTGLP(backbone, names, recipe(method))
        chunk = choose_text_chunk(model)
    on_cpu = load_backbone("pocket", "random", precision=precision)
    model = SOTGLP(on_cpu, names, recipe(method))
    for learner in (model.global_prompts, model.local_prompts):
        if learner is not None:
            prompts = len(names) * learner.context.shape[1]
            assert chunk * saved_bytes(on_cpu, learner) / prompts < memory * 3 / 4
    assert chunk >= 1


def test_all_prompts_at_once_where_they_fit(tiny, names):
    assert choose_text_chunk(SOTGLP(tiny, names)) is None, "on the CPU"
    with pretend_cuda(memory=1 << 30) as card:
        backbone = load_backbone("pocket", "random", device=card)
        assert choose_text_chunk(SOTGLP(backbone, names)) is None
        many = [f"bird number {i}" for i in range(2000)]
        chunk = choose_text_chunk(SOTGLP(backbone, many))
        assert 100 < chunk < 8000


def out_of_memory(times):
    """A step that fails so many times."""
    left = [times]

    def step(batch):
        left[0] -= 1
        if left[0] >= 0:
            raise torch.OutOfMemoryError("too little memory")
        return batch

    return step


def test_a_second_try_with_half_the_chunk(tiny, names):
    model = SOTGLP(tiny, names)
    for wanted in (17, 8, 4, 2, 1, 1):  # of 5 classes with 3 global and 4 local prompts
        with pytest.warns(UserWarning, match=f"text_chunk={wanted}$"):
            assert with_less_memory(model, out_of_memory(1), "batch") == "batch"
        assert model.text_chunk == wanted
    with pytest.warns(UserWarning), pytest.raises(torch.OutOfMemoryError):
        with_less_memory(model, out_of_memory(2), "batch")


def test_of_several_processes_none_tries_again(tiny, names, monkeypatch):
    monkeypatch.setattr(torch.distributed, "is_initialized", lambda: True)
    with pytest.raises(torch.OutOfMemoryError):
        with_less_memory(SOTGLP(tiny, names), out_of_memory(1), "batch")


@pytest.mark.slow
@pytest.mark.parametrize("memory", [1 << 40, 1 << 20])
def test_training_is_the_same_with_little_memory(tiny, names, features, monkeypatch, memory):
    config = recipe("sotglp", epochs=2, batch_size=4)
    wanted = fit(SOTGLP(tiny, names, config), features, progress=False)
    training_loss, calls = training.training_loss, []

    def once_too_large(*arguments):
        calls.append(arguments)
        if len(calls) == 3:
            raise torch.OutOfMemoryError("too little memory")
        return training_loss(*arguments)

    monkeypatch.setattr(training, "training_loss", once_too_large)
    with pretend_cuda(memory=memory) as card:
        model = SOTGLP(load_backbone("pocket", "random", device=card), names, config)
        with pytest.warns(UserWarning, match="text_chunk="):
            found = fit(model, features, progress=False)
    assert len(calls) == 5, "four steps, and one again"
    assert model.text_chunk is not None
    losses = [[epoch.loss for epoch in epochs] for epochs in (found, wanted)]
    torch.testing.assert_close(*losses, atol=1e-5, rtol=1e-5)
