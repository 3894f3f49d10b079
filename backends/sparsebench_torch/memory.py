"""What a step holds, in bytes of tensors, by looking at every operation's results; the same on every device.

An allocator's own peak would count what it keeps for later, and none of a CUDA graph's.
"""

from __future__ import annotations

import weakref
from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from sparsebench.data.feed import Feed
from sparsebench.method import Method
from sparsebench_torch.state import TorchState
from sparsebench_torch.trainer import TorchTrainer


class Alive(TorchDispatchMode):
    """While it is on: bytes of the storages that are alive `now`, and the `most` that were."""

    def __init__(self, known: Iterable[Tensor]) -> None:
        super().__init__()
        self.now = self.most = 0
        self._seen: dict[int, weakref.ref[torch.UntypedStorage]] = {}
        for tensor in known:
            self._note(tensor)

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        made = func(*args, **(kwargs or {}))
        for each in tree_leaves(made):
            if isinstance(each, Tensor):
                self._note(each)
        return made

    def _note(self, tensor: Tensor) -> None:
        storage = tensor.untyped_storage()
        place, size = storage._cdata, storage.nbytes()
        if place in self._seen:
            return

        def gone(_: object) -> None:
            del self._seen[place]
            self.now -= size

        self._seen[place] = weakref.ref(storage, gone)
        self.now += size
        self.most = max(self.most, self.now)


def step_bytes(trainer: TorchTrainer, state: TorchState, method: Method, feed: Feed) -> int:
    """The most bytes of tensors alive in one eager step, without the data set's and what a kernel takes for itself."""
    state.optimizer.zero_grad(set_to_none=True)
    with Alive(_held(state)) as alive:
        trainer.train(state, method, feed, 0, 1)
    return alive.most


def _held(state: TorchState) -> Iterable[Tensor]:
    yield from state.module.state_dict(keep_vars=True).values()
    yield from (*state.masks.values(), *state.multipliers, *state.aux.values())
    for own in state.optimizer.state.values():
        yield from (value for value in own.values() if isinstance(value, Tensor))


def mask_bytes(state: TorchState) -> Mapping[str, int]:
    """Of everything that masks are kept in, by type."""
    held = {tensor.data_ptr(): tensor for tensor in (*state.masks.values(), *state.multipliers)}
    found: Counter[str] = Counter()
    for tensor in held.values():
        found[str(tensor.dtype).removeprefix("torch.")] += tensor.nbytes
    return found
