"""The laws of plugins as checks that anybody's method, backend or model can be held against.

Everything goes through the public seams (`Method`, `SparseTrainer`, `Model`), is driven by Hypothesis and held
against slow NumPy: an oracle of masks, and a network trained in float64.
"""
