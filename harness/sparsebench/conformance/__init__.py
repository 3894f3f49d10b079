"""The laws of plugins as checks that anybody's method, backend or model can be held against.

Everything goes through the public seams (`Method`, `SparseTrainer`, `Model`), is driven by Hypothesis and held
against slow NumPy: an oracle of masks, and a network trained in float64. `sparsebench check NAME` prints the
certificate; `parametrize_with_checks` makes a test of each law.
"""

from sparsebench.conformance.certificate import Certificate as Certificate
from sparsebench.conformance.certificate import certify as certify
from sparsebench.conformance.certificate import replay as replay
from sparsebench.conformance.check import BrokenLawError as BrokenLawError
from sparsebench.conformance.testing import parametrize_with_checks as parametrize_with_checks
