"""Scores that are not finite: an error that names the layer on the host, a flag on a device, nothing where they
decide nothing."""

import numpy as np
import pytest

from sparsebench.errors import NonFiniteScoreError
from sparsebench.masks import Counts
from sparsebench.method import Signals
from sparsebench.methods.rigl import rigl
from sparsebench.rewiring import rewire_layers
from strategies import layer, on_devices
from test_masks import THIRD_PARTY, updated, updated_on_host

BAD = [np.nan, np.inf, -np.inf]


def spoiled(where, value):
    """A problem with one bad value: in an active weight, or in any gradient."""
    shape = (5, 3, 3, 2)
    arrays = {name: np.ones(shape, np.float32) for name in ("weight", "gradient")}
    arrays[where][3, 1, 2, 0] = value
    mask = np.arange(90).reshape(shape) % 2 == 0
    return layer(shape, "layer3.1.conv2"), arrays["weight"], arrays["gradient"], mask, (0, 0), Counts(20, 3)


@pytest.mark.parametrize("value", BAD)
@pytest.mark.parametrize(("where", "role"), [("weight", "drop"), ("gradient", "grow")])
@pytest.mark.parametrize("method", [rigl, *THIRD_PARTY.values()], ids=["rigl", *THIRD_PARTY])
def test_the_host_names_the_layer(method, where, role, value):
    with pytest.raises(NonFiniteScoreError, match=rf"layer 'layer3\.1\.conv2': the {role} score is not finite"):
        updated_on_host(method, spoiled(where, value))


@on_devices
@pytest.mark.parametrize("value", BAD)
@pytest.mark.parametrize("where", ["weight", "gradient"])
def test_devices_raise_a_flag(call, where, value):
    assert updated(call, rigl, spoiled(where, value))[1] is False
    assert updated(call, rigl, spoiled(where, 0.0))[1] is True


def test_layers_side_by_side_name_the_first_bad_one():
    signals = [Signals(*spoiled("weight", value)[1:4], None) for value in (1.0, np.nan, np.inf)]
    layers = [(layer((5, 3, 3, 2), name), given) for name, given in zip(("fc1", "fc2", "fc3"), signals, strict=True)]
    with pytest.raises(NonFiniteScoreError, match="'fc2'"):
        rewire_layers(rigl, layers, {name: Counts(20, 3) for name in ("fc1", "fc2", "fc3")})


@on_devices
@pytest.mark.parametrize(("kept", "grown", "role"), [(9, 0, None), (8, 1, "grow"), (8, 0, None)])
def test_a_score_that_decides_nothing_may_be_anything(call, kept, grown, role):
    """RigL whose gradient is all NaN, where nothing is to grow: host and device agree to go on."""
    ones = np.ones((3, 3), np.float32)
    problem = (layer((3, 3)), ones, ones * np.nan, ones.astype(bool), (0, 0), Counts(kept, grown))
    assert updated(call, rigl, problem)[1] is (role is None)
    if role is None:
        assert updated_on_host(rigl, problem).active == kept + grown
    else:
        with pytest.raises(NonFiniteScoreError, match=f"the {role} score"):
            updated_on_host(rigl, problem)
