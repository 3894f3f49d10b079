"""The site's order: what a newcomer reads first, then every other page that there is."""

from pathlib import Path
from typing import Any

FIRST = ("index.md", "quickstart.md")
LAST = ("laws.md",)
SECTIONS = {"api": "Reference", "methods": "Methods", "results": "Results", "decisions": "Decisions"}


def on_config(config: Any) -> Any:
    """The navigation, as MkDocs wants it."""
    docs = Path(config.docs_dir)
    guides = sorted({page.name for page in docs.glob("*.md")} - {*FIRST, *LAST})
    config.nav = [*FIRST, {"Guide": [*guides, *LAST]}]
    for folder, title in SECTIONS.items():
        pages = sorted(page.relative_to(docs).as_posix() for page in (docs / folder).glob("*.md"))
        config.nav.append({title: sorted(pages, key=lambda page: not page.endswith("README.md"))})
    return config
