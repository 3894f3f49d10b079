"""Dense training: every connection active, the plain framework's own loop. The yardstick of every row."""

from dataclasses import replace

from sparsebench.methods.static import static

dense = replace(static, name="dense", summary="all connections active; the reference", source="", initial_sparsity=0.0)
