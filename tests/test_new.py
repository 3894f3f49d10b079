"""`sparsebench new`: what it writes installs, is listed, runs and obeys the laws; what it cannot write is refused."""

import subprocess
import sys

import pytest

import installed
from sparsebench.errors import UserError
from sparsebench.scaffold import KINDS, Plugin, write

pytest_plugins = ("command_line",)

NAMES = {"method": "my-method", "backend": "my-backend", "model": "my-model"}
CHOICES = {
    "method": {"--method": "my-method", "--backend": "torch"},
    "backend": {"--method": "set", "--backend": "my-backend"},
    "model": {"--method": "set", "--backend": "jax", "--model": "my-model"},
}


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """(the folder in which all three are written, the one in which they are installed)."""
    folder, site = tmp_path_factory.mktemp("made"), tmp_path_factory.mktemp("site")
    for kind, name in NAMES.items():
        code, out, err = installed.sparsebench("new", kind, name, site=site, folder=folder)
        assert (code, err) == (0, [])
        assert out[-1] == f"next: pip install -e sparsebench-{name}, then sparsebench check {name}"
        written = {f"wrote {path.relative_to(folder)}" for path in folder.rglob(f"sparsebench-{name}/**/*.*")}
        assert set(out[:-1]) == {line for line in written if (folder / line.removeprefix("wrote ")).is_file()}
        installed.install(folder / f"sparsebench-{name}", site)
    return folder, site


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_made_is_listed(made, tmp_path, kind):
    code, out, err = installed.sparsebench("list", f"{kind}s", site=made[1], folder=tmp_path)
    assert (code, err) == (0, [])
    assert NAMES[kind] in {line.split()[0] for line in out}


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_made_trains(made, tmp_path, kind):
    options = [word for pair in CHOICES[kind].items() for word in pair]
    short = (
        "--dataset",
        "digits",
        "--sparsity",
        "0.5",
        "--recipe.steps",
        "100",
        "--updates.delta-t",
        "20",
        "--no-mlflow",
    )
    code, out, err = installed.sparsebench("train", *options, *short, site=made[1], folder=tmp_path)
    assert (code, err) == (0, [])
    assert float(out[1].split()[-2]) > 40, "per cent; chance is 10"


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["method", "model"])
def test_what_is_made_obeys_the_laws(made, tmp_path, kind):
    code, out, err = installed.sparsebench("check", NAMES[kind], "--cases", "3", site=made[1], folder=tmp_path)
    assert (code, err) == (0, [])
    assert out[-1].startswith(f"{NAMES[kind]} holds to every law")


@pytest.mark.slow
def test_the_test_file_that_is_made_passes(made):
    folder = made[0] / "sparsebench-my-backend"
    done = installed.python("-m", "pytest", "-q", "-p", "no:cacheprovider", site=made[1], folder=folder)
    assert done.returncode == 0, done.stdout
    assert " passed in " in done.stdout.splitlines()[-1]
    assert (
        len((folder / "tests" / "test_laws.py").read_text().split("import parametrize_with_checks\n")[1].split()) < 12
    )


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_made_has_no_faults_to_mend(made, kind):
    rules = ("--isolated", "--line-length", "120", "--select", "E,F,W,B,UP,N,ANN,D1,C4,SIM,RUF", "--ignore")
    told = "ANN401,D107,RUF001,RUF002,RUF003"
    checked = (made[0] / f"sparsebench-{NAMES[kind]}" / "src",)
    done = subprocess.run(
        [sys.executable, "-m", "ruff", "check", *rules, told, *checked], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout


def test_a_method_is_short_and_imports_no_framework(made):
    text = (made[0] / "sparsebench-my-method/src/sparsebench_my_method/__init__.py").read_text()
    code = [line for line in text.split('"""', 2)[2].splitlines() if line.strip()]
    assert len(code) <= 35
    assert not {"torch", "jax", "numpy"} & {line.split()[1] for line in code if line.startswith(("import", "from"))}


# ---- what is refused --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "name", "told"),
    [
        ("method", "My-Method", "small letters and digits"),
        ("method", "my_method", "small letters and digits"),
        ("method", "my--method", "small letters and digits"),
        ("method", "2set", "begin with a letter"),
        ("method", "../set", "small letters and digits"),
        ("method", "", "small letters and digits"),
        ("method", "rigl", "method 'rigl' is there already: choose another name"),
        ("backend", "jax", "backend 'jax' is there already: choose another name"),
        ("model", "torch", "a package 'sparsebench_torch', which is there already: choose another name"),
    ],
)
def test_names_that_cannot_be_are_refused(kind, name, told):
    with pytest.raises(UserError) as caught:
        Plugin(kind, name)
    assert told in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_folder_that_is_there_is_left_alone(command):
    code, _, err = command("new", "method", "mine")
    assert (code, err) == (0, [])
    code, _, (line,) = command("new", "method", "mine")
    assert code == 2
    assert line == "error: sparsebench-mine is there already: name another folder with --to, or move it away"
    code, out, err = command("new", "method", "mine", "--to", "elsewhere/deep")
    assert (code, err) == (0, [])
    assert out[0].startswith("wrote elsewhere/deep/")


def test_a_folder_that_cannot_be_made_is_told(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match=r"file/deep cannot be made \(Not a directory\): name another folder with --to"):
        write(Plugin("method", "mine"), tmp_path / "file" / "deep")
