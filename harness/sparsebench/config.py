"""The settings of one run: checked all at once, resolved, frozen. What is here decides the result; nothing else may."""

from __future__ import annotations

from typing import Annotated, Any, Literal, cast

from pydantic import Field, ModelWrapValidatorHandler, ValidationInfo, field_validator, model_validator

from sparsebench.policy import Choice
from sparsebench.settings import Settings, checked

Positive = Annotated[int, Field(gt=0, lt=2**63)]
Share = Annotated[float, Field(ge=0, le=1)]
Length = Annotated[float, Field(gt=0)]


class Recipe(Settings):
    """How a network is trained, mask or no mask. Exactly one of `steps` and `epochs` gives the length."""

    optimizer: Annotated[Literal["sgd", "adam", "adamw"], Field(description="update rule")] = "sgd"
    learning_rate: Annotated[float, Field(gt=0, description="peak learning rate")] = 0.1
    schedule: Annotated[
        Literal["cosine", "constant", "step"], Field(description="learning rate over the run, per step")
    ] = "cosine"
    milestones: Annotated[
        tuple[Length, ...],
        Field(description="when schedule step multiplies the rate, in steps or epochs as the length"),
    ] = ()
    decay: Annotated[float, Field(gt=0, lt=1, description="what it multiplies by at each milestone")] = 0.1
    warmup: Annotated[
        float, Field(ge=0, description="linear rise of the rate from 0, in steps or epochs as the length")
    ] = 0.0
    momentum: Annotated[float, Field(ge=0, lt=1, description="momentum of sgd")] = 0.9
    nesterov: Annotated[bool, Field(description="Nesterov momentum, without dampening")] = False
    weight_decay: Annotated[float, Field(ge=0, description="L2 on kernels only; decoupled for adamw")] = 0.0
    label_smoothing: Annotated[float, Field(ge=0, lt=1, description="mass spread over all classes")] = 0.0
    batch_size: Annotated[Positive, Field(description="samples per step")] = 128
    accumulation: Annotated[Positive, Field(description="parts of a batch, one after another, that make one step")] = 1
    precision: Annotated[
        Literal["float32", "bfloat16"],
        Field(description="of convolutions and linear layers; weights, statistics and loss are float32"),
    ] = "float32"
    memory_format: Annotated[
        Literal["channels-first", "channels-last"], Field(description="of activations in torch; jax has channels last")
    ] = "channels-first"
    standardise: Annotated[
        Literal["channel", "image"], Field(description="pixels by each channel's moments, or by each image's own")
    ] = "channel"
    augmentation: Annotated[
        Literal["none", "crop-flip", "resized-crop-flip"],
        Field(description="crop after mirror padding by 4, or (image folders) of random size; and flip"),
    ] = "none"
    image_size: Annotated[
        Annotated[int, Field(gt=0, le=4096)] | None,
        Field(description="pixels a side, for image folders; else as the data set is"),
    ] = None
    evaluations: Annotated[Positive, Field(description="on the test set, evenly spread, the last at the end")] = 10
    steps: Annotated[Positive | None, Field(description="length in steps")] = None
    epochs: Annotated[float | None, Field(gt=0, description="length in passes over the training set")] = None

    @model_validator(mode="wrap")
    @classmethod
    def _one_length(cls, given: Any, parts: ModelWrapValidatorHandler[Recipe]) -> Recipe:
        settings = cast("dict[str, Any]", given) if isinstance(given, dict) else {"steps": 1}
        objections: list[str] = []
        if (settings.get("steps") is None) == (settings.get("epochs") is None):
            objections.append("exactly one of steps and epochs must be given")
        if settings.get("schedule") == "step" and not settings.get("milestones"):
            objections.append("schedule step needs milestones: when the learning rate falls")
        return checked(given, parts, objections)

    @field_validator("milestones")
    @classmethod
    def _for_steps(cls, milestones: tuple[float, ...], others: ValidationInfo) -> tuple[float, ...]:
        if milestones and others.data.get("schedule", "step") != "step":
            raise ValueError(f"only schedule step has them, not {others.data['schedule']}: leave them out")
        if list(milestones) != sorted(set(milestones)):
            raise ValueError(f"given {list(milestones)}: each must be later than the one before")
        return milestones

    @field_validator("accumulation")
    @classmethod
    def _in_equal_parts(cls, accumulation: int, others: ValidationInfo) -> int:
        if others.data.get("batch_size", 0) % accumulation:
            raise ValueError(
                f"{accumulation} parts of a batch of {others.data['batch_size']} are not of equal size: choose a "
                "number that divides the batch"
            )
        return accumulation

    @field_validator("nesterov")
    @classmethod
    def _with_momentum(cls, nesterov: bool, others: ValidationInfo) -> bool:
        if nesterov and others.data.get("optimizer") not in (None, "sgd"):
            raise ValueError(f"nesterov is for optimizer sgd, not {others.data['optimizer']}: leave it out")
        if nesterov and others.data.get("momentum") == 0:
            raise ValueError("nesterov needs momentum above 0")
        return nesterov


def digits(value: float) -> str:
    """`0.9`, `5`: short, and with all digits where six would make it another number."""
    return f"{value:g}" if float(f"{value:g}") == value else repr(value)


class Updates(Settings):
    """When and how much masks change; what is not given is the method's own published default."""

    delta_t: Annotated[Positive | None, Field(description="ΔT, steps between mask updates")] = None
    alpha: Annotated[Share | None, Field(description="drop fraction of the first update")] = None
    begin: Annotated[Share | None, Field(description="first update, as a share of the run")] = None
    end: Annotated[Share | None, Field(description="end of updates, as a share of the run")] = None
    anneal: Annotated[
        Literal["cosine", "constant", "linear", "inverse-power"] | None, Field(description="drop fraction over the run")
    ] = None
    grown_value: Annotated[Literal["zero", "random"] | None, Field(description="what grown connections start at")] = (
        None
    )


class Ticket(Settings):
    """The run whose final mask this one starts from, pruned to its own sparsity by the weights that run ended with."""

    source: Annotated[str, Field(min_length=1, description="id of the run: the name of its record's folder")]
    weights: Annotated[
        Literal["rewound", "redrawn"],
        Field(description="the weights that the source's search started from, or a new draw"),
    ] = "rewound"
    mask: Annotated[
        Literal["kept", "shuffled"], Field(description="the mask itself, or one with as many entries in each layer")
    ] = "kept"


class Roles(Settings):
    """What happens to special layers: in the budget, dense outside it, or dense within it; else as the model says."""

    stem: Annotated[Choice | None, Field(description="the first layer")] = None
    depthwise: Annotated[Choice | None, Field(description="depthwise convolutions")] = None
    classifier: Annotated[Choice | None, Field(description="the last layer")] = None


class RunConfig(Settings):
    """One run: a cell of the benchmark and a seed."""

    model: Annotated[str, Field(description="model name; see `sparsebench list models`")]
    dataset: Annotated[str, Field(description="data set name; see `sparsebench list datasets`")]
    method: Annotated[str, Field(description="method name; see `sparsebench list methods`")]
    backend: Annotated[str, Field(description="backend name; see `sparsebench list backends`")]
    sparsity: Annotated[
        float, Field(ge=0, lt=1, description="share of prunable weights that are inactive, in [0, 1)")
    ] = 0.0
    distribution: Annotated[
        Literal["uniform", "er", "erk"], Field(description="how sparsity is shared out over layers")
    ] = "erk"
    multiplier: Annotated[float, Field(ge=1e-6, description="training length × this; ΔT stays")] = 1.0
    seed: Annotated[int, Field(ge=0, lt=2**63, description="initial weights, data order, masks")] = 0
    recipe: Recipe
    updates: Updates = Updates()
    policy: Annotated[Roles, Field(description="what happens to special layers")] = Roles()
    ticket: Annotated[Ticket | None, Field(description="start from another run's mask")] = None
    weights: Annotated[
        str | None, Field(pattern="^[0-9a-f]{64}$", description="SHA-256 of the file of weights to start from")
    ] = None
    continued: Annotated[
        str | None, Field(pattern="^[0-9a-f]{64}$", description="SHA-256 of another backend's checkpoint to go on from")
    ] = None
    rewind: Annotated[
        int, Field(ge=0, lt=2**63, description="keep the weights of this step, for tickets to rewind to")
    ] = 0
