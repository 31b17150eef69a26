import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import normalized_mutual_info_score

from sotglp_core import partition

K, N = 5, 3
UNIFORM = torch.full((2, K, N), 1 / (K * N), dtype=torch.float64)


def disjoint():
    plan = torch.zeros(6, 3, dtype=torch.float64)
    plan[[0, 1], 0] = plan[[2, 3], 1] = plan[[4, 5], 2] = 1 / 6
    return plan


def test_uniform_plan():
    torch.testing.assert_close(partition.prompt_overlap(UNIFORM), torch.ones(2).double())
    torch.testing.assert_close(partition.entropy_ratio(UNIFORM), torch.ones(2).double())
    torch.testing.assert_close(
        partition.effective_prompts(UNIFORM), torch.full((2,), float(N)).double()
    )


def test_disjoint_plan():
    assert partition.prompt_overlap(disjoint()) == 0
    assert partition.effective_prompts(disjoint()) == pytest.approx(3)
    assert partition.entropy_ratio(disjoint()) == pytest.approx(np.log(6) / np.log(18))
    assert partition.assignment(disjoint()).tolist() == [0, 0, 1, 1, 2, 2]


def test_collapse_onto_one_prompt():
    plan = torch.zeros(4, 3, dtype=torch.float64)
    plan[:, 1] = 1 / 4
    assert partition.effective_prompts(plan) == 1
    assert partition.assignment(plan).tolist() == [1] * 4


def test_overlap_by_hand():
    plan = torch.tensor(
        [[0.3, 0.1], [0.2, 0.4]], dtype=torch.float64
    )  # columns (.6, .4) and (.2, .8): min (.2, .4)
    assert partition.prompt_overlap(plan) == pytest.approx(0.6)


def test_patches_that_nobody_has_are_not_assigned():
    plan = torch.tensor([[0.5, 0.5], [0.0, 0.0]])
    assert partition.assignment(plan).tolist() == [0, -1]


@settings(max_examples=50, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 4)), min_size=1, max_size=40))
def test_nmi_and_purity(pairs):
    prompts, parts = torch.tensor(pairs).T
    assert partition.normalised_mutual_information(prompts, parts) == pytest.approx(
        normalized_mutual_info_score(parts, prompts), abs=1e-9
    )
    commonest = sum(max(parts[prompts == n].tolist().count(p) for p in range(5)) for n in range(4))
    assert partition.purity(prompts, parts) == pytest.approx(commonest / len(pairs))


def test_unassigned_patches_are_left_out():
    prompts, parts = torch.tensor([0, 0, 1, -1]), torch.tensor([2, 2, 1, 4])
    assert partition.purity(prompts, parts) == 1 and partition.normalised_mutual_information(
        prompts, parts
    ) == pytest.approx(1)
    assert partition.prompt_overlap(torch.ones(3, 1)).isnan()
    assert "prompt_overlap" not in partition.sharing(torch.ones(3, 1))
