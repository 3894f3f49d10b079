"""`python -m sparsebench.cli`, where the script is not on the path."""

import sys

from sparsebench.cli import main

if __name__ == "__main__":  # worker processes import this file too
    sys.exit(main())
