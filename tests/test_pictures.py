"""Every kind of picture: one element of SVG that says what it is, loads nothing, and stands in a page with others."""

import re
from xml.etree import ElementTree

import pytest

import records_fixture as fixture
from sparsebench.cli import main
from sparsebench.errors import UserError
from sparsebench_board.pictures import KINDS, layers
from sparsebench_board.pictures.svg import svg

pytest_plugins = ("picture_records",)

SVG = "{http://www.w3.org/2000/svg}"
CELL = [name for name, kind in KINDS.items() if not kind.whole]


def some(board, kind):
    """As many records as a kind has room for."""
    return board if KINDS[kind].whole else [record for record in board if record.config.method == "rigl"]


@pytest.fixture(scope="module")
def drawn(board):
    return {name: kind.svg(some(board, name)) for name, kind in KINDS.items()}


def test_every_kind_has_its_name():
    whole = ["training-flops", "inference-flops", "sparsity", "matrix", "layers", "movement", "frameworks", "overlap"]
    assert list(KINDS) == [*whole, "curves"]
    assert CELL == ["curves"]
    assert all(kind.name == name and kind.title and kind.description.endswith(".") for name, kind in KINDS.items())


@pytest.mark.parametrize("name", KINDS)
def test_a_picture_says_what_it_is(drawn, name):
    root = ElementTree.fromstring(drawn[name])
    assert root.tag == f"{SVG}svg"
    assert root.get("role") == "img"
    told = {part.get("id"): part.text for part in root if part.tag in (f"{SVG}title", f"{SVG}desc")}
    assert told[root.get("aria-labelledby")] == KINDS[name].title
    assert told[root.get("aria-describedby")] == KINDS[name].description
    assert {"viewBox", "width", "height"} <= set(root.keys())


@pytest.mark.parametrize("name", KINDS)
def test_a_picture_loads_nothing(drawn, name):
    text = drawn[name]
    addresses = set(re.findall(r'https?://[^"\s<]+', text))
    assert addresses == {"http://www.w3.org/2000/svg", "http://www.w3.org/1999/xlink"}, "names of XML, not loaded"
    links = re.findall(r'(?:href="|url\()([^")]*)', text)
    assert links
    assert all(link.startswith(f"#{name}-") for link in links)
    assert "<metadata" not in text
    assert "<!DOCTYPE" not in text


def test_no_two_pictures_share_an_id(drawn):
    ids = [id for text in drawn.values() for id in re.findall(r'\bid="([^"]*)"', text)]
    assert len(ids) == len(set(ids))
    for text in drawn.values():
        own = set(re.findall(r'\bid="([^"]*)"', text))
        assert set(re.findall(r'(?:href="#|url\(#)([^")]*)', text)) <= own, "every link has its end"


def test_pictures_of_one_kind_do_not_clash(board):
    of = {s: KINDS["matrix"].svg([r for r in board if r.config.sparsity == s]) for s in (0.9, 0.98)}
    first, second = (set(re.findall(r'\bid="([^"]*)"', text)) for text in of.values())
    assert not first & second


@pytest.mark.parametrize("name", KINDS)
def test_the_same_records_make_the_same_file_whatever_the_users_settings(board, drawn, name):
    import matplotlib as mpl

    with mpl.rc_context({"font.size": 20, "svg.fonttype": "path", "axes.facecolor": "black"}):
        assert KINDS[name].svg(some(board, name)) == drawn[name]


@pytest.mark.parametrize("name", KINDS)
def test_drawing_leaves_the_users_settings_alone(board, name):
    import matplotlib as mpl

    with mpl.rc_context({"font.size": 20}):
        KINDS[name].svg(some(board, name))
        assert mpl.rcParams["font.size"] == 20


@pytest.mark.parametrize("name", KINDS)
def test_no_records_are_a_users_mistake(name):
    with pytest.raises(UserError) as told:
        KINDS[name].svg([])
    assert "\n" not in str(told.value)


@pytest.mark.parametrize("name", ["training-flops", "sparsity", "matrix", "layers", "curves"])
def test_names_are_text(tmp_path, name):
    wild = "<script>1</script>$x_"
    record = fixture.write(tmp_path, fixture.config(method=wild, model="a&b", dataset="d$\\frac"))
    text = KINDS[name].svg([record])
    ElementTree.fromstring(text)
    assert "<script" not in text
    assert "&lt;script&gt;" in text
    assert "$x_" in text, "no formula"


def test_titles_are_text():
    from matplotlib.figure import Figure

    text = svg(Figure(), "a", "x < y", "<script>")
    assert "x &lt; y" in text
    assert "<script" not in text


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("sparsity", "every run is dense"),
        ("layers", "no run has a mask"),
        ("movement", "no mask of these runs moved"),
        ("frameworks", "no cell was run with one seed in two frameworks"),
        ("overlap", "no two runs of one seed in two frameworks tell how their masks moved"),
    ],
)
def test_what_there_is_nothing_of_is_told(tmp_path, name, told):
    record = fixture.write(tmp_path, fixture.config(method="dense", sparsity=0.0))
    with pytest.raises(UserError, match=told):
        KINDS[name].svg([record])


def test_flops_that_nobody_knows_are_told(tmp_path):
    unknown = dict.fromkeys(("training_flops", "training_ratio", "inference_flops", "inference_ratio"))
    record = fixture.write(tmp_path, fixture.config(), result=unknown)
    for name in ("training-flops", "inference-flops"):
        with pytest.raises(UserError, match="no record has FLOPs that are known"):
            KINDS[name].svg([record])


# ---- the command ----------------------------------------------------------------------------------------------


def plot(capsys, *arguments):
    code = main(["plot", *map(str, arguments)])
    out, err = capsys.readouterr()
    assert "Traceback" not in err
    return code, out, err


@pytest.mark.parametrize("name", KINDS)
def test_the_command_draws_each_kind_alone(board, drawn, tmp_path, capsys, name):
    chosen = [] if KINDS[name].whole else ["--only", "method=rigl"]
    code, out, _ = plot(capsys, name, "--records", board[0].path.parent, "--to", tmp_path / "a.svg", *chosen)
    assert code == 0
    assert out == f"{name} of {len(some(board, name))} runs: {tmp_path / 'a.svg'}\n"
    assert (tmp_path / "a.svg").read_text() == drawn[name]


def test_the_help_names_every_kind(capsys):
    assert main(["plot", "--help"]) == 0
    told = " ".join(capsys.readouterr().out.split())
    assert [name for name in KINDS if name not in told] == []


def test_layers_of_a_model_need_no_runs(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    code, out, _ = plot(capsys, "layers", "--model", "resnet50", "--sparsity", "0.9")
    assert (code, out) == (0, "layers of resnet50: layers.svg\n")
    text = (tmp_path / "layers.svg").read_text()
    assert text == layers.svg("resnet50", 0.9)
    for name in ("resnet50, sparsity 0.9", "layer4.2.conv3", "ERK, as planned"):
        assert name in text


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["matrx"], "unknown picture 'matrx': did you mean 'matrix'?"),
        (["matrix", "--model", "resnet50"], "--model and --sparsity are for layers, given matrix"),
        (["layers", "--model", "resnet50"], "layers of a model need both"),
        (["layers", "--sparsity", "0.9"], "layers of a model need both"),
        (["layers", "--model", "resnet5", "--sparsity", "0.9"], "unknown model 'resnet5'"),
        (["layers", "--model", "resnet50", "--sparsity", "1"], "--sparsity 1: should be at least 0 and below 1"),
        (["layers", "--model", "resnet50", "--sparsity", "0.9", "--only", "seed=0"], "leave one of the two out"),
        (["matrix", "--records", "nowhere"], "no records in nowhere"),
        (["matrix", "--records", "RECORDS", "--to", "/nowhere/a.svg"], "cannot write /nowhere/a.svg"),
        (["curves", "--records", "RECORDS"], "curves of 10 cells: one to 6 can be told apart; choose with --only"),
        (["curves", "--records", "RECORDS", "--only", "method=dense,sparsity=0.9"], "but in no run together"),
    ],
)
def test_mistakes_are_told_in_a_line(board, capsys, arguments, told):
    places = [str(board[0].path.parent) if word == "RECORDS" else word for word in arguments]
    code, out, err = plot(capsys, *places)
    assert (code, out) == (2, "")
    assert err.startswith("error: ")
    assert told in err
    assert err.count("\n") == 1
