"""A SparseTrainer."""
