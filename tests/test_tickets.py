"""Lottery tickets and their transfer: rounds as runs that follow from each other, and what each starts from."""

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from replay import executed_by_layer
from sparsebench import records, runner
from sparsebench.asked import PENDING, Asked, Search, asked, controls, from_ticket, levels
from sparsebench.cli.work import prepare_all
from sparsebench.config import Recipe, RunConfig, Ticket
from sparsebench.conformance import oracle
from sparsebench.errors import UserError
from sparsebench.models import Input, initial_weights
from sparsebench.plugins import load
from sparsebench.prepare import prepare
from sparsebench.sources import recorded
from sparsebench.tickets import holding
from tasks import bits, trainer_on

INPUT = Input((1, 8, 8), 10)


def config(method="lottery", **changes):
    settings = {"model": "lenet-300-100", "dataset": "digits", "backend": "torch", "sparsity": 0.9, "seed": 1}
    return RunConfig(**{**settings, "method": method, "recipe": Recipe(steps=30, batch_size=32), **changes})


def finished(root, *runs):
    """Every run done, with those it follows from; the records in that order."""
    entries = prepare_all(runs, None, root)
    for entry in entries:
        if not (root / entry.id).exists():
            assert not entry.after or (root / entry.after).exists()
            runner.run(prepare_again(entry, root), root)
    return [records.read(root / entry.id) for entry in entries]


def prepare_again(entry, root):
    """As a worker does: from the settings alone."""
    source = recorded(root, entry.asked.ticket.source) if entry.asked.ticket else None
    prepared = prepare(entry.asked, None, source)
    assert prepared.id == entry.id
    return prepared


@pytest.fixture
def started(monkeypatch):
    """(weights, masks) of every run that begins in torch."""
    begun = []
    trainer = type(load("backends", "torch").trainer("cpu"))
    init = trainer.init

    def noted(self, task, weights, masks):
        begun.append((weights, masks))
        return init(self, task, weights, masks)

    monkeypatch.setattr(trainer, "init", noted)
    return begun


@pytest.fixture(scope="module")
def searched(tmp_path_factory):
    root = tmp_path_factory.mktemp("runs")
    return root, finished(root, asked(config(), Search(remove=0.6)))


# ---- rounds ---------------------------------------------------------------------------------------------------


@given(remove=st.floats(0.05, 0.95), sparsity=st.floats(0.01, 0.999))
def test_levels_rise_to_the_sparsity(remove, sparsity):
    found = list(levels(remove, sparsity))
    assert found == sorted(set(found))
    assert found[-1] == sparsity
    np.testing.assert_allclose(found[:-1], [1 - (1 - remove) ** r for r in range(1, len(found))], atol=1e-6)


def test_two_sparsities_share_their_rounds():
    short, long = (asked(config(sparsity=sparsity), Search(remove=0.35)) for sparsity in (0.9, 0.98))
    chains = []
    for last in (short, long):
        chain = [last]
        while chain[-1].source:
            chain.append(chain[-1].source)
        chains.append(chain[::-1])
    assert chains[0][:-1] == chains[1][: len(chains[0]) - 1]
    assert [run.config.method for run in chains[0]] == ["dense"] + ["lottery"] * 6


def test_a_search_records_every_round(searched):
    _root, (dense, *rounds) = searched
    assert dense.config.method == "dense"
    assert [record.config.sparsity for record in rounds] == [0.6, 0.84, 0.9]
    assert [record.config.ticket.source for record in rounds] == [record.id for record in (dense, *rounds[:-1])]


def test_a_round_prunes_the_one_before_by_magnitude(searched):
    _, found = searched
    for before, after in itertools.pairwise(found):
        masks, weights = before.masks(), before.weights()
        for row in after.layers:
            name, size = row["name"], row["size"]
            mask = masks.get(name, np.ones(row["shape"], bool))
            density = oracle.densities([r["shape"] for r in after.layers], after.config.sparsity, oracle.erk_ratio)
            count = oracle.active(size, 1 - float(density[[r["name"] for r in after.layers].index(name)]))
            expected = oracle.top(np.abs(weights[f"{name}.weight"]), count, mask)
            assert (after.masks()[name] == expected).all()


def test_every_round_starts_from_the_first_weights(searched, started):
    root, _found = searched
    finished(root, asked(config(sparsity=0.95), Search(remove=0.6)))
    first = initial_weights(load("models", "lenet-300-100"), INPUT, 1)
    assert len(started) == 2  # 1 − 0.4³ and 0.95: the rounds before were done
    for weights, masks in started:
        assert bits(weights) == bits(first)
        assert all(mask.any() for mask in masks.values())


def test_a_ticket_costs_its_whole_search(searched):
    _, found = searched
    own = [sum(sum(kinds.values()) for kinds in executed_by_layer(record).values()) for record in found]
    for i, record in enumerate(found):
        assert record.result["training_flops"] == sum(own[: i + 1])
        assert record.result["source_training_flops"] == sum(own[:i])


def test_rewinding_goes_on_from_the_step_it_kept(tmp_path):
    dense, ticket = finished(tmp_path, asked(config(sparsity=0.5), Search(remove=0.6, rewind=12)))
    assert next(event["start"] for event in ticket.events() if event["kind"] == "train") == 12
    assert next(event["start"] for event in dense.events() if event["kind"] == "train") == 0
    first = initial_weights(load("models", "lenet-300-100"), INPUT, 1)
    kept = dense.rewind()
    assert any((kept[name] != first[name]).any() for name in first)
    stops = [event["stop"] for event in dense.events() if event["kind"] == "train"]
    assert 12 in stops


def test_rewinding_keeps_running_statistics(tmp_path, started):
    """Those of the step that was kept; and a record's weights are a network of the other framework too."""
    recipe, trainer = Recipe(steps=6, batch_size=32, learning_rate=0.01), trainer_on("torch")
    run = asked(config(model="wrn-22-2", sparsity=0.5, recipe=recipe), Search(remove=0.6, rewind=4))
    dense, _ = finished(tmp_path, run)
    (first, _), (weights, _) = started
    kept, last = dense.rewind(), dense.weights()
    names = {name for name in kept if name.rpartition(".")[2] in ("running_mean", "running_var")}
    assert len(names) == 38
    assert not names & set(first), "a run of its own starts them at 0 and 1"
    assert bits(weights) == bits(kept)
    job = prepare(dense.config).task
    state, _ = trainer.train(trainer.init(job, first, {}), load("methods", "dense"), job.feed(1), 0, 4)
    assert bits(trainer.weights(state)) == bits(kept)
    assert all((kept[name] != last[name]).any() for name in names)
    other = trainer_on("jax")
    metrics = other.evaluate(other.init(job, last, {}), "test")
    assert metrics.loss == pytest.approx(dense.result["loss"], abs=1e-5)
    assert metrics.accuracy == dense.result["accuracy"]


# ---- transfer and controls ------------------------------------------------------------------------------------


def test_a_shuffled_mask_has_the_same_counts_and_other_places(searched):
    root, found = searched
    run = from_ticket(config("static"), asked(config(), Search(remove=0.6)), Ticket(source=PENDING, mask="shuffled"))
    control = finished(root, run)[-1]
    for name, mask in found[-1].masks().items():
        other = control.masks()[name]
        assert other.sum() == mask.sum()
        assert (other != mask).any() or mask.all()


def test_a_ticket_as_dense_as_the_run_is_taken_as_it_is(tmp_path):
    source = Asked(config("snfs-redistributed", updates={"delta_t": 5}))
    found = finished(tmp_path, from_ticket(config("static"), source, Ticket(source=PENDING)))
    assert {n: m.tobytes() for n, m in found[0].masks().items()} == {
        n: m.tobytes() for n, m in found[1].masks().items()
    }
    again = finished(tmp_path, from_ticket(config("rigl", updates={"delta_t": 5}), source, Ticket(source=PENDING)))
    assert [row["active"] for row in again[-1].layers] == [row["active"] for row in found[0].layers]


def test_redrawn_weights_are_another_draw(searched, started):
    root, found = searched
    run = from_ticket(config("static"), asked(config(), Search(remove=0.6)), Ticket(source=PENDING, weights="redrawn"))
    finished(root, run)
    ((weights, masks),) = started
    first = initial_weights(load("models", "lenet-300-100"), INPUT, 1)
    assert all((weights[name] != first[name]).mean() > 0.99 for name in first)
    assert bits(masks) == bits(found[-1].masks())


def test_controls_are_what_a_sparse_run_must_beat():
    run = Asked(config("rigl"))
    narrow, random, shuffled = controls(run)
    assert (narrow.config.method, random.config.method, shuffled.config.method) == ("small-dense", "static", "static")
    assert shuffled.source == run
    assert shuffled.config.ticket.mask == "shuffled"
    assert {c.config.sparsity for c in (narrow, random, shuffled)} == {0.9}
    assert controls(Asked(config("dense", sparsity=0.0))) == ()


def test_seeds_of_a_ticket_are_one_cell(tmp_path):
    pytest.importorskip("scipy")
    from sparsebench_board.cells import cells

    found = [finished(tmp_path, asked(config(seed=seed), Search(remove=0.7)))[-1] for seed in (0, 1)]
    assert found[0].config.ticket.source != found[1].config.ticket.source
    (cell,) = cells(found)
    assert cell.seeds == (0, 1)


# ---- what cannot be -------------------------------------------------------------------------------------------


@given(size=st.integers(1, 10**7), share=st.floats(0, 1))
def test_a_sparsity_that_holds_a_count(size, share):
    count = int(share * size)
    assert oracle.active(size, holding(size, count)) == count


def test_a_ticket_sparser_than_the_run_is_refused(searched):
    root, found = searched
    with pytest.raises(UserError, match=r"sparsity 0\.9.*ask for at least the ticket's sparsity"):
        prepare_all([Asked(config("static", sparsity=0.5, ticket=Ticket(source=found[-1].id)))], None, root)


def test_a_ticket_of_other_shapes_is_refused(searched):
    root, found = searched
    layers = load("models", "lenet-300-100").layers(Input((1, 28, 28), 10))
    with pytest.raises(UserError, match=r"'fc1' of shape \(300, 64\).*\(300, 784\).*a network of the same shapes"):
        recorded(root, found[-1].id).check(config("static"), load("methods", "static"), layers, {})


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"ticket": Ticket(source="nobody")}, "there is no run 'nobody'"),
        ({"ticket": Ticket(source="../x")}, "there is no run '../x'"),
        ({"method": "lottery"}, "give --ticket.source"),
        ({"method": "snfs-redistributed", "sparsity": 0.0}, "no layer has room"),
        ({"rewind": 30}, "rewind 30 is not a step of a run of 30"),
    ],
)
def test_what_cannot_be_is_refused_before_training(searched, changes, told):
    with pytest.raises(UserError, match=told):
        prepare_all([Asked(config(**{"method": "static", **changes}))], None, searched[0])


def test_a_method_that_starts_dense_takes_no_ticket(searched):
    root, found = searched
    with pytest.raises(UserError, match="starts dense, so it cannot start from a ticket"):
        prepare_all([Asked(config("pruning", ticket=Ticket(source=found[-1].id)))], None, root)
