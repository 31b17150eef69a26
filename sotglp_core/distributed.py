"""Several processes as one: rows sharded by rank, results gathered in order, gradients averaged."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextlib import nullcontext
from typing import Any

import torch
from torch import Tensor, nn


class Processes:
    """The processes of an ``accelerate.Accelerator``; of None: this one alone.

    Row i belongs to the process of rank i mod ``number``. What is gathered is whole, in order, and
    holds no row twice.
    """

    def __init__(self, accelerator: Any = None):
        self.accelerator = accelerator
        self.rank: int = accelerator.process_index if accelerator else 0
        self.number: int = accelerator.num_processes if accelerator else 1

    def shard(self, rows: int) -> slice:
        """The rows of this process."""
        return slice(self.rank, rows, self.number)

    def gather(self, shard: Tensor, rows: int) -> Tensor:
        """This process's rows -> all (rows, ...), in every process; differentiable.

        The gradient is right where each process computes the whole loss of what was gathered and
        :meth:`average_gradients` follows.
        """
        return shard if self.number == 1 else _Gather.apply(shard, rows, self)

    def encode_sharded(self, encode: Callable[[slice], Tensor], rows: int) -> Tensor:
        """All rows of what ``encode`` makes of a slice of them, each made by one process.

        :raises ValueError: if there are fewer rows than processes.
        """
        if rows < self.number:
            raise ValueError(
                f"{self.number} processes can't share {rows} classes; start at most {rows}"
            )
        return self.gather(encode(self.shard(rows)), rows)

    def average_gradients(self, parameters: Iterable[nn.Parameter]) -> None:
        """Replace every gradient by its mean over the processes."""
        if self.number > 1:
            for parameter in parameters:
                parameter.grad = self.accelerator.reduce(parameter.grad, "mean")

    def broadcast(self, value: Any) -> Any:
        """The first process's value, in every process."""
        if self.number == 1:
            return value
        from accelerate.utils import broadcast_object_list

        return broadcast_object_list([value])[0]

    def autocast(self) -> Any:
        """The context in which Accelerate's mixed precision holds."""
        return self.accelerator.autocast() if self.accelerator else nullcontext()


class _Gather(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, shard: Tensor, rows: int, processes: Processes) -> Tensor:
        ctx.shard, ctx.number = processes.shard(rows), processes.number
        padded = processes.accelerator.pad_across_processes(shard)
        by_rank = processes.accelerator.gather(padded).unflatten(0, (ctx.number, -1))
        return by_rank.transpose(0, 1).flatten(0, 1)[:rows]

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None, None]:
        return grad[ctx.shard] * ctx.number, None, None
