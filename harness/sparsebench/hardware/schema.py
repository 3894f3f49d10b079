"""What is in a document of the hardware benchmark. Times are seconds, sizes bytes, rates a second.

It is checked as strictly when it is read as when it is made: a file may come from anywhere, and nothing in it that is
of another type, not finite or not printable gets any further.
"""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

from sparsebench.hardware.intervals import Ratio

SCHEMA = 1
LONGEST = 1000
"""Characters of a text."""


def _printable(text: str) -> str:
    if not text.isprintable():
        raise ValueError("it holds what cannot be printed")
    return text


def _moment(text: str) -> str:
    if datetime.fromisoformat(text).tzinfo is None:
        raise ValueError("it names no time zone")
    return text


Text = Annotated[str, Field(max_length=LONGEST), AfterValidator(_printable)]
Moment = Annotated[Text, AfterValidator(_moment)]
Positive = Annotated[int, Field(gt=0, lt=2**63)]
Size = Annotated[int, Field(ge=0, lt=2**63)]
Seconds = Annotated[float, Field(gt=0)]
Rate = Annotated[float, Field(gt=0)]
Amount = Annotated[float, Field(ge=0)]
Share = Annotated[float, Field(ge=0, le=1)]
Device = Literal["cpu", "cuda"]


class Part(BaseModel):
    """Refuses what it does not know and what is of another type, and never changes."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)


class Compared(Part):
    """The median of paired ratios and its 95 % interval; without bounds where there were too few pairs."""

    median: Rate
    low: Rate | None
    high: Rate | None
    pairs: Positive

    @model_validator(mode="after")
    def _in_order(self) -> Compared:
        if (self.low is None) != (self.high is None):
            raise ValueError("it has one bound of two")
        if self.low is not None and self.high is not None and not self.low <= self.median <= self.high:
            raise ValueError("its median lies outside of its interval")
        return self

    @property
    def ratio(self) -> Ratio:
        """The same, to compute with."""
        return Ratio(self.median, self.low, self.high, self.pairs)


# ---- the machine ----------------------------------------------------------------------------------------------


class Ceiling(Part):
    """The highest rate that was measured, in bytes or operations a second, and what reached it."""

    rate: Rate
    by: Text


class Ceilings(Part):
    """What the device does at most: bytes that a copy reads and writes, and products of large square matrices.

    `products` are by precision; a multiplication and an addition are two operations. Empty: not measured.
    """

    memory: Ceiling | None = None
    products: dict[Text, Ceiling] = {}


class Machine(Part):
    """Where it was measured, and with what."""

    sparsebench: Text
    commit: Text | None
    python: Text
    platform: Text
    cpu: Text
    threads: Positive
    device: Device
    packages: dict[Text, Text]
    started: Moment
    cpu_mhz: Amount | None
    gpu: dict[Text, Text] | None
    ceilings: Ceilings = Ceilings()

    @property
    def name(self) -> str:
        """The device's: the GPU's if that was measured, else the processor's."""
        return (self.gpu or {}).get("name", "unknown GPU") if self.device == "cuda" else self.cpu


# ---- what was asked for ---------------------------------------------------------------------------------------


class Workload(Part):
    """A model, samples in a batch, and pixels a side."""

    model: Text
    batch: Positive
    size: Positive


class Asked(Part):
    """What was to be measured, in about `seconds`."""

    device: Device
    workloads: tuple[Workload, ...]
    backends: tuple[Text, ...]
    precisions: tuple[Text, ...]
    repeats: Positive
    seconds: Seconds


# ---- steps ----------------------------------------------------------------------------------------------------


class Both(Part):
    """One number for masked training, one for dense."""

    masked: Amount
    dense: Amount


class Observations(Part):
    """Seconds of a step, in the order of measurement: entry i of the one was taken next to entry i of the other."""

    masked: tuple[Seconds, ...]
    dense: tuple[Seconds, ...]


class Update(Part):
    """Updates of all masks by RigL, the dense gradient of the batch included; the first took `compile_seconds` more."""

    seconds: tuple[Seconds, ...]
    median: Seconds
    compile_seconds: Amount


class Memory(Part):
    """What training holds.

    `peak` is the most that the process, or the device, has held while a masked network trained; `of` says of what.
    `masked` and `dense` are the most bytes of arrays that are alive within a step, the network and its optimizer
    included, the data set not; `masks` are the masks' own, by type of their entries. None: it could not be told.
    """

    peak: Size | None
    of: Text
    masked: Size | None
    dense: Size | None
    masks: dict[Text, Size]


class Step(Workload):
    """One model in one backend and precision; `steps` steps are one observation.

    `flops` are those of a dense step, None: unknown; `parameters` are all of the network's, `prunable` those that masks
    are on.
    """

    backend: Text
    precision: Text
    sparsity: Share
    distribution: Text
    steps: Positive
    flops: Amount | None
    parameters: Positive
    prunable: Positive
    seconds: Observations
    step_seconds: Both
    images_per_second: Both
    compile_seconds: Both
    masked_to_dense: Compared
    update: Update | None
    memory: Memory
    cut: tuple[Text, ...]


# ---- products -------------------------------------------------------------------------------------------------


class Product(Part):
    """One kernel on linear layers of these (out, in) shapes; `speedup` is over `best_dense`, None: there is none."""

    name: Text
    shapes: tuple[tuple[Positive, Positive], ...]
    rows: Positive
    density: Share
    kernel: Text
    pattern: Text
    precision: Text
    seconds: tuple[Seconds, ...]
    median: Seconds
    in_a_row: Positive
    best_dense: Text | None
    speedup: Compared | None
    theory: Rate


# ---- the whole ------------------------------------------------------------------------------------------------


class Absent(Part):
    """Something that could not be measured, and why."""

    what: Text
    reason: Text


class Document(Part):
    """All of one run of the benchmark; `cut` is what there was no time for, in words."""

    schema_: Annotated[Literal[1], Field(alias="schema")] = SCHEMA
    kind: Literal["hardware"] = "hardware"
    machine: Machine
    settings: Asked
    steps: tuple[Step, ...] = ()
    products: tuple[Product, ...] = ()
    missing: tuple[Absent, ...] = ()
    cut: tuple[Text, ...] = ()
    failed: bool = False
