"""A fixture that counts what XLA compiles."""

import pytest


@pytest.fixture
def compiled():
    """Names of what XLA compiles from now on, as it happens."""
    monitoring = pytest.importorskip("jax", reason="counts JAX's compilations").monitoring
    seen = []

    def listen(event, duration, **facts):
        if event.endswith("backend_compile_duration"):
            seen.append(facts.get("fun_name"))

    monitoring.register_event_duration_secs_listener(listen)
    yield seen
    monitoring.unregister_event_duration_listener(listen)
