"""An empty MLflow database, migrated once for all tests that mirror."""

import pytest

from sparsebench_board import tracking


@pytest.fixture(scope="session")
def migrated(tmp_path_factory):
    """The database; making one takes seconds, so tests take copies."""
    path = tmp_path_factory.mktemp("mlflow") / "mlflow.db"
    tracking.connect(f"sqlite:///{path}").search_experiments()
    return path
