"""Fixtures: a headless Chromium of the system, driven by playwright, and axe-core to check accessibility with.

Nothing is downloaded: where the browser or a package is missing, tests skip with the reason.
"""

import importlib.resources
import shutil
from dataclasses import dataclass, field

import pytest

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
LOCAL = ("file:", "data:", "blob:", "about:", "http://127.0.0.1:", "http://localhost:")
RULES = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa"]


@dataclass
class Watched:
    """A page, what its console said in red, and the addresses outside of this machine that it asked for."""

    page: object
    errors: list = field(default_factory=list)
    outside: list = field(default_factory=list)

    def until(self, expression, seconds=10):
        """Wait until an expression is true; playwright's own way of waiting needs what a strict page forbids."""
        for _ in range(round(seconds / 0.05)):
            if self.page.evaluate(expression):
                return
            self.page.wait_for_timeout(50)
        pytest.fail(f"not within {seconds} seconds: {expression}")

    def violations(self):
        """What axe finds against WCAG 2 A and AA: `rule: element` for each; the script is run past the page's CSP."""
        axe = pytest.importorskip("axe_playwright_python", reason="axe-playwright-python is not installed")
        script = importlib.resources.files(axe).joinpath("axe.min.js").read_text(encoding="utf-8")
        self.page.evaluate(script)
        found = self.page.evaluate("rules => axe.run({runOnly: {type: 'tag', values: rules}})", RULES)
        return [f"{each['id']}: {node['html']}" for each in found["violations"] for node in each["nodes"]]


@pytest.fixture(scope="module")
def chromium():
    """A browser; of a module, since playwright's loop must not run where others want one of their own."""
    playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    path = next(filter(None, map(shutil.which, NAMES)), None)
    if path is None:
        pytest.skip(f"no browser: none of {', '.join(NAMES)} is on the path")
    with playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=path, args=["--no-sandbox", "--disable-dev-shm-usage"])
        yield browser
        browser.close()


@pytest.fixture
def open_page(chromium):
    """Opens an address, or nothing yet, in a window of its own: `open_page(address, width=…, dark=…)`, watched."""
    contexts = []

    def opened(address=None, width=1280, height=900, dark=False):
        context = chromium.new_context(
            viewport={"width": width, "height": height}, color_scheme="dark" if dark else "light"
        )
        contexts.append(context)
        watched = Watched(context.new_page())
        watched.page.on("console", lambda told: told.type == "error" and watched.errors.append(told.text))
        watched.page.on("pageerror", lambda error: watched.errors.append(str(error)))
        watched.page.on("request", lambda asked: asked.url.startswith(LOCAL) or watched.outside.append(asked.url))
        if address is not None:
            watched.page.goto(address)
        return watched

    yield opened
    for context in contexts:
        context.close()
