"""Whole runs of the successors: what they start from, what is refused, what their records say."""

import numpy as np
import pytest

from sparsebench import plugins, records, runner
from sparsebench.asked import PENDING, Asked, from_ticket
from sparsebench.config import Recipe, RunConfig, Ticket, Updates
from sparsebench.errors import UserError
from sparsebench.layers import linear
from sparsebench.patterns import NM
from sparsebench.prepare import prepare
from tasks import one_thread, trainer_on
from test_tickets import finished

FC1 = linear("fc1", 64, 300)


@pytest.fixture(scope="module", autouse=True)
def torch_is_here():
    trainer_on("torch")
    one_thread()


def config(method, sparsity=0.9, steps=40, **changes):
    settings = {"model": "lenet-300-100", "dataset": "digits", "backend": "torch", "seed": 1}
    recipe = Recipe(steps=steps, batch_size=32, evaluations=1)
    changes = {"updates": Updates(delta_t=5), **changes} if method not in ("dense", "static") else changes
    return RunConfig(**{**settings, "method": method, "sparsity": sparsity, "recipe": recipe, **changes})


def record(root, method, **changes):
    return records.read(runner.run(prepare(config(method, **changes)), root))


def active(found):
    return {row["name"]: row["active"] for row in found.layers}


# ---- plans ----------------------------------------------------------------------------------------------------


def test_two_of_four_has_as_many_connections_as_rigl_and_no_layer_over_half(tmp_path):
    """ERK would have 632 of the classifier's 1,000; what those may not be goes to the others."""
    free, held = record(tmp_path, "rigl"), record(tmp_path, "rigl-2-4")
    assert (active(free)["fc3"], active(held)["fc3"]) == (632, 500)
    assert sum(active(held).values()) == pytest.approx(sum(active(free).values()), abs=3)
    assert NM(2, 4).holds(FC1, held.masks()["fc1"])
    assert not NM(2, 4).holds(FC1, free.masks()["fc1"])


def test_a_layer_that_the_policy_leaves_out_stays_dense(tmp_path):
    found = record(tmp_path, "rigl-2-4", policy={"classifier": "dense"})
    assert active(found)["fc3"] == 1000
    assert NM(2, 4).holds(FC1, found.masks()["fc1"])


def test_two_of_four_at_a_half_is_exactly_two_of_four(tmp_path):
    masks = record(tmp_path, "rigl-2-4", sparsity=0.5).masks()
    for mask in masks.values():
        assert (mask.reshape(-1, 4).sum(1) == 2).all()


def test_a_sparsity_that_the_pattern_cannot_have_is_refused():
    with pytest.raises(UserError, match=r"at most 0\.5 of a layer's connections active.*at least 0\.5, given 0\.3"):
        prepare(config("rigl-2-4", sparsity=0.3))


@pytest.mark.parametrize(("sparsity", "first"), [(0.9, 0.5), (0.3, 0.3)])
def test_granet_starts_at_a_half_if_it_is_to_end_sparser(sparsity, first):
    prepared, half = prepare(config("granet", sparsity=sparsity)), prepare(config("static", sparsity=first))
    assert prepared.first == half.sparsities


# ---- tickets --------------------------------------------------------------------------------------------------


def ticket(method, source, **changes):
    return from_ticket(config(method, **changes), Asked(source), Ticket(source=PENDING))


def test_a_denser_ticket_is_pruned_within_the_pattern(tmp_path):
    dense, found = finished(tmp_path, ticket("rigl-2-4", config("dense", 0.0), sparsity=0.6))
    before = np.abs(dense.weights()["fc1.weight"]).reshape(-1, 4)
    held = found.masks()["fc1"].reshape(-1, 4)
    assert (held.sum(1) <= 2).all()
    assert before[held].mean() > before[~held].mean()


def test_a_ticket_that_does_not_follow_the_pattern_is_refused(tmp_path):
    asked = ticket("rigl-2-4", config("rigl", distribution="uniform"), distribution="uniform")
    with pytest.raises(UserError, match="does not follow the pattern of method 'rigl-2-4' in layer 'fc1'"):
        finished(tmp_path, asked)


def test_a_shuffled_mask_follows_the_pattern(tmp_path):
    asked = ticket("rigl-2-4", config("rigl-2-4", 0.5), sparsity=0.5)
    shuffled = Asked(asked.config.model_copy(update={"ticket": Ticket(source=PENDING, mask="shuffled")}), asked.source)
    _, found = finished(tmp_path, shuffled)
    assert (found.masks()["fc1"].reshape(-1, 4).sum(1) == 2).all()


@pytest.mark.parametrize(("method", "start"), [("granet", r"at sparsity 0\.5"), ("acdc", "dense")])
def test_what_starts_otherwise_takes_no_ticket(method, start):
    with pytest.raises(UserError, match=f"method '{method}' starts {start}, so it cannot start from a ticket"):
        prepare(config(method, ticket=Ticket(source="any")))


def test_itop_in_a_run_that_is_shorter_than_its_interval_is_refused():
    with pytest.raises(UserError, match=r"never updates in 40 steps with delta_t 4000.*lower delta_t"):
        prepare(config("rigl-itop", updates=Updates()))


# ---- R_s ------------------------------------------------------------------------------------------------------


def test_records_say_what_share_was_ever_active(tmp_path):
    found = {name: record(tmp_path, name).result for name in ("static", "rigl", "set-itop", "pruning", "acdc")}
    density = found["static"]["active_parameters"] / found["static"]["parameters"]
    assert found["static"]["explored"] == density
    assert density < found["rigl"]["explored"] < 1
    assert found["rigl"]["explored"] < found["set-itop"]["explored"] < 1
    assert (found["pruning"]["explored"], found["acdc"]["explored"]) == (1, 1)


def test_every_successor_learns(tmp_path):
    """Nine methods of the house, in a run that a static mask does not fail either."""
    names = [n for n in plugins.names("methods") if n.startswith(("acdc", "granet", "srigl", "rigl-", "set-"))]
    accuracies = {name: record(tmp_path, name, steps=150).result["accuracy"] for name in names}
    assert len(accuracies) == 9
    assert min(accuracies.values()) > 0.8, accuracies
