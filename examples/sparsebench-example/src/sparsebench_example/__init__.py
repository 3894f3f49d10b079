"""Plugins for sparsebench: the method MEST, in two variants, and a backend in plain NumPy."""
