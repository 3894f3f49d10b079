"""A segment of data in memory as one recorded step, replayed: the host says what the batches are, and starts it.

A step reads which batch is next from memory of its own (a counter, places, learning rates) and writes its loss there,
so that every step is the same work on the same addresses, which is what a CUDA graph can replay. The host fills that
memory for `BLOCK` steps at a time and waits for nothing.

Source: PyTorch's notes on CUDA semantics, section CUDA Graphs, whole-network capture: some steps on a side stream, then
the capture, in which nothing runs.
"""

from __future__ import annotations

import warnings
import weakref
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache

import numpy as np
import torch
from torch import Tensor

from sparsebench.data.feed import Feed
from sparsebench.method import Method
from sparsebench.trainer import Task
from sparsebench_torch import optimizers
from sparsebench_torch.data import BLOCK, Part, parts, sent
from sparsebench_torch.state import TorchState
from sparsebench_torch.steps import step

Work = Callable[[], None]
Key = Callable[[Task, Feed, int], None]
WARM_UP = 3
"""Steps before the recording, in which libraries choose kernels and the optimizer makes its state."""


@dataclass(frozen=True)
class Recorder:
    """`first(step)` does a step before there is a recording; `record(step)` does none, and returns what repeats it.

    `record` raises RuntimeError for a step that cannot be recorded.
    """

    name: str
    first: Callable[[Work], None]
    record: Callable[[Work], Work]


@cache
def _side() -> torch.cuda.Stream:
    """One stream for first steps and captures: libraries make what they need for a stream when it is first used."""
    return torch.cuda.Stream()


def _beside(step: Work) -> None:
    """Not on the default stream, on which nothing can be captured."""
    _side().wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(_side()):
        step()
    torch.cuda.current_stream().wait_stream(_side())


def _captured(step: Work) -> Work:
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph, stream=_side()):
        step()
    return graph.replay


CUDA_GRAPH = Recorder("CUDA graph", _beside, _captured)
AGAIN = Recorder("eager", lambda step: step(), lambda step: step)
"""Calls the step again each time: where there is nothing to record with, and on any device."""


class Loop:
    """The steps of one state, which holds it; `key(task, feed, iteration)` seeds what the module draws for itself."""

    def __init__(self, state: TorchState, method: Method, origin: Part, recorder: Recorder, key: Key) -> None:
        self.method, self.origin, self.recorder, self.key = method, origin, recorder, key
        self._state = weakref.ref(state)  # a circle would keep the network in the device's memory
        self._warm = 0
        self._replay: Work | None = None
        self._places: list[Tensor] = []
        device = origin[0].device
        self._at = torch.zeros(1, dtype=torch.int64, device=device)
        self._rates, self._losses = (torch.zeros(BLOCK, device=device) for _ in range(2))
        state.ran = recorder.name

    @property
    def state(self) -> TorchState:
        """Whose steps they are."""
        state = self._state()
        if state is None:
            raise AssertionError("the state of a recording is gone")
        return state

    def advance(self, feed: Feed, start: int, stop: int) -> Tensor:
        """Steps of batches start … stop − 1; returns their losses, on the device, which may still be at work."""
        found = [torch.empty(0, device=self._losses.device)]
        for first in range(start, stop, BLOCK):
            last = min(first + BLOCK, stop)
            self._fill(feed, first, last)
            for i in range(first, last):
                self.key(self.state.task, feed, i)
                self._step()
            found.append(self._losses[: last - first].clone())
        return torch.cat(found)

    def _fill(self, feed: Feed, first: int, last: int) -> None:
        """What the next steps take."""
        task, count, device = self.state.task, last - first, self._at.device
        drawn = [each.astype(np.int64) for each in task.places(feed, first, last)]
        if not self._places:
            self._places = [torch.zeros(BLOCK, *each.shape[1:], dtype=torch.int64, device=device) for each in drawn]
        for buffer, each in zip(self._places, drawn, strict=True):
            buffer[:count].copy_(sent(each, device))
        self._rates[:count].copy_(sent(task.rates(first, last).astype(np.float32), device))
        self._at.zero_()

    def _step(self) -> None:
        if self._warm < WARM_UP:
            self._warm += 1
            self.recorder.first(self._work)
            return
        if self._replay is None:
            self._replay = self._recorded()
        self._replay()

    def _recorded(self) -> Work:
        self.state.optimizer.zero_grad(set_to_none=True)  # gradients belong in the recording's own memory
        try:
            return self.recorder.record(self._work)
        except RuntimeError as error:
            first = (str(error).strip().splitlines() or [type(error).__name__])[0][:200]
            self.state.ran = f"eager, since a step cannot be recorded: {first}"
            warnings.warn(f"steps are {self.state.ran}", RuntimeWarning, stacklevel=2)
            return self._work

    def _work(self) -> None:
        """The step itself: everything that changes from one to the next is read from the device."""
        state = self.state
        now = [each.index_select(0, self._at)[0] for each in self._places]
        optimizers.copy_rate(state.optimizer, self._rates.index_select(0, self._at)[0])
        loss = step(state, self.method, parts(self.origin, now, state.task.recipe.accumulation))
        self._losses.index_copy_(0, self._at, loss[None])
        self._at.add_(1)
