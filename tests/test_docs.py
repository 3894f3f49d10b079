"""The documentation: its site builds without a warning or a network, its code is that of files, its commands parse."""

import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

import quoted
from sparsebench import suite
from sparsebench.cli import app
from sparsebench.method import Law

ROOT = Path(__file__).parents[1]
PAGES = [*(ROOT / "docs").rglob("*.md"), ROOT / "README.md"]
REMOTE = re.compile(r"""(?:<script[^>]+src|<link[^>]+href|<img[^>]+src)=["']?(?:https?:)?//""")


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """The site, built as `make docs` does, with warnings as errors."""
    pytest.importorskip("mkdocs", reason="the site is built by the packages of the extra docs")
    folder = tmp_path_factory.mktemp("site")
    build = ("-m", "mkdocs", "build", "--quiet", "--strict", "--config-file", ROOT / "mkdocs.yml", "--site-dir", folder)
    done = subprocess.run([sys.executable, *build], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stdout + done.stderr
    return folder


def test_the_site_loads_nothing_from_elsewhere(site):
    pages = list(site.rglob("*.html"))
    assert len(pages) > 30
    assert [page.name for page in pages if REMOTE.search(page.read_text(encoding="utf-8"))] == []


def test_public_names_are_documented(site):
    text = "".join(page.read_text(encoding="utf-8") for page in (site / "api").glob("*.html"))
    for name in ("method.Method", "trainer.SparseTrainer.update", "models.Model", "data.host.HostData.parts"):
        assert f'id="sparsebench.{name}"' in text
    for law in Law:
        assert f'id="sparsebench.method.Law.{law.name}"' in text


def test_every_page_is_in_the_menu(site):
    menu = (site / "index.html").read_text(encoding="utf-8")
    for page in (ROOT / "docs").rglob("*.md"):
        link = page.relative_to(ROOT / "docs").with_suffix(".html").as_posix().replace("README", "index")
        assert f'href="{link}"' in menu or link == "index.html"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_quoted_code_is_that_of_its_file(page):
    for wanted, found in quoted.blocks(page.read_text(encoding="utf-8")):
        assert found == wanted, f"python tests/quoted.py {page} writes it anew"


def test_the_tutorial_quotes_the_example():
    assert len(quoted.blocks((ROOT / "docs" / "plugins.md").read_text(encoding="utf-8"))) > 8


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_commands_parse(page):
    for command in commands(page.read_text(encoding="utf-8")):
        called, _, _ = app.parse_args(command, exit_on_error=False, print_error=False)
        assert called.__module__.startswith("sparsebench.cli."), command


def commands(page):
    """The words of every `sparsebench …` in a console block; a plugin that is yet to be written is SET."""
    for block in re.findall(r"```console\n(.*?)```", page, re.S):
        for line in re.findall(r"^\$ (?:uv run .*? |\S*/)?sparsebench (.*)$", block, re.M):
            words = line.partition("  #")[0].replace("'", "").replace("my-method", "set").split()
            if not {"…", "\\"} & set(words):
                yield words


def test_the_quick_starts_suite_is_one(tmp_path):
    page = (ROOT / "docs" / "quickstart.md").read_text(encoding="utf-8")
    (text,) = re.findall(r"```toml\n(.*?)```", page, re.S)
    (tmp_path / "mine.toml").write_text(text)
    assert suite.load(str(tmp_path / "mine.toml")).title == tomllib.loads(text)["title"]
