"""The trainer: plain eager PyTorch steps, with one multiply for the masks after each."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn.functional import cross_entropy
from torch.utils.flop_counter import FlopCounterMode

from sparsebench.data.feed import Feed
from sparsebench.data.source import Dataset, Split, normalised
from sparsebench.errors import UserError
from sparsebench.masks import Counts, Masks
from sparsebench.method import Event, Method
from sparsebench.models import Arrays, Input, Model, builder
from sparsebench.trainer import FrameworkCount, Metrics, Report, Tally, Task
from sparsebench_torch import optimizers
from sparsebench_torch.rewiring import update_masks
from sparsebench_torch.state import TorchState, fill, load_weights, make, masks_to, observed, snapshot

EVALUATION_BATCH = 1000


class TorchTrainer:
    """SparseTrainer on PyTorch; `optimizer` builds one from a module and a recipe."""

    def __init__(self, device: str = "cpu", optimizer: optimizers.Build = optimizers.build) -> None:
        self.device = _device(device)
        self.optimizer = optimizer
        self._data: dict[str, dict[str, tuple[Tensor, Tensor]]] = {}
        self._counts: dict[tuple[Model, Input], int] = {}

    def supports(self, task: Task, method: Method) -> str | None:
        """Every method runs here; one that updates masks needs an optimizer whose state is per element."""
        if not method.updates or self.optimizer is optimizers.build:
            return None
        module = self._module(task)
        optimizer = self.optimizer(module, task.recipe)
        optimizers.take_empty_step(optimizer)
        prunable = {f"{layer.name}.weight" for layer in task.layers}
        return optimizers.refusal(optimizer, {n: p for n, p in module.named_parameters() if n in prunable})

    def count(self, task: Task) -> FrameworkCount:
        """What `torch.utils.flop_counter` counts in a forward pass: convolutions and matrix products."""
        key = (task.model, task.input)
        if key not in self._counts:
            module = self._module(task).eval()
            with FlopCounterMode(display=False) as counter, torch.no_grad():
                module(torch.zeros(1, *task.input.shape, device=self.device))
            self._counts[key] = counter.get_total_flops()
        return FrameworkCount("torch.utils.flop_counter", self._counts[key])

    def init(self, task: Task, weights: Arrays, masks: Masks) -> TorchState:
        """A fresh module with these weights, masked."""
        module = self._module(task)
        load_weights(module, weights)
        return make(task, module, self.optimizer(module, task.recipe), masks_to(self.device, masks))

    def train(self, state: TorchState, method: Method, feed: Feed, start: int, stop: int) -> tuple[TorchState, Tally]:
        """One optimizer step for each batch start … stop − 1."""
        images, labels = self._split(state.task.dataset, "train")
        batches = torch.from_numpy(feed.indices(start, stop)).to(self.device)
        losses = torch.empty(stop - start, device=self.device)
        couples = type(state.optimizer) not in optimizers.ELEMENTWISE
        state.module.train()
        for j, rate in enumerate(state.task.rates(start, stop).tolist()):
            losses[j] = _gradient(state, images[batches[j]], labels[batches[j]])
            if method.observe:
                state.observe(method.observe)
            if couples:
                state.mask_gradients()
            optimizers.set_rate(state.optimizer, rate)
            state.optimizer.step()
            state.apply_masks()
        return state, Tally(losses.cpu().numpy())

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
            images, labels = self._split(state.task.dataset, "train")
            batch = torch.from_numpy(feed.indices(event.iteration, event.iteration + 1)[0]).to(self.device)
            state.module.train()
            loss = float(_gradient(state, images[batch], labels[batch]))
            for weight in state.masked:
                if weight.grad is None:  # the loss does not reach it
                    weight.grad = torch.zeros_like(weight)
        changes = update_masks(state, method, feed.seed, event, budget)
        state.optimizer.zero_grad(set_to_none=True)
        return state, Report(loss, changes)

    @torch.no_grad()
    def evaluate(self, state: TorchState, split: Literal["train", "test"]) -> Metrics:
        """Accuracy and mean cross-entropy over the split, in evaluation mode."""
        images, labels = self._split(state.task.dataset, split)
        state.module.eval()
        correct, loss = 0, 0.0
        for x, y in zip(images.split(EVALUATION_BATCH), labels.split(EVALUATION_BATCH), strict=True):
            logits = state.module(x)
            correct += int((logits.argmax(1) == y).sum())
            loss += float(cross_entropy(logits.float(), y, reduction="sum"))
        return Metrics(correct / len(labels), loss / len(labels))

    def weights(self, state: TorchState) -> dict[str, NDArray[np.float32]]:
        """All parameters, copied to the host."""
        return {
            name: parameter.detach().float().cpu().numpy().copy() for name, parameter in state.module.named_parameters()
        }

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
        state = make(task, module, optimizer, fill(module, optimizer, arrays))
        state.aux = observed(arrays, self.device)
        return state

    def _module(self, task: Task) -> nn.Module:
        return builder(task.model, "torch")(task.input).to(self.device)

    def _split(self, dataset: Dataset, split: Literal["train", "test"]) -> tuple[Tensor, Tensor]:
        """Normalised images and int64 labels on the device, made once for each data set."""
        if dataset.fingerprint not in self._data:
            self._data[dataset.fingerprint] = {
                "train": self._tensors(dataset.train, dataset.table),
                "test": self._tensors(dataset.test, dataset.table),
            }
        return self._data[dataset.fingerprint][split]

    def _tensors(self, split: Split, table: NDArray[np.float32]) -> tuple[Tensor, Tensor]:
        images = torch.from_numpy(normalised(split, table)).to(self.device)
        return images, torch.from_numpy(split.labels.astype(np.int64)).to(self.device)


def _gradient(state: TorchState, images: Tensor, labels: Tensor) -> Tensor:
    """Forward and backward of one batch; leaves the gradients on the parameters and returns the loss."""
    state.optimizer.zero_grad(set_to_none=True)
    logits = state.module(images)
    loss = cross_entropy(logits.float(), labels, label_smoothing=state.task.recipe.label_smoothing)
    loss.backward()
    return loss.detach()


def _device(name: str) -> torch.device:
    if name == "cuda" and not torch.cuda.is_available():
        raise UserError("device 'cuda' was asked for, but torch sees no CUDA device: use --device cpu")
    return torch.device(name)
