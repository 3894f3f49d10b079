"""What replicas agree on, whatever carries it; how launchers are read."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sparsebench.errors import UserError
from sparsebench.replicas import Alone, Launch, ReplicasDifferError, anybody, check, launched, share_of
from threaded_group import each


def refused(group, arrays):
    """The message of the check, or none."""
    try:
        check(group, arrays, "masks")
    except ReplicasDifferError as error:
        return str(error)
    return ""


@given(st.lists(st.booleans(), min_size=1, max_size=5))
def test_all_get_the_same_answer(wants):
    assert each(len(wants), lambda group: anybody(group, wants[group.rank])) == [any(wants)] * len(wants)


def test_one_alone_asks_nobody():
    assert [anybody(Alone(), wants) for wants in (True, False)] == [True, False]
    assert [Alone().gather(b"a"), Alone().share(b"a")] == [[b"a"], b"a"]
    check(Alone(), {"fc1": np.ones(3)}, "masks")


@given(st.integers(2, 5), st.data())
def test_a_difference_is_told_by_layer_and_replica_on_each(size, data):
    odd, layer = data.draw(st.integers(1, size - 1)), data.draw(st.sampled_from(["fc1", "fc2", "fc3"]))
    place = data.draw(st.integers(0, 11))

    def masks(rank):
        found = {name: np.arange(12).reshape(3, 4) % 2 == 0 for name in ("fc1", "fc2", "fc3")}
        if rank == odd:
            found[layer].flat[place] ^= True
        return found

    told = each(size, lambda group: refused(group, masks(group.rank)))
    assert len(set(told)) == 1
    assert told[0].startswith(f"masks of layer {layer!r} differ between replicas: replica {odd} has")


def test_equal_arrays_in_another_memory_order_are_equal():
    arrays = [np.arange(12.0).reshape(3, 4), np.asfortranarray(np.arange(12.0).reshape(3, 4))]
    assert each(2, lambda group: refused(group, {"fc1": arrays[group.rank]})) == ["", ""]


def test_the_majority_is_right():
    def values(rank):
        return {"fc1": np.full(2, rank == 0)}

    assert "replica 0 has" in each(3, lambda group: refused(group, values(group.rank)))[0]


@given(st.integers(1, 6), st.integers(1, 8))
def test_shares_are_the_batch_in_order(size, part):
    slices = each(size, lambda group: share_of(size * part, group))
    assert np.concatenate([np.arange(size * part)[each] for each in slices]).tolist() == list(range(size * part))


def test_a_batch_without_equal_shares_is_refused():
    with pytest.raises(UserError, match=r"batch of 10 .* 3 devices"):
        each(3, lambda group: share_of(10, group))


def test_launchers():
    assert launched({}) is None
    assert launched({"WORLD_SIZE": "1", "RANK": "0"}) is None
    address = {"MASTER_ADDR": "node1", "MASTER_PORT": "29500"}
    torchrun = {"WORLD_SIZE": "4", "RANK": "3", "LOCAL_RANK": "1"}
    assert launched(torchrun | address) == Launch(4, rank=3, processes=4, local=1, address="node1:29500")
    srun = {"SLURM_STEP_NUM_TASKS": "2", "SLURM_PROCID": "1", "SLURM_LOCALID": "0"}
    assert launched(srun | address) == Launch(2, rank=1, processes=2, local=0, address="node1:29500")
    with pytest.raises(UserError, match="MASTER_ADDR"):
        launched(torchrun)
    with pytest.raises(UserError, match="RANK='x'"):
        launched(torchrun | address | {"RANK": "x"})
