"""Models of timm by name: tables equal to our own of the same network, unknown costs told, wrong names refused."""

import math

import pytest

from sparsebench import plugins
from sparsebench.conventions import plain
from sparsebench.errors import UserError

pytest.importorskip("timm")
pytest_plugins = ("command_line",)


def table(name):
    model = plugins.load("models", name)
    return model.layers(model.input)


@pytest.mark.parametrize(("ours", "theirs"), [("resnet50", "timm/resnet50"), ("mobilenetv1", "timm/mobilenetv1_100")])
def test_timms_network_has_our_table(ours, theirs):
    def facts(name):
        return {each.name: (each.shape, each.kind, each.macs, each.role, each.stride) for each in table(name)}

    assert facts(theirs) == facts(ours)


def test_attention_is_unknown_and_named():
    layers = table("timm/vit_tiny_patch16_224")
    others = [each.name for each in layers if each.kind == "other"]
    assert others == [f"blocks.{i}.attn" for i in range(12)]
    assert math.isnan(sum(plain(each, 1.0) for each in layers))
    assert [each.name for each in layers if each.role == "classifier"] == ["head"]


def test_flops_of_a_member(command):
    code, out, err = command("flops", "timm/resnet18", "--method", "rigl", "--sparsity", "0.9")
    assert (code, err) == (0, [])
    assert out[0] == "rigl 0.9 erk on timm/resnet18"
    assert "3.628 GFLOPs" in "\n".join(out)  # 2 x 1.814 GMAC


def test_density_of_a_network_with_attention(command):
    code, _out, err = command("density", "timm/vit_tiny_patch16_224", "--sparsity", "0.9")
    assert (code, err) == (0, [])


def test_a_parameter_may_be_a_modules_input():
    assert [each.name for each in table("timm/cait_xxs24_224") if each.kind == "other"]


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("timm/resnet5", "did you mean"),
        ("timm/resnet18.a9", "unknown weights 'resnet18.a9' of timm: it has resnet18.a1_in1k, "),
        ("timm/resnet10t.", "resnet10t alone is the same network"),
        ("timm/", "unknown timm model ''"),
        ("tim/resnet50", "unknown family of models"),
    ],
)
def test_wrong_names_are_refused(name, told):
    with pytest.raises(UserError, match=told):
        plugins.load("models", name)


def test_a_tag_is_of_the_architecture():
    tagged, plain = (plugins.load("models", f"timm/vit_tiny_patch16_384{tag}") for tag in (".augreg_in21k_ft_in1k", ""))
    assert tagged.name == plain.name == "timm/vit_tiny_patch16_384"
    assert tagged.input == plain.input


def test_a_narrower_network_keeps_what_has_no_count(command):
    code, out, err = command("flops", "timm/test_vit", "--method", "small-dense", "--sparsity", "0.9")
    assert (code, err) == (0, [])
    assert "unknown" in out[2]


def test_a_family_is_not_a_model_of_the_list():
    assert "timm" not in plugins.names("models")
    assert dict(plugins.survey("families")).keys() == {"timm"}
