"""`sparsebench flops` and `sparsebench density`: what they print, at once, without a framework; what they refuse."""

import json
import math
import subprocess
import sys

import pytest

import reference
from sparsebench.cli import main
from sparsebench.formulas import FORMULAS, IN_ROUNDS

pytest_plugins = ("declared",)
pytestmark = pytest.mark.usefixtures("declared_models")

LENET = ["flops", "lenet-300-100"]
TABLE_2 = ["--method", "rigl", "--sparsity", "0.99", "--distribution", "uniform", "--own", "fc2=0.891, fc3=0"]


@pytest.fixture
def command(capfd):
    """Runs a command line: (exit code, output, lines of errors)."""

    def run(*arguments):
        code = main([str(argument) for argument in arguments])
        out, err = capfd.readouterr()
        assert "Traceback" not in out + err
        return code, out, err.splitlines()

    return run


@pytest.fixture
def document(command):
    """What a command prints as JSON."""

    def run(*arguments):
        code, out, err = command(*arguments, "--format", "json")
        assert (code, err) == (0, [])
        return json.loads(out)

    return run


# ---- flops ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("method", FORMULAS)
@pytest.mark.parametrize("distribution", ["uniform", "er", "erk"])
def test_every_method_and_model_has_its_costs(document, declared_models, method, distribution):
    for model in declared_models:
        found = document("flops", model, "--method", method, "--sparsity", "0.9", "--distribution", distribution)
        assert (found["model"], found["method"], found["distribution"]) == (model, method, distribution)
        assert 0 < found["inference_ratio"] <= 1
        assert found["training_ratio"] > 0
        assert (found["training_ratio"] <= 1) == (method not in IN_ROUNDS)
        assert found["inference_flops"] == pytest.approx(found["inference_ratio"] * found["dense_inference_flops"])
        rows = found["layers"]
        assert {"name", "shape", "density", "active", "macs"} <= set(rows[0])
        assert sum(row["inference_flops"] for row in rows) == pytest.approx(found["inference_flops"])
        assert sum(2 * row["macs"] * row["density"] for row in rows) == pytest.approx(found["inference_flops"])
        training = sum(row[kind] for row in rows for kind in ("forward", "activation_gradient", "weight_gradient"))
        assert training == pytest.approx(found["training_flops_per_sample"])


@pytest.mark.parametrize("model", ["lenet-300-100", "resnet50"])
def test_a_lottery_ticket_costs_the_sum_of_its_rounds(document, model):
    found = document("flops", model, "--method", "lottery", "--sparsity", "0.9", "--remove", "0.5")
    rounds = [document("flops", model, "--method", "static", "--sparsity", str(s)) for s in (0.5, 0.75, 0.875, 0.9)]
    assert found["training_ratio"] == pytest.approx(1 + sum(each["training_ratio"] for each in rounds))
    assert found["inference_ratio"] == pytest.approx(rounds[-1]["inference_ratio"])


def test_published_ratios_come_out(document):
    """Evci et al., 2020, figure 2 left: RigL 5x (ERK) at 0.9 is printed as 1.23x and 0.24x."""
    arguments = ["flops", "resnet50", "--method", "rigl", "--sparsity", "0.9", "--multiplier", "5"]
    found = document(*arguments, "--convention", "rigl-paper")
    assert (round(found["training_ratio"], 5), round(found["inference_ratio"], 5)) == (1.22823, 0.24315)
    assert found["dense_inference_flops"] == 8_202_340_776
    assert (found["convention"], found["input_gradient"]) == ("rigl-paper", True)
    plain = document(*arguments)
    assert (round(plain["training_ratio"], 5), plain["convention"]) == (1.22171, "plain")


def test_dense_needs_no_sparsity_and_takes_none(document):
    found = document("flops", "mobilenetv1")
    assert (found["method"], found["training_ratio"], found["inference_ratio"]) == ("dense", 1, 1)
    assert found["dense_inference_flops"] == 1_137_480_704
    assert document("flops", "mobilenetv1", "--sparsity", "0.9")["layers"] == found["layers"]


def test_totals_of_a_run(document):
    found = document(*LENET, *TABLE_2, "--batch", "100", "--steps", "120000")
    assert found["own"] == {"fc2": 0.891, "fc3": 0}
    assert round(found["total"]["training_flops"] / 1e9, 1) == 482.0
    assert round(found["total"]["dense_training_flops"] / 1e9, 1) == 13521.6
    longer = document(*LENET, *TABLE_2, "--batch", "100", "--steps", "120000", "--multiplier", "2")
    assert longer["total"]["training_flops"] == pytest.approx(2 * found["total"]["training_flops"])
    assert longer["total"]["dense_training_flops"] == found["total"]["dense_training_flops"]


def test_the_inputs_gradient_is_an_option_and_is_recorded(document):
    by_default, counted = document(*LENET), document(*LENET, "--input-gradient")
    assert (by_default["input_gradient"], counted["input_gradient"]) == (False, True)
    assert counted["dense_training_flops_per_sample"] == 3 * 532_400
    assert by_default["dense_training_flops_per_sample"] == 3 * 532_400 - 2 * 784 * 300
    assert document("flops", "wrn-22-2", "--no-input-gradient")["layers"][0]["activation_gradient"] == 0


def test_the_policy_is_an_option_and_is_recorded(document):
    static = ["--method", "static", "--sparsity", "0.9", "--distribution", "uniform"]
    declared, sparse = (
        document("flops", "resnet50", *static),
        document("flops", "resnet50", *static, "--stem", "sparse"),
    )
    assert (declared["policy"]["stem"], declared["own"]) == ("dense", {"conv1": 0})
    assert (sparse["policy"]["stem"], sparse["own"]) == ("sparse", {})
    assert sparse["inference_ratio"] == pytest.approx(0.1)
    within = document("flops", "resnet50", *static, "--classifier", "within")
    assert within["layers"][-1]["density"] == 1
    kept = [sum(row["active"] for row in found["layers"]) for found in (declared, within)]
    assert kept[0] == pytest.approx(kept[1], abs=54)


def test_wider_networks_are_compared_with_the_model_they_widen(document):
    found = document("flops", "mobilenetv1-big", "--method", "static", "--sparsity", "0.75")
    dense = document("flops", "mobilenetv1")["dense_inference_flops"]
    assert found["reference"]["model"] == "mobilenetv1"
    assert found["reference"]["inference_ratio"] == pytest.approx(found["inference_flops"] / dense)
    assert found["reference"]["training_ratio"] == pytest.approx(found["reference"]["inference_ratio"])
    assert document("flops", "mobilenetv1")["reference"] is None


def test_small_dense_finds_its_width_or_is_given_it(document):
    small = ["flops", "resnet50", "--method", "small-dense", "--sparsity", "0.8"]
    widths = [document(*small, *more)["width"] for more in ([], ["--match", "bits"], ["--width", "0.442"])]
    assert widths == [0.425, 0.461, 0.442]


def test_pruning_has_a_schedule_of_its_own(document):
    pruning = ["flops", "wrn-22-2", "--method", "pruning", "--sparsity", "0.9"]
    own = document(*pruning, "--begin", "0", "--end", "1", "--every", "1", "--steps", "9")
    assert [(step["share"], step["dense_gradient"]) for step in own["steps"]] == [(0.1, False), (0.9, False)]
    assert own["total"] is None
    assert own["training_ratio"] == pytest.approx(0.1 + 0.9 * own["inference_ratio"])
    assert len(document(*pruning)["steps"]) == 16


def test_updates_are_as_frequent_as_asked(document):
    found = document("flops", "wrn-22-2", "--method", "rigl", "--sparsity", "0.9", "--delta-t", "9")
    assert [step["share"] for step in found["steps"]] == [0.9, 0.1]


def test_tables_have_every_layer_and_no_figure_is_cut(command):
    for model, rows in (("resnet50", 54), ("lenet-300-100", 3)):
        code, out, err = command("flops", model, "--method", "rigl", "--sparsity", "0.9", "--batch", 8, "--steps", 100)
        assert (code, err) == (0, [])
        assert "…" not in out
        assert sum(" × " in line for line in out.splitlines()) == rows
        assert "update, dense gradient" in out
        assert "in all" in out


# ---- density --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("model", "name", "sparsity"),
    [("resnet50", "resnet50", "0.8"), ("resnet50", "resnet50", "0.9"), ("wrn-22-2", "wrn22_2_cifar10", "0.9")],
)
def test_densities_are_the_published_ones(document, model, name, sparsity):
    published = reference.read("erk.json")[name]["erk"][sparsity]
    found = document("density", model, "--sparsity", sparsity, "--distribution", "erk")
    assert found["epsilon"] == pytest.approx(published["eps"], abs=1e-7)
    assert found["saturated"] == published["saturated_dense_layers"]
    assert {row["name"]: row["active"] for row in found["layers"]} == published["n_active"]
    assert {row["name"]: row["density"] for row in found["layers"]} == pytest.approx(published["density"], abs=1e-7)
    totals = (published["total_active"], published["total_params"])
    assert (found["totals"]["active"], found["totals"]["size"]) == totals
    assert found["totals"]["density"] + found["totals"]["sparsity"] == pytest.approx(1)


def test_uniform_has_no_epsilon(document):
    found = document("density", "mobilenetv1", "--sparsity", "0.75", "--distribution", "uniform")
    assert (found["epsilon"], found["saturated"], len(found["own"])) == (None, [], 14)
    assert sorted({row["density"] for row in found["layers"]}) == [0.25, 1]


def test_density_table(command):
    code, out, err = command("density", "wrn-22-2", "--sparsity", "0.9", "--stem", "dense")
    assert (code, err) == (0, [])
    noted = {line.split()[0]: line.split()[-1] for line in out.splitlines() if " × " in line}
    assert noted["conv1"] == "budget"  # outside the
    assert noted["fc"] == "saturated"
    assert len(noted) == 23
    assert "ε = " in out


# ---- at once, without a framework -----------------------------------------------------------------------------


@pytest.mark.parametrize("arguments", [[*LENET, *TABLE_2], ["density", "lenet-300-100", "--sparsity", "0.9"]])
def test_no_framework_is_imported(arguments):
    code = (
        "import sys; from sparsebench.cli import main; code = main(sys.argv[1:]);"
        "from sparsebench_models import mobilenet, resnet, wide_resnet;"
        "sys.exit(', '.join({'torch', 'jax', 'flax', 'timm', 'mlflow', 'scipy'} & set(sys.modules)) or code)"
    )
    done = subprocess.run([sys.executable, "-c", code, *arguments], capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stderr) == (0, "")
    assert "fc3" in done.stdout


# ---- refused --------------------------------------------------------------------------------------------------

RIGL = ["flops", "resnet50", "--method", "rigl", "--sparsity", "0.9"]
PRUNING = ["flops", "resnet50", "--method", "pruning", "--sparsity", "0.9"]
REFUSED = {
    "model": (["flops", "resnet-50"], "unknown model 'resnet-50': did you mean 'resnet50'?"),
    "method": (["flops", "resnet50", "--method", "rgl"], "'rgl': did you mean 'rigl'?"),
    "convention": ([*RIGL, "--convention", "plane"], 'Did you mean "plain"?'),
    "distribution": ([*RIGL, "--distribution", "erq"], '"uniform", "er", "erk"'),
    "no sparsity": (["flops", "resnet50", "--method", "set"], "--sparsity: missing, method 'set' needs one"),
    "sparsity 1": (["flops", "resnet50", "--method", "set", "--sparsity", "1"], "at least 0 and below 1"),
    "sparsity below 0": (["density", "resnet50", "--sparsity=-0.1"], "at least 0 and below 1"),
    "sparsity nan": (["density", "resnet50", "--sparsity", "nan"], "at least 0 and below 1"),
    "no number": (["density", "resnet50", "--sparsity", "much"], "--sparsity"),
    "density of nothing": (["density", "resnet50"], "--sparsity"),
    "multiplier": ([*RIGL, "--multiplier", "0"], "--multiplier 0: should be above 0"),
    "endless": ([*RIGL, "--multiplier", "inf"], "--multiplier inf: should be above 0, and at most 1,000,000"),
    "width": ([*RIGL, "--width", "nan"], "--width nan: should be above 0"),
    "match": ([*RIGL, "--match", "bits"], "--match finds the width of method 'small-dense'"),
    "no such role": ([*RIGL, "--depthwise", "dense"], "--depthwise: model 'resnet50' has no such layer"),
    "no such choice": ([*RIGL, "--stem", "soft"], "--stem"),
    "no such layer": ([*RIGL, "--own", "fc1=0.5"], "unknown layer 'fc1'"),
    "own without a number": ([*RIGL, "--own", "fc"], "--own fc: give a layer and its sparsity"),
    "own too sparse": ([*RIGL, "--own", "fc=1"], "at least 0 and below 1, given 1"),
    "steps alone": ([*RIGL, "--steps", "10"], "--batch and --steps go together"),
    "batch alone": ([*PRUNING, "--batch", "10"], "--batch and --steps go together"),
    "no batch": ([*RIGL, "--steps", "10", "--batch", "0"], "--batch 0: should be at least 1"),
    "not its option": ([*RIGL, "--every", "10"], "--every has no meaning for method 'rigl': it is for pruning"),
    "not its option either": ([*PRUNING, "--delta-t", "10"], "--delta-t has no meaning for method 'pruning'"),
    "ends after training": ([*PRUNING, "--steps", "20000"], "--end 25000, after training (--steps 20000)"),
    "ends before it begins": ([*PRUNING, "--begin", "25000"], "begin must be below end"),
    "too rare": ([*PRUNING, "--every", "40000"], "--every 40000 is longer than training"),
    "nothing left": (
        ["density", "resnet50", "--sparsity", "0.999", "--classifier", "within"],
        "leaves nothing for the",
    ),
}


@pytest.mark.parametrize(("arguments", "told"), REFUSED.values(), ids=REFUSED)
def test_refused_in_one_line(command, arguments, told):
    code, out, err = command(*arguments)
    assert (code, out, len(err)) == (2, "", 1), err
    assert err[0].startswith("error: ")
    assert told in err[0]


def test_a_model_that_names_no_input_is_refused(command, monkeypatch):
    from dataclasses import replace

    from sparsebench import plugins
    from sparsebench_models.lenet import lenet_300_100

    load, homeless = plugins.load, replace(lenet_300_100, input=None)
    monkeypatch.setattr(plugins, "load", lambda group, name: homeless if group == "models" else load(group, name))
    code, _, err = command(*LENET)
    assert code == 2
    assert "its specification needs `input`" in err[0]


def test_json_has_no_value_that_is_not_json(command, monkeypatch):
    from sparsebench import conventions, pricing

    monkeypatch.setattr(pricing, "CONVENTIONS", {"plain": lambda layer, density: math.nan})
    code, out, _ = command(*LENET, "--format", "json")
    assert (code, json.loads(out)["unknown"]) == (0, ["fc1", "fc2", "fc3"])
    assert json.loads(out)["dense_inference_flops"] is None
    code, out, _ = command(*LENET)
    assert code == 0
    assert "unknown        there is no rule for fc1, fc2, fc3" in out
    assert conventions.UNKNOWN is not None
