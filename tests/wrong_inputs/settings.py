"""Settings of `train`: every field of a run's configuration, out of its range or of another type, and together."""

from wrong_inputs import Wrong

BASE = "train --dataset dots --backend toy --recipe.batch-size 4"
REWOUND = f"{BASE} --ticket.source"

VALUES = (
    ("--sparsity", "1", "less than 1"), ("--sparsity", "-0.1", "greater than or equal to 0"),
    ("--sparsity", "nan", "finite"), ("--sparsity", "inf", "finite"), ("--sparsity", "much", "valid number"),
    ("--sparsity", "", "valid number"), ("--sparsity", "0,5", "valid number"), ("--sparsity", "٠٫٥", "valid number"),
    ("--sparsity", "1e400", "finite"), ("--distribution", "erkk", "'erk'"), ("--multiplier", "0", "0.000001"),
    ("--multiplier", "1e-308", "0.000001"),
    ("--multiplier", "-1", "0.000001"), ("--multiplier", "nan", "finite"), ("--multiplier", "x", "valid number"),
    ("--seed", "-1", "greater than or equal to 0"), ("--seed", "9223372036854775808", "less than"),
    ("--seed", "1.5", "valid integer"), ("--seed", "one", "valid integer"), ("--rewind", "-1", "greater than or equal"),
    ("--rewind", "soon", "valid integer"), ("--method", "rigll", "did you mean 'rigl'?"), ("--method", "", "allowed: "),
    ("--method", "RigL", "allowed: "), ("--backend", "torhc", "did you mean 'torch'?"), ("--backend", "", "allowed: "),
    ("--model", "lenet-300", "did you mean 'lenet-300-100'?"), ("--model", "timm/resnet81", "did you mean"),
    ("--model", "timm/", "timm has"), ("--model", "/", "allowed: "), ("--model", "größe", "allowed: "),
    ("--dataset", "digit", "did you mean 'digits'?"), ("--dataset", "../digits", "allowed: "),
    ("--recipe.optimizer", "sdg", "did you mean 'sgd'?"), ("--recipe.learning-rate", "0", "greater than 0"),
    ("--recipe.learning-rate", "-0.1", "greater than 0"), ("--recipe.learning-rate", "nan", "finite"),
    ("--recipe.learning-rate", "inf", "finite"), ("--recipe.learning-rate", "fast", "valid number"),
    ("--recipe.schedule", "cosin", "did you mean 'cosine'?"), ("--recipe.decay", "1", "less than 1"),
    ("--recipe.decay", "0", "greater than 0"), ("--recipe.decay", "nan", "finite"),
    ("--recipe.warmup", "-1", "greater than or equal to 0"), ("--recipe.warmup", "inf", "finite"),
    ("--recipe.momentum", "1", "less than 1"), ("--recipe.momentum", "-0.1", "greater than or equal to 0"),
    ("--recipe.momentum", "nan", "finite"), ("--recipe.weight-decay", "-1", "greater than or equal to 0"),
    ("--recipe.weight-decay", "inf", "finite"), ("--recipe.weight-decay", "small", "valid number"),
    ("--recipe.label-smoothing", "1", "less than 1"), ("--recipe.label-smoothing", "-1", "greater than or equal to 0"),
    ("--recipe.batch-size", "0", "greater than 0"), ("--recipe.batch-size", "-4", "greater than 0"),
    ("--recipe.batch-size", "4.5", "valid integer"), ("--recipe.batch-size", "all", "valid integer"),
    ("--recipe.accumulation", "0", "greater than 0"), ("--recipe.accumulation", "3", "divides the batch"),
    ("--recipe.precision", "float16", "'bfloat16'"), ("--recipe.memory-format", "nhwc", "'channels-last'"),
    ("--recipe.standardise", "none", "'image'"), ("--recipe.augmentation", "crop", "'crop-flip'"),
    ("--recipe.image-size", "0", "greater than 0"), ("--recipe.image-size", "1.5", "valid integer"),
    ("--recipe.evaluations", "0", "greater than 0"), ("--recipe.evaluations", "x", "valid integer"),
    ("--recipe.steps", "0", "greater than 0"), ("--recipe.steps", "-5", "greater than 0"),
    ("--recipe.steps", "1e3", "valid integer"), ("--recipe.steps", "nan", "valid integer"),
    ("--recipe.epochs", "0", "greater than 0"), ("--recipe.epochs", "nan", "finite"),
    ("--recipe.epochs", "inf", "finite"), ("--updates.delta-t", "0", "greater than 0"),
    ("--updates.delta-t", "2.5", "valid integer"), ("--updates.alpha", "1.1", "less than or equal to 1"),
    ("--updates.alpha", "nan", "finite"), ("--updates.begin", "-0.1", "greater than or equal to 0"),
    ("--updates.end", "2", "less than or equal to 1"), ("--updates.anneal", "cos", "'cosine'"),
    ("--updates.grown-value", "one", "'random'"), ("--policy.stem", "thin", "'dense'"),
    ("--policy.depthwise", "no", "'dense'"), ("--policy.classifier", "", "'dense'"), ("--ticket.source", "", "1 char"),
)  # fmt: skip
"""(option, value, what the line says is allowed)."""

TOGETHER = {
    "unknown setting": Wrong(f"{BASE} --recipe.stps 3", "--recipe.stps", "Did you mean --recipe.steps?"),
    "unknown table": Wrong(f"{BASE} --recip.steps 3", "--recip.steps", "Did you mean --recipe.steps?"),
    "unknown in a table": Wrong(f"{BASE} --updates.gamma 3", "--updates.gamma", "Did you mean"),
    "a table as a value": Wrong(f"{BASE} --recipe 3", "--recipe", "--help"),
    "a word alone": Wrong(f"{BASE} rigl", "'rigl'", "takes no further words"),
    "two lengths": Wrong(f"{BASE} --recipe.steps 3 --recipe.epochs 1", "steps and epochs", "exactly one"),
    "two sparsities": Wrong(f"{BASE} --sparsity 0.5 --sparsity 0.6", "--sparsity", "--help"),
    "steps in the millions of millions": Wrong(f"{BASE} --recipe.steps 1000000000000", "1e+12", "10,000,000"),
    "epochs without end": Wrong(f"{BASE} --recipe.epochs 1e300", "1e+300", "10,000,000"),
    "multiplier without end": Wrong(f"{BASE} --multiplier 1e300", "1e+300", "10,000,000"),
    "multiplier overflows": Wrong(f"{BASE} --multiplier 1e308 --recipe.epochs 1e300", "1e+308", "10,000,000"),
    "digits beyond an integer": Wrong(f"{BASE} --recipe.steps {'9' * 5000}", "999", "integer"),
    "batch too large": Wrong(f"{BASE}000000000000", "4000000000000", "use at most that many"),
    "a step without milestones": Wrong(f"{BASE} --recipe.schedule step", "schedule step", "needs milestones"),
    "milestones without step": Wrong(f"{BASE} --recipe.milestones 5", "not cosine", "leave them out"),
    "milestones backwards": Wrong(
        f"{BASE} --recipe.schedule step --recipe.milestones 9 --recipe.milestones 5", "[9.0, 5.0]", "later than"
    ),
    "milestone at the end": Wrong(
        f"{BASE} --recipe.schedule step --recipe.milestones 500", "milestone at step 500", "before its end"
    ),
    "milestone below 0": Wrong(f"{BASE} --recipe.schedule step --recipe.milestones=-1", "-1", "greater than 0"),
    "milestones that fall together": Wrong(
        f"{BASE} --recipe.schedule step --recipe.milestones 5 --recipe.milestones 5.2", "5, 5", "further apart"
    ),
    "warm-up longer than the run": Wrong(f"{BASE} --recipe.warmup 500", "500", "make it shorter"),
    "warm-up without end": Wrong(f"{BASE} --recipe.warmup 1e300", "1e+300", "make it shorter"),
    "nesterov with adamw": Wrong(f"{BASE} --recipe.optimizer adamw --recipe.nesterov", "adamw", "leave it out"),
    "nesterov at rest": Wrong(f"{BASE} --recipe.momentum 0 --recipe.nesterov", "nesterov", "momentum above 0"),
    "crop of four pixels": Wrong(f"{BASE} --recipe.augmentation crop-flip", "2 × 2", "use 'none'"),
    "resized crop in memory": Wrong(f"{BASE} --recipe.augmentation resized-crop-flip", "in memory", "use 'crop-flip'"),
    "image size in memory": Wrong(f"{BASE} --recipe.image-size 32", "image_size 32", "leave it out"),
    "updates that end at once": Wrong(f"{BASE} --updates.begin 0.5 --updates.end 0.5", "0.5", "begin must be below"),
    "updates never": Wrong(f"{BASE} --updates.delta-t 1000", "1000", "lower delta_t"),
    "pruning too late": Wrong(
        f"{BASE} --method pruning --updates.end 1 --updates.delta-t 400", "500 steps", "set end below 1.0"
    ),
    "ticket of nothing": Wrong(f"{REWOUND} nope", "'nope'", "the name of its record's folder"),
    "ticket out of the folder": Wrong(f"{REWOUND} ../x", "'../x'", "the name of its record's folder"),
    "ticket with a long name": Wrong(f"{REWOUND} {'x' * 5000}", "xxx", "give another path"),
    "ticket weights": Wrong(f"{REWOUND} RIGL --ticket.weights old", "old", "'rewound'"),
    "ticket mask": Wrong(f"{REWOUND} RIGL --ticket.mask old", "old", "'shuffled'"),
    "ticket without source": Wrong(f"{BASE} --ticket.mask kept", "--ticket.source", "must be given"),
    "ticket of another network": Wrong(
        "train --backend toy --ticket.source RIGL --sparsity 0.9", "lenet-300-100 on dots", "of the same shapes"
    ),
    "ticket that is too sparse": Wrong(f"{REWOUND} RIGL --sparsity 0.1", "sparsity 0.5", "take a denser ticket"),
    "ticket for pruning": Wrong(f"{REWOUND} RIGL --method pruning", "'pruning'", "leave the ticket out"),
    "search in endless rounds": Wrong(f"{BASE} --method lottery --search.remove 1e-9", "'1e-9'", "0.02"),
    "search of too many rounds": Wrong(
        f"{BASE} --method lottery --search.remove 0.02".replace("--sparsity 0.5", "") + " --sparsity 0.9999999",
        "search.remove 0.02",
        "such as 0.2",
    ),
    "search that removes nothing": Wrong(f"{BASE} --method lottery --search.remove 0", "'0'", "0.02"),
    "search that removes all": Wrong(f"{BASE} --method lottery --search.remove 1", "'1'", "less than 1"),
    "rewind beyond the run": Wrong(f"{BASE} --rewind 500", "500", "choose one below"),
    "search rewinds beyond": Wrong(f"{BASE} --method lottery --search.rewind 500", "500", "choose one below", lines=1),
    "a pattern too dense": Wrong(f"{BASE} --method rigl-2-4 --sparsity 0.1", "0.1", "at least 0.5"),
    "redistribution without sparsity": Wrong(
        f"{BASE} --method snfs-redistributed --sparsity 0", "'snfs-redistributed'", "above 0"
    ),
    "device": Wrong(f"{BASE} --device tpu", "tpu", "cpu"),
    "no such device": Wrong(f"{BASE} --device cuda", "'cuda'", "use --device cpu"),
    "backend that cannot build": Wrong(f"{BASE} --backend bare".replace("--backend toy ", ""), "'bare'", "choose"),
    "backend without its packages": Wrong(
        f"{BASE} --backend needy".replace("--backend toy ", ""), "'needy'", "pip install"
    ),
    "method that cannot be loaded": Wrong(f"{BASE} --method broken", "'broken'", "mend or uninstall"),
    "method of another type": Wrong(f"{BASE} --method wrong", "'wrong'", "mend or uninstall"),
    "method of two names": Wrong(f"{BASE} --method alias", "'alias'", "mend or uninstall"),
    "checkpoints below 0": Wrong(f"{BASE} --checkpoint-every -1", "--checkpoint-every", ">= 0"),
    "checkpoints at no time": Wrong(f"{BASE} --checkpoint-every nan", "nan", ">= 0"),
    "data nowhere": Wrong(f"{BASE} --data nope", "--data nope", "give an existing one"),
    "records a file": Wrong(f"{BASE} --records toys.toml", "--records toys.toml", "give another folder"),
    "records below a file": Wrong(f"{BASE} --records toys.toml/x", "--records toys.toml/x", "give another folder"),
    "everything at once": Wrong(
        f"{BASE} --sparsity 2 --method rgl --recipe.momentum 1 --seed=-1", "--recipe.momentum", "'rigl'", lines=4
    ),
}
"""What goes wrong only together, or is not a value."""


def _line(option: str, value: str) -> str:
    """The command with this option in place of its own."""
    others = [pair for pair in BASE.removeprefix("train ").split("--") if pair and not pair.startswith(option[2:])]
    return f"train {option}='{value}' " + "".join(f"--{pair}" for pair in others)


ROWS = {
    **{f"{option} {value!r}": Wrong(_line(option, value), option, told) for option, value, told in VALUES},
    **TOGETHER,
}
