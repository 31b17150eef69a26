"""A pretend CUDA device in the memory of the CPU: its tensors compute, and don't mix with others.

As on a GPU, an operation on tensors of both devices is a RuntimeError (but for scalars and indices
on the CPU), and NumPy's view of a tensor on the card is a TypeError. Backward passes are not
looked at. A pretend Apple GPU refuses float64, too.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any
from unittest.mock import patch

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode
from torch.utils._pytree import tree_leaves, tree_map_only

CARD, APPLE, CPU = torch.device("cuda", 0), torch.device("mps", 0), torch.device("cpu")
PRINTS = (Tensor.__format__, Tensor.__repr__)
COPIES = (Tensor.copy_, Tensor.__setitem__)  # from any device


class CardTensor(Tensor):
    """A tensor that is said to be on the card."""


class _Generator(torch.Generator):
    """On the CPU, whatever is asked for."""

    def __new__(cls, device: Any = None) -> _Generator:
        return super().__new__(cls)


class _PretendCuda(TorchFunctionMode):
    """Sees each call of a function of torch that takes or makes tensors."""

    def __init__(self, card: torch.device):
        super().__init__()
        self.card = card
        self.answers = {
            Tensor.device.__get__: card,
            Tensor.is_cuda.__get__: card.type == "cuda",
            Tensor.is_cpu.__get__: False,
        }

    def __torch_function__(
        self, function: Any, types: Any, args: tuple = (), kwargs: dict | None = None
    ) -> Any:
        kwargs = kwargs or {}
        if function is torch._has_compatible_shallow_copy_type:
            return False  # so that a module that moves gets new parameters
        if args and isinstance(args[0], CardTensor):
            if function in self.answers:
                return self.answers[function]
            if function in (Tensor.numpy, Tensor.__array__):
                raise TypeError("can't convert cuda:0 device type tensor to numpy; use .cpu()")
            if function in PRINTS:
                args = (args[0].as_subclass(Tensor), *args[1:])
        with torch._C.DisableTorchFunctionSubclass():
            args, kwargs, wanted = _without_device(function, args, kwargs)
            device = wanted or _common_device(function, args, kwargs)
            result = function(*args, **kwargs)
            dtypes = {x.dtype for x in tree_leaves(result) if isinstance(x, Tensor)}
            if self.card == APPLE and device.type != "cpu" and torch.float64 in dtypes:
                raise TypeError("the MPS framework doesn't support float64")
            return tree_map_only(Tensor, lambda x: _placed(x, device), result)


def _without_device(function: Any, args: tuple, kwargs: dict) -> tuple[tuple, dict, Any]:
    """The arguments with the CPU as the only device, and the device that they asked for."""
    wanted = kwargs.get("device")
    if function is Tensor.cpu:
        wanted = CPU
    elif function is Tensor.cuda:
        function, args, wanted = Tensor.to, args[:1], CARD
    elif function is Tensor.to and len(args) > 1:
        if isinstance(args[1], Tensor):
            wanted = CARD if isinstance(args[1], CardTensor) else CPU
        elif isinstance(args[1], str | torch.device | int):
            wanted, args = args[1], (args[0], CPU, *args[2:])
    if kwargs.get("device") is not None:
        kwargs = {**kwargs, "device": CPU}
    if kwargs.get("pin_memory"):  # which needs a driver
        kwargs = {**kwargs, "pin_memory": False}
    return args, kwargs, None if wanted is None else torch.device(wanted)


def _common_device(function: Any, args: tuple, kwargs: dict) -> torch.device:
    """Where the result of tensors is.

    :raises RuntimeError: if they are on both devices.
    """
    tensors = [x for x in tree_leaves((args, kwargs)) if isinstance(x, Tensor)]
    on_card = [isinstance(x, CardTensor) for x in tensors]
    if function in COPIES or (function is Tensor.__getitem__ and on_card[0]):
        return CARD if on_card[0] else CPU
    on_cpu = any(x.ndim > 0 for x, card in zip(tensors, on_card) if not card)
    in_backward = torch._C._current_graph_task_id() != -1
    if any(on_card) and on_cpu and not in_backward:
        raise RuntimeError(
            f"{getattr(function, '__name__', function)}: expected all tensors to be on the same "
            "device, but found at least two devices, cuda:0 and cpu"
        )
    return CARD if any(on_card) else CPU


def _placed(x: Tensor, device: torch.device) -> Tensor:
    """The tensor as one of that device; a copy where it was one of the other."""
    wanted = Tensor if device.type == "cpu" else CardTensor
    if isinstance(x, CardTensor) == (wanted is CardTensor):
        return x
    if x.is_leaf and x.requires_grad:
        return x.detach().clone().as_subclass(wanted).requires_grad_()
    return x.clone().as_subclass(wanted)


@contextmanager
def pretend_cuda(
    *, capability: tuple[int, int] = (8, 0), memory: int = 16 << 30
) -> Iterator[torch.device]:
    """Inside, torch finds one GPU of that capability with so many bytes, all of them free."""
    answers = {
        "is_available": True,
        "get_device_capability": capability,
        "get_device_name": "a pretend GPU",
        "mem_get_info": (memory, memory),
        "synchronize": None,
    }
    with ExitStack() as stack:
        stack.enter_context(patch.object(torch, "Generator", _Generator))
        for name, answer in answers.items():
            stack.enter_context(patch.object(torch.cuda, name, return_value=answer))
        stack.enter_context(_PretendCuda(CARD))
        yield CARD


@contextmanager
def pretend_mps() -> Iterator[torch.device]:
    """Inside, tensors can be on one Apple GPU, which has no float64."""
    with patch.object(torch, "Generator", _Generator), _PretendCuda(APPLE):
        yield APPLE
