"""Files that cannot grow, as on a disk that is full."""

import resource
from contextlib import contextmanager


@contextmanager
def room_for(size):
    """In here no file of this process may grow beyond that many bytes."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
