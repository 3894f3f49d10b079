"""The hardware benchmark: what a step costs with masks and without, and what sparsity saves where it is real."""
