"""Several processes as one: rows sharded by rank, results gathered in order, gradients averaged."""

import atexit
import os
from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor, nn


class Processes:
    """The processes of an ``accelerate.Accelerator``; of None: this one alone.

    Row i belongs to the process of rank i mod ``number``.
    """

    def __init__(self, accelerator: Any = None):
        self.accelerator = accelerator
        self.rank: int = accelerator.process_index if accelerator else 0
        self.number: int = accelerator.num_processes if accelerator else 1

    def shard(self, rows: int) -> slice:
        """The rows of this process.

        :raises ValueError: if there are fewer rows than processes.
        """
        if rows < self.number:
            raise ValueError(
                f"{self.number} processes can't share {rows} images or classes; "
                f"start at most {rows}"
            )
        return slice(self.rank, rows, self.number)

    def subset(self, images: Any) -> Any:
        """The images of this process."""
        if self.number == 1:
            return images
        return images.subset(range(len(images))[self.shard(len(images))])

    def gather(self, shard: Tensor, rows: int) -> Tensor:
        """The shards of all processes in order, (rows, ...), in every process; differentiable.

        The gradient is right where every process computes the same loss and
        :meth:`average_gradients` follows.
        """
        if self.number == 1:
            return shard
        padded = self.accelerator.pad_across_processes(shard.detach())
        by_rank = self.accelerator.gather(padded).unflatten(0, (self.number, -1))
        everything = by_rank.transpose(0, 1).flatten(0, 1)[:rows]
        if shard.requires_grad:  # gradients flow into the rows of this process
            shard.register_hook(lambda gradient: gradient * self.number)
            everything[self.shard(rows)] = shard
        return everything

    def encode_sharded(self, encode: Callable[[slice], Tensor], rows: int) -> Tensor:
        """All rows of what ``encode`` makes of a slice of them, each made by one process."""
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


def accelerator_of(device: str) -> Any:
    """What joins the processes that torchrun has started; None for one alone.

    :raises ValueError: if the package accelerate is not installed.
    """
    if not torch.distributed.is_torchelastic_launched() or os.environ["WORLD_SIZE"] == "1":
        return None
    try:
        from accelerate import Accelerator
    except ImportError:
        raise ValueError(
            "several processes need the package accelerate: pip install 'sotglp-core[distributed]'"
        ) from None
    accelerator = Accelerator(cpu=device == "cpu")
    atexit.register(accelerator.end_training)
    return accelerator
