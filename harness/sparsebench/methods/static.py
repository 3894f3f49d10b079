"""Static sparse training: a random mask, drawn once and never changed. The floor every other method must beat."""

from sparsebench.method import Method

static = Method(
    name="static",
    summary="a random mask, never changed",
    source="Evci et al., Rigging the Lottery, ICML 2020, section 4",
)
