"""Processes that train one run together over torch.distributed: gloo between CPUs, NCCL between GPUs."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from datetime import timedelta

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from sparsebench.errors import UserError
from sparsebench.launch import Launch
from sparsebench_torch.normalisation import normalised_together

PATIENCE = timedelta(days=30)
"""How long replicas wait for what the harness asks of them: another process may be training this very run."""


@dataclass(frozen=True)
class Replicas:
    """A `sparsebench.replicas.Group`, and what it shares of a step. `meeting` carries bytes, whatever the device."""

    rank: int
    size: int
    meeting: dist.ProcessGroup

    def gather(self, content: bytes) -> list[bytes]:
        """What each gave, by rank."""
        lengths = self._gathered(torch.tensor([len(content)]))
        room = torch.zeros(max(int(each) for each in lengths), dtype=torch.uint8)
        room[: len(content)] = _tensor(content)
        return [_content(each[: int(n)]) for each, n in zip(self._gathered(room), lengths, strict=True)]

    def share(self, content: bytes) -> bytes:
        """What the first one gave."""
        length = torch.tensor([len(content)])
        dist.broadcast(length, 0, group=self.meeting)
        found = _tensor(content) if self.rank == 0 else torch.empty(int(length), dtype=torch.uint8)
        dist.broadcast(found, 0, group=self.meeting)
        return _content(found)

    def mean(self, values: Tensor) -> Tensor:
        """The mean over replicas of what each holds, on the device; the same to the bit on all."""
        total = values.clone()
        dist.all_reduce(total)
        return total / self.size

    def parallel(self, module: nn.Module, sample: Tensor) -> DistributedDataParallel:
        """The module with gradients that are the mean over replicas and statistics of the whole batch.

        Nothing is sent to make replicas equal: what is not equal by itself is found by `sparsebench.replicas.check`.
        """
        normalised_together(module, self.size)
        unreached = not _reached(module, sample)
        with warnings.catch_warnings():  # that there is another name for it, which torch 2.11 has not
            warnings.filterwarnings("ignore", "`broadcast_buffers`", FutureWarning)
            return DistributedDataParallel(
                module, broadcast_buffers=False, init_sync=False, find_unused_parameters=unreached
            )

    def _gathered(self, tensor: Tensor) -> list[Tensor]:
        found = [torch.empty_like(tensor) for _ in range(self.size)]
        dist.all_gather(found, tensor, group=self.meeting)
        return found


def meet(device: str, launch: Launch) -> Replicas:
    """The replicas of this launch, once they are all there; a GPU is this process's own from here on.

    Raises:
        UserError: there is no GPU for this process, or the others cannot be met.
    """
    if device == "cuda":
        if launch.local >= (there := count(device) or 0):
            raise UserError(
                f"replica {launch.rank} wants GPU {launch.local} of its machine, which has {there}: give fewer devices"
            )
        torch.cuda.set_device(launch.local)
    try:
        dist.init_process_group(
            "nccl" if device == "cuda" else "gloo", f"tcp://{launch.address}",
            rank=launch.rank, world_size=launch.processes,
        )  # fmt: skip
        meeting = dist.new_group(backend="gloo", timeout=PATIENCE)
    except (RuntimeError, ValueError) as error:
        reason = " ".join(str(error).split())[:300]
        raise UserError(f"replica {launch.rank} cannot meet the others at {launch.address}: {reason}") from error
    if not isinstance(meeting, dist.ProcessGroup):
        raise AssertionError("a group of all is joined by all")
    return Replicas(launch.rank, launch.processes, meeting)


def count(device: str) -> int | None:
    """How many devices of this kind torch sees; None: a CPU is as many as one likes."""
    return torch.cuda.device_count() if device == "cuda" else None


def foreign(module: nn.Module) -> str | None:
    """Why a module's statistics would be those of one replica's share: it normalises in a way of its own."""
    for name, part in module.named_modules():
        kept = [buffer for buffer, _ in part.named_buffers(recurse=False) if buffer.startswith("running_")]
        if kept and not isinstance(part, nn.modules.batchnorm._BatchNorm):
            kind = type(part).__name__
            return f"{name!r} ({kind}) keeps {kept[0]!r} of what it sees: of that only batch normalisation is shared"
    return None


def _reached(module: nn.Module, sample: Tensor) -> bool:
    """Whether every parameter has a part in the output: DDP waits for the gradient of those that it expects."""
    training = module.training
    module.eval()
    with torch.enable_grad():
        given = torch.autograd.grad(module(sample).sum(), list(module.parameters()), allow_unused=True)
    module.train(training)
    return all(gradient is not None for gradient in given)


def _tensor(content: bytes) -> Tensor:
    return torch.frombuffer(bytearray(content), dtype=torch.uint8) if content else torch.empty(0, dtype=torch.uint8)


def _content(tensor: Tensor) -> bytes:
    return tensor.numpy().tobytes()
