"""Pages read as a browser reads them, and names that want to be more than text in one."""

from dataclasses import dataclass, field
from html.parser import HTMLParser

EVIL = "<script>alert(1)</script>"
BREAKOUT = "x\"'><img src=x onerror=alert(2)>{{ 7 * 7 }}"


@dataclass
class Page(HTMLParser):
    """What is in a page: elements with their attributes, texts of scripts, and all that a reader sees."""

    text: str
    elements: list = field(default_factory=list)
    scripts: list = field(default_factory=list)
    seen: list = field(default_factory=list)

    def __post_init__(self):
        super().__init__(convert_charrefs=True)
        self.inside = []
        self.feed(self.text)
        self.close()

    def handle_starttag(self, tag, attributes):
        self.elements.append((tag, dict(attributes)))
        if tag in ("script", "style", "tr", "section"):
            self.inside.append((tag, dict(attributes)))

    def handle_endtag(self, tag):
        if self.inside and self.inside[-1][0] == tag:
            self.inside.pop()

    def handle_data(self, data):
        innermost = self.inside[-1][0] if self.inside else ""
        if innermost == "script":
            self.scripts.append(data)
        elif innermost != "style" and data.strip():
            self.seen.append((data.strip(), [attributes.get("class") for _, attributes in self.inside]))

    @property
    def words(self):
        """All text that is seen, in one line."""
        return " ".join(text for text, _ in self.seen)

    def attribute(self, name, tag=None):
        """The values of an attribute."""
        return [own[name] for of, own in self.elements if name in own and tag in (None, of)]
