"""The pretend GPU: it computes like the CPU, and tensors of the two devices don't mix."""

import pytest
import torch
from pretend_cuda import pretend_cuda
from torch import nn


def test_a_tensor_stays_where_it_is_put():
    with pretend_cuda() as card:
        x = torch.arange(3.0, device=card)
        places = [x, x + 1, x.to(card), x.new_zeros(2), torch.zeros_like(x), x.sort().indices]
        assert all(place.device == card and place.is_cuda for place in places)
        for back in (x.cpu(), x.to("cpu"), x.to(torch.ones(1)), torch.ones(2)):
            assert back.device == torch.device("cpu") and not back.is_cuda
        assert x.cpu().numpy().tolist() == [0, 1, 2]
    assert not torch.cuda.is_available() or torch.version.cuda


@pytest.mark.parametrize(
    "mix",
    [
        lambda x, y: x + y,
        lambda x, y: torch.cat([y, x]),
        lambda x, y: torch.nn.functional.linear(y, x[None]),
        lambda x, y: y[x.long()],
        lambda x, y: y.masked_fill_(x > 1, 0),
        lambda x, y: x.numpy(),
    ],
)
def test_devices_do_not_mix(mix):
    with pretend_cuda() as card:
        x, y = torch.ones(3, device=card), torch.ones(3)
        with pytest.raises((RuntimeError, TypeError), match="device"):
            mix(x, y)


def test_what_a_gpu_allows():
    with pretend_cuda() as card:
        x = torch.arange(3.0, device=card)
        assert (x * torch.tensor(2.0)).tolist() == [0, 2, 4]
        assert x[torch.tensor([2, 0])].tolist() == [2, 0]
        x[:2] = torch.tensor([5.0, 6.0])
        assert x.tolist() == [5, 6, 2] and x.device == card


def test_a_module_learns_as_on_the_cpu():
    torch.manual_seed(0)
    there, here = nn.Linear(3, 2), nn.Linear(3, 2)
    here.load_state_dict(there.state_dict())
    data = torch.randn(5, 3)
    with pretend_cuda() as card:
        there.to(card)
        for module, inputs in ((there, data.to(card)), (here, data)):
            optimizer = torch.optim.SGD(module.parameters(), lr=0.1, momentum=0.9)
            for _ in range(3):
                optimizer.zero_grad()
                module(inputs).square().sum().backward()
                optimizer.step()
        assert there.weight.device == card and here.weight.device.type == "cpu"
        assert torch.equal(there.weight.cpu(), here.weight)
