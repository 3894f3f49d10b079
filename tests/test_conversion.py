"""Whole states by name between timm's checkpoints, torch and Flax: every number, and what does not fit is refused."""

import pkgutil

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from model_runs import arbitrary, batch
from sparsebench import states
from sparsebench.errors import UserError
from sparsebench.models import Input
from sparsebench_models.mobilenet import mobilenetv1
from sparsebench_models.resnet import resnet50
from sparsebench_models.wide_resnet import wrn_22_2

torch = pytest.importorskip("torch")
timm = pytest.importorskip("timm")
jax = pytest.importorskip("jax")
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")

from sparsebench_models import conversion_flax, conversion_torch  # noqa: E402

LARGE = Input((3, 65, 65), 10)


def built(model, input):
    """(torch's module, Flax's)."""
    return [pkgutil.resolve_name(model.builders[name])(input) for name in ("torch", "jax")]


@pytest.mark.parametrize(("model", "name"), [(resnet50, "resnet50"), (mobilenetv1, "mobilenetv1_100")])
def test_a_timm_checkpoint_loads_into_either(model, name, tmp_path):
    from safetensors.torch import save_file

    theirs = timm.create_model(name, num_classes=10)
    state = arbitrary({n: t.numpy() for n, t in theirs.state_dict().items() if t.ndim})
    theirs.load_state_dict({n: torch.from_numpy(a.astype(np.float32)) for n, a in state.items()}, strict=False)
    save_file(theirs.state_dict(), tmp_path / "timm.safetensors")
    arrays = states.read(tmp_path / "timm.safetensors")
    in_torch, in_flax = built(model, LARGE)
    conversion_torch.load(in_torch, arrays)
    conversion_flax.load(in_flax, arrays)
    images, _ = batch(LARGE, 2)
    in_flax.eval()
    with torch.no_grad():
        expected = theirs.eval()(torch.from_numpy(images)).numpy()
        ours = in_torch.eval()(torch.from_numpy(images)).numpy()
    assert (ours == expected).all()
    scale = np.abs(expected).max()
    assert np.abs(np.asarray(jax.jit(lambda x: in_flax(x))(images)) - expected).max() <= 1e-4 * scale


@pytest.mark.parametrize("model", [resnet50, mobilenetv1, wrn_22_2], ids=lambda model: model.name)
@settings(max_examples=2)
@given(width=st.floats(0.05, 0.3), seed=st.integers(0, 99))
def test_a_state_goes_round_to_the_bit(model, width, seed, tmp_path_factory):
    path = tmp_path_factory.mktemp("weights") / "state.safetensors"
    in_torch, in_flax = built(model, Input((3, 32, 32), 10, width))
    state = arbitrary(conversion_torch.state_of(in_torch), seed)
    given = {name: array.astype(np.float32) for name, array in state.items()}
    assert conversion_flax.state_of(in_flax).keys() == given.keys()
    assert sum("running" in name for name in given) == sum(array.ndim == 1 for array in given.values()) // 2
    conversion_flax.load(in_flax, given)
    states.write(path, conversion_flax.state_of(in_flax))
    conversion_torch.load(in_torch, states.read(path))
    back = conversion_torch.state_of(in_torch)
    assert all((back[name] == array).all() and back[name].dtype == np.float32 for name, array in given.items())


def test_what_does_not_fit_is_refused_by_name(tmp_path):
    in_torch, in_flax = built(wrn_22_2, Input((3, 8, 8), 10, 0.25))
    state = conversion_torch.state_of(in_torch)
    before = conversion_flax.state_of(in_flax)
    lacking = {name: array for name, array in state.items() if name != "bn.running_var"}
    for load, module in ((conversion_torch.load, in_torch), (conversion_flax.load, in_flax)):
        with pytest.raises(UserError, match=r"the file lacks bn\.running_var and also has head; choose"):
            load(module, lacking | {"head": np.zeros(1)})
        with pytest.raises(UserError, match=r"fc\.weight has shape \(7, 32\) in the file and \(10, 32\) in the model"):
            load(module, state | {"fc.weight": np.zeros((7, 32))})
    after = conversion_flax.state_of(in_flax)
    assert all((after[name] == array).all() for name, array in before.items())


@pytest.mark.parametrize("content", [None, b"", b"\xff" * 64])
def test_a_file_that_is_not_one_is_refused(content, tmp_path):
    path = tmp_path / "weights.safetensors"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(UserError, match=r"cannot read weights from .*weights\.safetensors: "):
        states.read(path)
