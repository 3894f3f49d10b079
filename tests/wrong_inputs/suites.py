"""Suite files: not TOML, of another form, with mistakes in single settings, and too large to be meant."""

import toy
from wrong_inputs import Wrong, file


def _suite(text: str | bytes, given: str, remedy: str | tuple[str, ...], lines: int = 1) -> Wrong:
    return Wrong("run wrong.toml", given, remedy, file("wrong.toml", text), lines)


def _changed(old: str, new: str, given: str, remedy: str | tuple[str, ...], lines: int = 1) -> Wrong:
    assert old in toy.SUITE
    return _suite(toy.SUITE.replace(old, new), given, remedy, lines)


def _added(text: str, given: str, remedy: str, lines: int = 1) -> Wrong:
    return _suite(f"{toy.SUITE}\n{text}\n", given, remedy, lines)


TYPES = (
    ("title", "''", "title: given ''", "at least 1 character"), ("title", "3", "title: given 3", "string"),
    ("controls", "'perhaps'", "controls: given 'perhaps'", "boolean"), ("task", "3", "task: given 3", "a table"),
    ("recipe", "[]", "recipe: given []", "a table"), ("grid", "'all'", "grid: given 'all'", "a table"),
    ("also", "3", "also: given 3", "a list"), ("variant", "[]", "variant: given []", "a table"),
    ("policy.stem", "'thin'", "policy.stem: given 'thin'", "'dense'"),
    ("search.remove", "1.0", "search.remove: given 1.0", "less than 1"),
    ("search.remove", "nan", "search.remove: given nan", "finite"),
    ("search.rewind", "-1", "search.rewind: given -1", "greater than or equal to 0"),
    ("recipe.optimizer", "'sdg'", "recipe.optimizer: given 'sdg'", "did you mean 'sgd'?"),
    ("recipe.learning_rate", "'fast'", "recipe.learning_rate: given 'fast'", "number"),
    ("recipe.learning_rate", "inf", "recipe.learning_rate: given inf", "finite"),
    ("recipe.momentum", "[0.9]", "recipe.momentum: given [0.9]", "valid number"),
    ("recipe.milestones", "5", "recipe.milestones: given 5", "a list"),
    ("recipe.warmup", "{}", "recipe.warmup: given {}", "valid number"),
    ("recipe.evaluations", "1979-05-27", "recipe.evaluations: given", "valid integer"),
    ("recipe.nesterov", "2", "recipe.nesterov: given 2", "boolean"),
    ("updates.alpha", "2.0", "updates.alpha: given 2.0", "less than or equal to 1"),
    ("updates.anneal", "3", "updates.anneal: given 3", "'cosine'"),
    ("method.rgl.alpha", "0.5", "'rgl'", "did you mean 'rigl'?"),
    ("method.rigl.alfa", "0.5", "'alfa'", "did you mean 'alpha'?"),
    ("variant.v.recipe.stps", "3", "'stps'", "did you mean 'steps'?"),
    ("variant.v.model", "'lenet'", "'lenet'", "did you mean 'lenet-300-100'?"),
    ("variant.v.recipe.momentum", "1.0", "variant.v.recipe.momentum: given 1.0", "less than 1"),
    ("grid.updates.delta_t", "[0]", "grid.updates.delta_t[0]: given 0", "greater than 0"),
    ("grid.tickets", "[{method = 'lotery'}]", "'lotery'", "did you mean 'lottery'?"),
    ("grid.tickets", "[{variant = 'v'}]", "unknown variant 'v'", "allowed: base"),
    ("grid.variants", "['v']", "unknown variant 'v'", "allowed: base"),
    ("grid.variants", "[3]", "grid.variants[0]: given 3", "string"),
    ("grid.distributions", "['er', 'er']", "listed more than once: er", "list each value once"),
    ("grid.multipliers", "[0.0]", "grid.multipliers[0]: given 0.0", "greater than or equal to 0.000001"),
    ("grid.multipliers", "[1e300]", "1e+300", "10,000,000"), ("colour", "'red'", "'colour'", "allowed: "),
)  # fmt: skip
"""(dotted name, TOML value, what is given, what is allowed); put in above the tables, as a name of its own."""


def _typed(name: str, value: str, given: str, allowed: str) -> Wrong:
    """The suite with one setting given otherwise, whichever table it is in."""
    table, dot, last = name.rpartition(".")
    text = toy.SUITE
    if not dot and f"[{name}]" in text:
        before, _, rest = text.partition(f"[{name}]")
        after = rest[rest.index("\n[") :] if "\n[" in rest else ""
        return _suite(f"{name} = {value}\n{before}{after}", given, allowed)
    if not dot:
        return _suite("\n".join((f"{name} = {value}", *_without(text, name))), given, allowed)
    if f"[{table}]" in text:
        return _suite(text.replace(f"[{table}]", f"[{table}]\n{last} = {value}"), given, allowed)
    return _added(f"[{table}]\n{last} = {value}", given, allowed)


def _without(text: str, name: str) -> list[str]:
    return [line for line in text.splitlines() if not line.startswith(f"{name} =")]


DEEP = "x = " + "[" * 5000 + "]" * 5000
METHODS = "methods = [{}]"
ROWS = {
    "empty": _suite("", "title: missing", "must be given", 4),
    "not TOML": _suite("title =", "wrong.toml cannot be read as TOML", "mend the file"),
    "JSON": _suite('{"title": "x"}', "wrong.toml cannot be read as TOML", "mend the file"),
    "YAML": _suite("title: x\ngrid:\n  - 1\n", "wrong.toml cannot be read as TOML", "mend the file"),
    "a picture": _suite(b"\x89PNG\r\n\x1a\n\x00\xff\xfe", "wrong.toml cannot be read as TOML", "mend the file"),
    "UTF-16": _suite(toy.SUITE.encode("utf-16"), "wrong.toml cannot be read as TOML", "mend the file"),
    "null byte": _changed("toys", "to\0ys", "wrong.toml cannot be read as TOML", "mend the file"),
    "lists in lists in lists": _suite(DEEP, "wrong.toml cannot be read as TOML", "mend the file"),
    "a key twice": _changed("steps = 12", "steps = 12\nsteps = 13", "wrong.toml cannot be read as TOML", "mend"),
    "no grid": _suite(toy.SUITE.partition("[grid]")[0], "grid: missing", "must be given"),
    "no recipe": _suite(toy.SUITE.replace("[recipe]", "[other]"), "recipe: missing", "must be given", 2),
    "no length": _changed("steps = 12", "", "steps and epochs", "exactly one"),
    "two lengths": _changed("steps = 12", "steps = 12\nepochs = 1", "steps and epochs", "exactly one"),
    "unknown model": _changed("lenet-300-100", "lenet", "'lenet'", "did you mean 'lenet-300-100'?"),
    "unknown data set": _changed('"dots"', '"dotz"', "'dotz'", "did you mean 'dots'?"),
    "unknown method": _changed('"rigl"', '"rgl"', "'rgl'", "did you mean 'rigl'?"),
    "unknown backend": _changed('["toy"]', '["toi"]', "'toi'", "did you mean 'toy'?"),
    "no methods": _changed('["dense", "rigl"]', "[]", "grid.methods", "at least one value"),
    "methods as text": _changed('["dense", "rigl"]', '"rigl"', "grid.methods: given 'rigl'", "a list"),
    "a method twice": _changed('"dense", "rigl"', '"rigl", "rigl"', "listed more than once: rigl", "each value once"),
    "a method that is a number": _changed('"dense", "rigl"', "3", "grid.methods[0]: given 3", "string"),
    "sparsity 1": _changed("[0.5]", "[1.0]", "grid.sparsities[0]: given 1.0", "less than 1"),
    "sparsity nan": _changed("[0.5]", "[nan]", "grid.sparsities[0]: given nan", "finite"),
    "sparsity as text": _changed("[0.5]", '["much"]', "grid.sparsities[0]: given 'much'", "valid number"),
    "sparsity a percentage": _changed("[0.5]", "[90]", "grid.sparsities[0]: given 90", "less than 1"),
    "no seeds": _changed("seeds = 2", "seeds = 0", "given 0", "from 1"),
    "seeds below 0": _changed("seeds = 2", "seeds = [-1]", "grid.seeds[0]: given -1", "greater than or equal to 0"),
    "half a seed": _changed("seeds = 2", "seeds = 1.5", "grid.seeds: given 1.5", "a list"),
    "seeds as truth": _changed("seeds = 2", "seeds = true", "grid.seeds: given True", "a list"),
    "seeds without end": _changed("seeds = 2", "seeds = 1000000000000", "given 1000000000000", "10,000"),
    "a list of seeds without end": _changed(
        "seeds = 2", f"seeds = {[*range(20_001)]}", "20,001 values", ("at most 10,000", "make the list shorter")
    ),
    "searches without end": _suite(
        toy.SUITE.replace('"rigl"', '"lottery"').replace("[0.5]", "[0.9999]").replace("seeds = 2", "seeds = 10000"),
        "runs", "at most 100,000",
    ),
    "a title as long as its file": _changed(
        'title = "toys"', f"title = {[*range(100_000)]}", "title: given [0, 1", "string"
    ),
    "more runs than ever end": _suite(
        toy.SUITE.replace("[0.5]", str([k / 5000 for k in range(5000)])).replace("seeds = 2", "seeds = 1000"),
        "5,001,000 runs", "at most 100,000",
    ),
    "batch too large": _changed("batch_size = 4", "batch_size = 40", "batch_size 40", "use at most that many"),
    "batch as text": _changed("batch_size = 4", 'batch_size = "4x"', "given '4x'", "valid integer"),
    "steps without end": _changed("steps = 12", "steps = 1000000000000", "1e+12", "10,000,000"),
    "steps beyond an integer": _changed("steps = 12", f"steps = {'9' * 400}", "9999", "less than 2^63"),
    "ΔT beyond the run": _changed("delta_t = 2", "delta_t = 100", "delta_t 100", "lower delta_t"),
    "all mistakes at once": _suite(
        toy.SUITE.replace("toy", "toi").replace("[0.5]", "[1.0]").replace("seeds = 2", "seeds = 0")
        .replace("rigl", "rgl"), "grid.seeds", "'rgl'", 4,
    ),
    **{f"{name} = {value}": _typed(name, value, *told) for name, value, *told in TYPES},
}  # fmt: skip
