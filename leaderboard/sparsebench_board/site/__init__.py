"""The board as a static site: pages that load nothing from anywhere, and open from a file as from a server.

Every page carries its style and its script, and a policy that lets the browser run or load nothing else: strings of
records are text, whatever is in them. The same records make the same pages.
"""

from sparsebench_board.site.writing import write

__all__ = ["write"]
