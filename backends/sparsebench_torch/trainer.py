"""The trainer: PyTorch's own steps, with one multiply for the masks after each; on a GPU, one recorded step."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn, optim
from torch.nn.functional import cross_entropy
from torch.utils.flop_counter import FlopCounterMode

from sparsebench import noise
from sparsebench.data.feed import Feed
from sparsebench.errors import UserError
from sparsebench.launch import Launch
from sparsebench.masks import Counts, Masks
from sparsebench.method import Event, Method
from sparsebench.mistakes import told
from sparsebench.models import Arrays, Input, Model, builder
from sparsebench.replicas import Alone, Group, in_turn
from sparsebench.trainer import FrameworkCount, Metrics, Report, Tally, Task
from sparsebench_torch import optimizers
from sparsebench_torch.data import Data
from sparsebench_torch.recording import CUDA_GRAPH, Loop, Recorder
from sparsebench_torch.replicas import Replicas, foreign, meet
from sparsebench_torch.rewiring import update_masks
from sparsebench_torch.snapshots import fill, observed, snapshot
from sparsebench_torch.state import TorchState, load_weights, make, masks_to, numbers
from sparsebench_torch.steps import gradient, logits, step


class TorchTrainer:
    """SparseTrainer on PyTorch; `optimizer` builds one from a module and a recipe.

    With a `recorder`, steps on data in memory are recorded and replayed; on a GPU they are. Among `replicas` it trains
    on its share of every batch.
    """

    def __init__(
        self, device: str = "cpu", optimizer: optimizers.Build = optimizers.build, recorder: Recorder | None = None,
        replicas: Replicas | None = None,
    ) -> None:  # fmt: skip
        self.device = _device(device)
        self.replicas = replicas
        self.optimizer = optimizer
        self.recorder = CUDA_GRAPH if recorder is None and self.device.type == "cuda" else recorder
        self._data = Data(self.device)
        self._counts: dict[tuple[Model, Input], int] = {}

    @property
    def group(self) -> Group:
        """Who trains with it."""
        return self.replicas or Alone()

    def supports(self, task: Task, method: Method) -> str | None:
        """Every method runs here; one that updates masks needs an optimizer whose state is per element.

        Replicas need equal shares of a batch, and a network whose only statistics are batch normalisation's.
        """
        if self.replicas and (reason := self._unshareable(task)):
            return reason
        if not method.updates or self.optimizer is optimizers.build:
            return None
        module = self._module(task)
        optimizer = self.optimizer(module, task.recipe)
        optimizers.take_empty_step(optimizer)
        prunable = {f"{layer.name}.weight" for layer in task.prunable}
        return optimizers.refusal(optimizer, {n: p for n, p in module.named_parameters() if n in prunable})

    def count(self, task: Task) -> FrameworkCount:
        """What `torch.utils.flop_counter` counts in a forward pass: convolutions and matrix products."""
        key = (task.model, task.input)
        if key not in self._counts:
            module = self._module(task).eval().requires_grad_(False)  # no_grad would fail: see timm_torch
            with FlopCounterMode(display=False) as counter:
                module(torch.zeros(1, *task.input.shape, device=self.device))
            self._counts[key] = counter.get_total_flops()
        return FrameworkCount("torch.utils.flop_counter", self._counts[key])

    def init(self, task: Task, weights: Arrays, masks: Masks) -> TorchState:
        """A fresh module with these weights, masked."""
        module = self._module(task)
        load_weights(module, weights)
        return self._made(task, module, self.optimizer(module, task.recipe), masks_to(self.device, masks))

    def train(self, state: TorchState, method: Method, feed: Feed, start: int, stop: int) -> tuple[TorchState, Tally]:
        """One optimizer step for each batch start … stop − 1."""
        return state, Tally(self.advance(state, method, feed, start, stop).cpu().numpy())

    def advance(self, state: TorchState, method: Method, feed: Feed, start: int, stop: int) -> Tensor:
        """The same without waiting for the device, where losses stay (streamed images are waited for)."""
        state.module.train()
        loop = self._loop(state, method)
        if self.replicas:
            return self.replicas.mean(self.stepwise(state, method, self._shared(state.task, feed), start, stop))
        return loop.advance(feed, start, stop) if loop else self.stepwise(state, method, feed, start, stop)

    def stepwise(self, state: TorchState, method: Method, feed: Feed, start: int, stop: int) -> Tensor:
        """The same in eager steps, one after another."""
        losses: list[Tensor] = []
        rates = state.task.rates(start, stop).tolist()
        for j, parts in enumerate(self._data.batches(state.task, feed, start, stop)):
            self._key(state.task, feed, start + j)
            optimizers.set_rate(state.optimizer, rates[j])
            losses.append(step(state, method, parts))
        return torch.stack(losses) if losses else torch.empty(0, device=self.device)

    def _loop(self, state: TorchState, method: Method) -> Loop | None:
        """The recorded steps of a state; None: they cannot be, and the state says why."""
        if self.replicas:
            state.ran = "eager, since replicas share every batch"
        if self.recorder is None or self.replicas:
            return None
        origin = self._data.origin(state.task)
        reason = "images are streamed" if origin is None else optimizers.not_recordable(state.optimizer)
        if origin is None or reason:
            state.ran = f"eager, since {reason}"
            return None
        if state.loop is None or state.loop.method.observe is not method.observe:
            state.loop = Loop(state, method, origin, self.recorder, self._key)
        return state.loop

    def update(
        self, state: TorchState, method: Method, event: Event, budget: Mapping[str, Counts], feed: Feed
    ) -> tuple[TorchState, Report]:
        """New masks; the dense gradient, where needed, is that of batch `event.iteration` in training mode."""
        names = (f"{name}.weight" for name in state.masks)
        if reason := optimizers.refusal(state.optimizer, dict(zip(names, state.masked, strict=True))):
            raise UserError(reason)
        loss = None
        state.optimizer.zero_grad(set_to_none=True)
        if method.needs_gradient:
            ours = self._shared(state.task, feed)
            (parts,) = self._data.batches(state.task, ours, event.iteration, event.iteration + 1)
            state.module.train()
            self._key(state.task, feed, event.iteration)
            found = gradient(state, parts)
            loss = float(self.replicas.mean(found) if self.replicas else found)
            for weight in state.masked:
                if weight.grad is None:  # the loss does not reach it
                    weight.grad = torch.zeros_like(weight)
        changes = update_masks(state, method, feed.seed, event, budget)
        state.share_masks()
        state.optimizer.zero_grad(set_to_none=True)
        return state, Report(loss, changes)

    @torch.no_grad()
    def evaluate(self, state: TorchState, split: Literal["train", "test"]) -> Metrics:
        """Accuracy and mean cross-entropy over the split, in evaluation mode; the device is waited for at the end."""
        state.module.eval()
        samples, group = len(getattr(state.task.dataset, split).labels), self.group
        sums = [torch.zeros(0, 2, device=self.device)]
        for images, labels in self._data.evaluation(state.task, split, slice(group.rank, None, group.size)):
            found = logits(state, images)
            right, loss = (found.argmax(1) == labels).sum(), cross_entropy(found, labels, reduction="sum")
            sums.append(torch.stack([right.float(), loss])[None])
        right, loss = in_turn(group, torch.cat(sums).double().cpu().numpy())
        return Metrics(right / samples, loss / samples)

    def weights(self, state: TorchState) -> dict[str, NDArray[np.float32]]:
        """All parameters and running statistics, copied to the host."""
        return {name: tensor.float().cpu().numpy().copy() for name, tensor in numbers(state.module).items()}

    def masks(self, state: TorchState) -> Masks:
        """All masks, copied to the host."""
        return {name: mask.cpu().numpy().copy() for name, mask in state.masks.items()}

    def snapshot(self, state: TorchState) -> dict[str, NDArray[Any]]:
        """Module, masks and optimizer."""
        return snapshot(state)

    def restore(self, task: Task, arrays: Mapping[str, NDArray[Any]]) -> TorchState:
        """A fresh module and optimizer, filled from a snapshot."""
        module = self._module(task)
        optimizer = self.optimizer(module, task.recipe)
        state = self._made(task, module, optimizer, fill(module, optimizer, arrays))
        state.aux = observed(arrays, self.device)
        return state

    def _key(self, task: Task, feed: Feed, iteration: int) -> None:
        """What a module draws for itself (dropout) is the same for every method, and after a snapshot."""
        if not task.model.draws:  # to key a generator takes ten microseconds
            return
        generator = torch.cuda if self.device.type == "cuda" else torch.default_generator
        whose = f"module {self.group.rank}" if self.group.rank else "module"  # other samples, other draws
        generator.manual_seed(noise.key(feed.seed, iteration, whose)[0] % 2**32)

    def _made(self, task: Task, module: nn.Module, optimizer: optim.Optimizer, masks: dict[str, Tensor]) -> TorchState:
        state = make(task, module, optimizer, masks)
        if self.replicas:
            state.parallel = self.replicas.parallel(module, torch.zeros(1, *task.input.shape, device=self.device))
        return state

    def _shared(self, task: Task, feed: Feed) -> Feed:
        return feed.shared(self.group, task.recipe.accumulation)

    def _unshareable(self, task: Task) -> str | None:
        mistakes = told(lambda: self._shared(task, task.feed(0)))
        return mistakes[0] if mistakes else foreign(self._module(task))

    def _module(self, task: Task) -> nn.Module:
        return builder(task.model, "torch")(task.input).to(self.device)


def join(device: str, launch: Launch) -> tuple[TorchTrainer, Replicas]:
    """Meet the other replicas; see `sparsebench.trainer.Spread`."""
    replicas = meet(device, launch)
    return TorchTrainer(device, replicas=replicas), replicas


def _device(name: str) -> torch.device:
    if name == "cuda" and not torch.cuda.is_available():
        raise UserError("device 'cuda' was asked for, but torch sees no CUDA device: use --device cpu")
    return torch.device(name)
