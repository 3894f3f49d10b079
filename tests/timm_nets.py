"""Networks that timm does not have, registered with it: layers that are shared, tied, grouped or of no known kind."""

import timm
import torch
from torch import nn


class Net(nn.Module):
    """Eight features of each pixel, what a subclass makes of them, and the classifier of their means."""

    def __init__(self, num_classes=1000, in_chans=3):
        super().__init__()
        self.stem = nn.Conv2d(in_chans, 8, 3, padding=1)
        self.fc = nn.Linear(8, num_classes)

    def body(self, x):
        return x

    def forward(self, x):
        return self.fc(self.body(torch.relu(self.stem(x))).mean((2, 3)))


class Shared(Net):
    """One module called twice, and two modules with one weight."""

    def __init__(self, **settings):
        super().__init__(**settings)
        self.again = nn.Conv2d(8, 8, 3, padding=1)
        self.first, self.second = nn.Conv2d(8, 8, 1), nn.Conv2d(8, 8, 1, bias=False)
        self.second.weight = self.first.weight

    def body(self, x):
        return self.second(self.first(self.again(self.again(x))))


class Mixed(Net):
    """A grouped convolution, a depthwise one, one of one dimension, one of three."""

    def __init__(self, **settings):
        super().__init__(**settings)
        self.grouped, self.depthwise = nn.Conv2d(8, 16, 3, groups=2), nn.Conv2d(16, 16, 3, groups=16)
        self.flat, self.deep = nn.Conv1d(16, 8, 1), nn.Conv3d(1, 1, 1)

    def body(self, x):
        x = self.depthwise(self.grouped(x))
        x = self.flat(x.flatten(2)).reshape(len(x), 8, *x.shape[2:])
        return self.deep(x[:, None])[:, 0]


class Dropping(Net):
    """Dropout by a module and by a function."""

    def body(self, x):
        return nn.functional.dropout(nn.functional.dropout2d(x, 0.3, self.training), 0.3, self.training)


class Normed(Net):
    """A kernel that is computed from other parameters."""

    def __init__(self, **settings):
        super().__init__(**settings)
        self.normed = nn.utils.parametrizations.weight_norm(nn.Conv2d(8, 8, 1))

    def body(self, x):
        return self.normed(x)


class Complex(Net):
    """A parameter that is no float32."""

    def __init__(self, **settings):
        super().__init__(**settings)
        self.phase = nn.Parameter(torch.ones(8, dtype=torch.complex64))

    def body(self, x):
        return x * self.phase.abs()[:, None, None]


class Pooled(Net):
    """Features instead of logits."""

    def forward(self, x):
        return x.mean((2, 3))


def _entry(net):
    def create(pretrained=False, pretrained_cfg=None, pretrained_cfg_overlay=None, cache_dir=None, **settings):
        return net(**settings)

    create.__name__, create.__module__ = f"sparsebench_{net.__name__.lower()}", __name__
    timm.models.register_model(create)


for net in (Shared, Mixed, Dropping, Normed, Complex, Pooled):
    _entry(net)
