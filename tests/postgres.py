"""A PostgreSQL server of the system's, started for the tests that want one and ended after them.

It listens on this machine only, and lies in a folder of its own. PostgreSQL refuses to run as root: there it runs as
`postgres`, the user that comes with it.
"""

import os
import pwd
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from contextlib import closing
from itertools import count
from pathlib import Path

import pytest

from ports import closed_port

USER = "postgres"


def programs():
    """The folder of the newest PostgreSQL that is installed; skips with the reason where there is none."""
    pytest.importorskip("psycopg", reason="psycopg, which MLflow needs for PostgreSQL, is not installed")
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/postgres"), key=lambda path: int(path.parts[4]))
    if not found:
        pytest.skip("PostgreSQL is not installed in /usr/lib/postgresql")
    return found[-1].parent


def identity():
    """How to become somebody else than root, as arguments of `subprocess`."""
    if os.geteuid() != 0:
        return {}
    try:
        user = pwd.getpwnam(USER)
    except KeyError:
        pytest.skip(f"PostgreSQL does not run as root, and there is no user {USER}")
    return {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": []}


@pytest.fixture(scope="session")
def server():
    """The port that it answers at."""
    programs_, as_somebody = programs(), identity()
    folder = Path(tempfile.mkdtemp(prefix="sparsebench-postgres-"))
    if as_somebody:
        os.chown(folder, as_somebody["user"], as_somebody["group"])
    data, port, log = folder / "data", closed_port(), folder / "log"
    where = {"cwd": folder, "env": {"PATH": os.environ["PATH"], "LC_ALL": "C"}, **as_somebody}
    try:
        made = [programs_ / "initdb", "-D", data, "-U", USER, "-A", "trust", "-E", "UTF8", "--no-sync"]
        subprocess.run(made, check=True, capture_output=True, **where)
        options = ["-h", "127.0.0.1", "-p", str(port), "-k", folder, "-F"]
        with log.open("wb") as output:
            process = subprocess.Popen(
                [programs_ / "postgres", "-D", data, *options], stdout=output, stderr=output, **where
            )
        try:
            await_answer(process, port, log)
            yield port
        finally:
            process.send_signal(signal.SIGINT)  # ends it at once, whoever is connected
            process.wait(30)
    finally:
        shutil.rmtree(folder)


@pytest.fixture(scope="session")
def prepared(server):
    """The name of a database that MLflow has made its tables in; it takes ten seconds, and each test a copy."""
    code = "import sys; from sparsebench_board import tracking; tracking.connect(sys.argv[1]).search_experiments()"
    create(server, "prepared")
    subprocess.run([sys.executable, "-c", code, uri(server, "prepared")], check=True)  # ends with its connections
    return "prepared"


@pytest.fixture
def postgresql(server, prepared):
    """The URI of a database of the test's own, with MLflow's empty tables."""
    name = f"test{next(numbers)}"
    create(server, name, prepared)
    return uri(server, name)


numbers = count()


def uri(port, name):
    """That of a database; it names the driver, since which one is usual depends on SQLAlchemy's version."""
    return f"postgresql+psycopg://{USER}@127.0.0.1:{port}/{name}"


def create(port, name, template="template1"):
    """A new database, made like another one."""
    with closing(connect(port)) as connection:
        connection.autocommit = True
        connection.execute(f"CREATE DATABASE {name} TEMPLATE {template}")


def connect(port):
    """A connection for the one who manages databases."""
    import psycopg

    return psycopg.connect(host="127.0.0.1", port=port, user=USER, dbname="postgres")


def await_answer(process, port, log):
    """Wait until the server takes connections."""
    import psycopg

    for _ in range(300):
        try:
            return connect(port).close()
        except psycopg.OperationalError:
            assert process.poll() is None, log.read_text()
            time.sleep(0.1)
    raise AssertionError(f"PostgreSQL does not answer: {log.read_text()}")
