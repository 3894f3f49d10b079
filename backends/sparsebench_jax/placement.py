"""Where arrays live: all on one device; or on a mesh with one axis, where samples are shared and all else is copied."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache, partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec, Sharding, SingleDeviceSharding
from numpy.typing import NDArray

from sparsebench.errors import UserError
from sparsebench.replicas import ReplicasDifferError

AXIS = "data"


@dataclass(frozen=True, eq=False)
class Placement:
    """`whole`: each device has a copy; `along(axis)`: each has an equal part, in order.

    Processes have equally many devices. Everything compiled returns what is `whole`: so what XLA adds up is the whole
    batch's, and never leaves the devices in parts.
    """

    devices: tuple[Any, ...]
    whole: Sharding
    along: Callable[[int], Sharding]
    send: Callable[[Any, Any], Any] = jax.device_put
    rank: int = 0
    processes: int = 1

    @property
    def platform(self) -> str:
        """What its devices are."""
        return self.devices[0].platform

    def put(self, arrays: Any) -> Any:
        """On every device, without waiting for them."""
        return self.send(arrays, self.whole)

    def shared(self, arrays: Any, axis: int = 0) -> Any:
        """Equal parts along an axis, without waiting; given is what this process is to have of them, see `part`."""
        return self.send(arrays, self.along(axis))

    def kept(self, array: NDArray[Any]) -> jax.Array:
        """A copy of its own on each device: a donated buffer must not be the host's memory, nor another device's."""
        own = [device for device in self.devices if device in self.whole.addressable_devices]
        copies = [jnp.array(array, copy=True, device=device) for device in own]
        return jax.make_array_from_single_device_arrays(array.shape, self.whole, copies)

    def part(self, size: int) -> slice:
        """What this process is to have of `size` samples."""
        own = size // self.processes
        return slice(self.rank * own, (self.rank + 1) * own)

    def padded(self, size: int) -> int:
        """The next size that can be shared."""
        return -(-size // len(self.devices)) * len(self.devices)

    def read(self, name: str, array: jax.Array) -> NDArray[Any]:
        """A view of what each device of this process has, once they are found to be the same.

        Raises:
            ReplicasDifferError: they are not; names the array and the first device with another one.
        """
        first, *others = (shard for shard in array.addressable_shards)
        found = np.asarray(first.data)
        for other in others:
            if np.asarray(other.data).tobytes() != found.tobytes():
                raise ReplicasDifferError(
                    f"{name!r} differs between replicas: {other.device} has not what {first.device} has; the run is "
                    "stopped, its last checkpoint is sound: begin it again"
                )
        return found


def one(device: str) -> Placement:
    """The first device of a platform that is this process's own."""
    own = [each for each in found(device) if each.process_index == jax.process_index()]
    place = SingleDeviceSharding(own[0])
    return Placement((own[0],), place, lambda axis: place)


def mesh(devices: Sequence[Any], rank: int = 0, processes: int = 1) -> Placement:
    """A mesh of these devices, which belong to so many processes, in order of their ranks."""
    made = Mesh(np.array(devices), (AXIS,), axis_types=(AxisType.Auto,))

    @cache
    def along(axis: int) -> NamedSharding:
        return NamedSharding(made, PartitionSpec(*[None] * axis, AXIS))

    whole, send = NamedSharding(made, PartitionSpec()), jax.device_put if processes == 1 else _each
    return Placement(tuple(devices), whole, along, send, rank, processes)


def found(device: str) -> list[Any]:
    """All devices of a platform, of all processes.

    Raises:
        UserError: there are none.
    """
    try:
        return jax.devices(device)
    except RuntimeError as error:
        raise UserError(f"device {device!r} was asked for, but jax sees none: use --device cpu") from error


def _each(arrays: Any, shardings: Any) -> Any:
    """Every process puts what it has on its own devices; `device_put` would compare them all first."""

    def put(sharding: Sharding, array: Any) -> jax.Array:
        if isinstance(array, jax.Array):
            return jax.device_put(array, sharding)
        return jax.make_array_from_process_local_data(sharding, np.asarray(array))

    with jax.transfer_guard_host_to_device("allow"):  # it is asked for, which JAX takes from `device_put` alone
        return jax.tree.map(lambda sharding, tree: jax.tree.map(partial(put, sharding), tree), shardings, arrays)
