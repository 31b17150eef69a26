"""Several processes as one: rows divided by rank, results gathered in their order, gradients summed."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn


class Processes:
    """The processes of a Hugging Face Accelerate ``Accelerator``; of None: this one alone.

    Row i of anything belongs to the process of rank i mod the number of processes. What is gathered is whole, in order, and holds
    no row twice, whatever the number of rows.
    """

    def __init__(self, accelerator: Any = None):
        self.rank: int = accelerator.process_index if accelerator else 0
        self.number: int = accelerator.num_processes if accelerator else 1

    def shard(self, rows: int) -> slice:
        """The rows of this process."""
        return slice(self.rank, rows, self.number)

    def encode_sharded(self, encode: Callable[[slice], Tensor], rows: int) -> Tensor:
        """All rows of what ``encode`` makes of a slice of them, each made by one process; differentiable.

        :raises ValueError: if there are fewer rows than processes.
        """
        if rows < self.number:
            raise ValueError(
                f"{self.number} processes can't share {rows} classes; start at most {rows}"
            )
        return self.gather(encode(self.shard(rows)), rows)

    def gather(self, mine: Tensor, rows: int) -> Tensor:
        """(own rows, ...) of every process to (rows, ...) in each; the backward pass sums the processes' gradients."""
        return mine if self.number == 1 else _Gather.apply(mine, rows, self.rank, self.number)

    def all_reduce(self, mine: Tensor) -> Tensor:
        """The sum over the processes, a constant for autograd."""
        mine = mine.detach().clone()
        if self.number > 1:
            dist.all_reduce(mine)
        return mine

    def sum_gradients(self, parameters: Iterable[nn.Parameter]) -> None:
        """Replace every gradient by its sum over the processes."""
        for parameter in parameters if self.number > 1 else ():
            parameter.grad = self.all_reduce(
                torch.zeros_like(parameter) if parameter.grad is None else parameter.grad
            )


class _Gather(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, mine: Tensor, rows: int, rank: int, number: int) -> Tensor:
        ctx.own = slice(rank, rows, number)
        padded = mine.new_zeros(-(-rows // number), *mine.shape[1:])
        padded[: len(mine)] = mine
        parts = [torch.empty_like(padded) for _ in range(number)]
        dist.all_gather(parts, padded)
        return torch.stack(parts, 1).flatten(0, 1)[:rows]

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None, None, None]:
        grad = grad.contiguous().clone()
        dist.all_reduce(grad)
        return grad[ctx.own], None, None, None
