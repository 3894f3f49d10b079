"""Dense gradients in float64, written out for the nets of `tasks`: what growth has to follow."""

import numpy as np
import pytest

from sparsebench.conformance import oracle
from sparsebench.method import Event
from sparsebench.methods.rigl import rigl
from tasks import begin, gated, update


def dense_gradient(job, weights, batch):
    """(loss, gradients, running means of the first normalisation), mean over the equal parts of a batch.

    In training mode; each part is normalised by its own statistics.
    """
    torch = pytest.importorskip("torch", reason="the expected gradient is computed in torch")
    w = {name: torch.tensor(array, dtype=torch.float64, requires_grad=True) for name, array in weights.items()}
    parts, means, total = np.split(np.asarray(batch), job.recipe.accumulation), [], 0.0
    for part in parts:
        logits, mean = _forward(torch, job, w, part)
        means.append(mean)
        likelihoods, share = torch.log_softmax(logits, 1), job.recipe.label_smoothing
        hard = likelihoods[range(len(part)), job.dataset.train.labels[part]]
        loss = -((1 - share) * hard + share * likelihoods.mean(1)).mean() / len(parts)
        loss.backward()
        total += loss.item()
    return total, {name: value.grad.numpy() for name, value in w.items() if "running" not in name}, means


def _forward(torch, job, w, batch):
    f, hidden = torch.nn.functional, torch.tensor(_pixels(job, batch), dtype=torch.float64)
    if job.model is gated:
        hidden = f.relu(hidden.flatten(1) @ w["fc1.weight"].T + w["fc1.bias"])
        gate = hidden.mean(1, keepdim=True) * w["gate.weight"][0] + w["gate.bias"]
        return hidden @ w["fc2.weight"].T + w["fc2.bias"] + gate, None
    means = []
    for i, stride in ((1, 1), (2, 2)):
        hidden = f.conv2d(hidden, w[f"conv{i}.weight"], w[f"conv{i}.bias"], stride, 1)
        mean, variance = hidden.mean((0, 2, 3), keepdim=True), hidden.var((0, 2, 3), correction=0, keepdim=True)
        means.append(mean.detach().flatten().numpy())
        scale, shift = w[f"bn{i}.weight"][:, None, None], w[f"bn{i}.bias"][:, None, None]
        hidden = f.relu((hidden - mean) / (variance + 1e-5).sqrt() * scale + shift)
    return hidden.mean((2, 3)) @ w["fc.weight"].T + w["fc.bias"], means[0]


def _pixels(job, batch):
    table, images = job.dataset.table, job.dataset.train.images[batch]
    return np.stack([table[images[:, c], c] for c in range(table.shape[1])], axis=1)


def assert_grown_by_gradient(trainer, job, sparsity=0.8, iteration=9):
    """RigL's loss is that of the full batch, and what it grows has the largest dense gradients of it."""
    state = begin(trainer, job, rigl, sparsity)
    state, _ = trainer.train(state, rigl, job.feed(0), 0, iteration)
    weights, before = trainer.weights(state), trainer.masks(state)
    state, report = update(trainer, job, state, rigl, Event(iteration, 0.3, replaces_step=True), sparsity)
    loss, gradients, _ = dense_gradient(job, weights, job.feed(0).indices(iteration, iteration + 1)[0])
    assert report.loss == pytest.approx(loss, rel=1e-5)
    for name, after in trainer.masks(state).items():
        kept, grown = oracle.counts(after.size, sparsity, before[name].sum(), 0.3)
        keep = oracle.top(np.abs(weights[f"{name}.weight"]), kept, before[name])
        assert (after & keep).sum() == kept
        slope = np.abs(gradients[f"{name}.weight"])
        chosen, passed_over = slope[after & ~keep], slope[~after]
        assert chosen.size == grown
        assert chosen.min(initial=np.inf) >= passed_over.max(initial=0) - 1e-6 * slope.max()
