"""A search of syntax trees for whatever could execute what was read, or bring it before a shell.

It goes by the last name that is spoken, however the module is called, and errs on the side of finding too much:
what is harmless is on a list, with the reason.
"""

import ast

MODULES = {
    "pickle", "_pickle", "cPickle", "pickle5", "cloudpickle", "dill", "marshal", "shelve", "joblib", "yaml", "ruamel",
    "submitit", "jsonpickle", "runpy", "code", "codeop", "pty", "builtins", "imp",
}  # fmt: skip
"""Whose every use executes."""
BUILTINS = {"eval", "exec", "compile", "__import__", "execfile", "__builtins__", "breakpoint"}
NAMES = BUILTINS | {
    "load", "loads", "load_all", "unsafe_load", "read_pickle", "to_pickle", "Pickler", "Unpickler", "ForkingPickler",
    "load_model", "load_state_dict_from_url", "load_url",
    "system", "popen", "popen2", "getoutput", "getstatusoutput", "create_subprocess_shell", "subprocess_shell",
    "run_path", "run_module", "exec_module", "load_module", "import_module", "fileConfig",
    "CDLL", "PyDLL", "LoadLibrary", "dlopen",
    "execl", "execle", "execlp", "execlpe", "execv", "execve", "execvp", "execvpe",
    "spawnl", "spawnle", "spawnlp", "spawnlpe", "spawnv", "spawnve", "spawnvp", "spawnvpe", "posix_spawn",
    "posix_spawnp",
}  # fmt: skip
"""Found wherever they are spoken: called, handed on, imported, or asked for by `getattr`."""
HARMLESS = {
    "json.load", "json.loads", "tomllib.load", "tomllib.loads", "safetensors.numpy.load", "safetensors.torch.load",
    "re.compile",
}  # fmt: skip
"""They read data, or, of the last, a pattern."""
KEYWORDS = {"allow_pickle", "shell", "weights_only", "executable", "preexec_fn"}
OURS = {"plugins.load", "suite.load", "suites.load", "sparsebench_board.tracking.load"}
"""Plugins are programs that somebody installed; suites are read as TOML; the last imports MLflow."""
KNOWN = {"json", "tomllib", "re", "plugins", "suite", "suites", "safetensors"}
"""Names by which nothing else may be called, for the lists go by them."""
PLAIN = {"PIPE", "DEVNULL", "STDOUT", "CompletedProcess", "CalledProcessError", "SubprocessError", "TimeoutExpired"}
"""What may be imported from `subprocess`, for it begins no process."""
SHELLS = {"sh", "bash", "dash", "zsh", "ksh", "fish", "cmd", "cmd.exe", "powershell", "pwsh", "env", "xargs"}
PROCESSES = {"run", "Popen", "call", "check_call", "check_output", "create_subprocess_exec", "subprocess_exec"}


def forbidden(tree):
    """Each finding as text: what is spoken, as it stands in the source."""
    called = {id(node.func) for node in ast.walk(tree) if isinstance(node, ast.Call)}
    for node in ast.walk(tree):
        match node:
            case ast.Import(names=names):
                yield from (each.name for each in names if each.name.partition(".")[0] in MODULES)
                yield from (each.name for each in names if each.asname in KNOWN - {each.name})
            case ast.ImportFrom(module=module, names=names):
                yield from _imported(module or "", names)
            case ast.Attribute(attr=name) if name in NAMES and ast.unparse(node) not in HARMLESS | OURS:
                yield ast.unparse(node)
            case ast.Attribute(ast.Name("subprocess"), name) if (
                name in PROCESSES - {"Popen"} and id(node) not in called
            ):
                yield ast.unparse(node)
            case ast.Name(id=name) if name in BUILTINS:
                yield name
            case ast.Call(func=ast.Name("getattr"), args=[_, ast.Constant(str(name)), *_]) if name in NAMES | PROCESSES:
                yield ast.unparse(node)
            case ast.Call(func=func) if _last(func) in PROCESSES and _begins(func, tree):
                yield from _process(node)
            case ast.keyword(arg=str(name)) if name in KEYWORDS:
                yield f"{name}="
            case ast.keyword(arg="pretrained", value=value) if ast.unparse(value) != "False":
                yield "pretrained="


def _imported(module, names):
    root = module.partition(".")[0]
    if root in MODULES:
        yield module
    for each in names:
        said = f"{module}.{each.name}"
        begins = root == "subprocess" and each.name not in PLAIN
        if begins or each.name in MODULES or (each.name in NAMES and said not in HARMLESS | OURS):
            yield said
        elif (each.asname or each.name) in KNOWN and root != "sparsebench":
            yield f"{said} as {each.asname or each.name}"


def _last(node):
    return node.attr if isinstance(node, ast.Attribute) else ""


def _begins(func, tree):
    """Whether it is a function of a module that begins processes, by whatever name that was imported."""
    owner = ast.unparse(func.value)
    known = {"subprocess", "asyncio"}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            known |= {each.asname for each in node.names if each.name in known and each.asname}
    return owner in known or func.attr in ("check_call", "check_output", "Popen") or "subprocess" in func.attr


def _process(call):
    """A command is a list that is written there, so that each word stays one; another is found by its text."""
    given = [each.value for each in call.keywords if each.arg == "args"] or call.args
    if any(each.arg is None for each in call.keywords):
        yield f"{ast.unparse(call.func)}(**)"
    if _last(call.func) in ("create_subprocess_exec", "subprocess_exec"):
        if any(isinstance(each, ast.Starred) for each in given):
            yield f"{ast.unparse(call.func)}(*)"
        given = [ast.List(given)]
    if any(isinstance(each, ast.Constant) and _program(each.value) in SHELLS for each in ast.walk(call)):
        yield f"{ast.unparse(call.func)}(a shell)"
    elif not given or not _is_list(given[0]):
        yield f"{ast.unparse(call.func)}({ast.unparse(given[0]) if given else ''})"


def _program(value):
    return value.rpartition("/")[2] if isinstance(value, str) else ""


def _is_list(node):
    """A list or tuple as it stands, or several of them joined."""
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add):
        return _is_list(node.left) and _is_list(node.right)
    return isinstance(node, ast.List | ast.Tuple)
