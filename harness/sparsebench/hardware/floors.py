"""What a step cannot be faster than on a machine, by the rates measured there."""

from __future__ import annotations

from sparsebench.hardware.schema import Ceilings, Step

PASSES = 8
"""Over all parameters in float32: weights read forward and backward, gradients written and read, and by the optimizer
momentum and weights read and written."""
BYTES = 4
FASTER = {"float32": ("float32", "tf32")}
"""In which a precision's products may be computed, where it is not its own alone."""


def floor(step: Step, ceilings: Ceilings) -> float | None:
    """Seconds of a dense step: its operations, or its passes over the parameters, whichever take longer.

    Activations would come on top: how often they are read depends on what is fused. None: nothing is known.
    """
    kinds = FASTER.get(step.precision, (step.precision,))
    rates = [ceilings.products[kind].rate for kind in kinds if kind in ceilings.products]
    known = [step.flops / max(rates)] if rates and step.flops is not None else []
    if ceilings.memory:
        known.append(PASSES * BYTES * step.parameters / ceilings.memory.rate)
    return max(known, default=None)
