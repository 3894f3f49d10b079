"""ITOP: RigL and SET that explore longer, so that more of all connections have been active at some time."""

from dataclasses import replace

from sparsebench.methods.rigl import rigl
from sparsebench.methods.set import set_

rigl_itop = replace(
    rigl,
    name="rigl-itop",
    summary="RigL with rarer and larger updates until the end of training",
    source="Liu et al., Do We Actually Need Dense Over-Parameterization? In-Time Over-Parameterization in Sparse "
    "Training, ICML 2021, arXiv:2102.02887",
    delta_t=4000,
    alpha=0.5,
    end=1.0,
)

set_itop = replace(
    set_,
    name="set-itop",
    summary="SET with rarer and larger updates until the end of training",
    source=rigl_itop.source,
    delta_t=1500,
    alpha=0.5,
    end=1.0,
)
