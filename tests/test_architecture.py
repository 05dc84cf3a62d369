"""The rules of the house, read from the source: who imports whom, what kernels may do, how long things may be."""

import ast
import functools
import graphlib
import importlib.util
import inspect
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tokenize
from collections.abc import Callable, Iterator
from typing import Any

import pytest

import fastnn
from docs import generate
from fastnn.kernels.compile import ENTRIES, FASTMATH, JIT_DISABLED
from tests.arrows import ARROWS, COMPILERS, LATE_ARROWS

PACKAGE = pathlib.Path(fastnn.__file__).parent
TESTS = pathlib.Path(__file__).parent
MODULES = {  # by name within the package; the package itself is __init__
    ".".join(file.relative_to(PACKAGE).with_suffix("").parts).removesuffix(".__init__"): file
    for file in sorted(PACKAGE.rglob("*.py"))
}
KERNEL_MODULES = [name for name in MODULES if name.startswith(("kernels.", "operations.", "engine.interpreters."))]
ALONE = PACKAGE / "reference"  # its files name each other relatively, as it also loads under another name
OTHER_SOURCES = sorted([*TESTS.rglob("*.py"), *(TESTS.parent / "benchmarks").rglob("*.py")])

ASKS_NUMBA_TO_COMPILE = {"njit", "jit", "vectorize", "guvectorize", "cfunc", "stencil", "generated_jit", "jit_module"}

DECORATORS = {"kernel", "formula", "door", "door_of_parts", "unit", "part_unit"}
FunctionNode = ast.FunctionDef | ast.AsyncFunctionDef


@functools.cache
def tree(file: pathlib.Path) -> ast.Module:
    return ast.parse(file.read_text(encoding="utf-8"))


def imports(file: pathlib.Path) -> Iterator[tuple[str, bool]]:
    """Each imported name with its module, and whether it is imported late; without imports for type checkers alone."""

    def visit(node: ast.AST, late: bool) -> Iterator[tuple[str, bool]]:
        if isinstance(node, ast.Import):
            yield from ((alias.name, late) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            beside = node.level == 1 and file.parent == ALONE
            assert beside or node.level == 0, f"{file}: imports are absolute"
            module = f"fastnn.{ALONE.name}.{node.module}" if beside else node.module
            yield from ((f"{module}.{alias.name}", late) for alias in node.names)
        elif not (isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test)):
            for child in ast.iter_child_nodes(node):
                yield from visit(child, late or isinstance(node, FunctionNode))

    return visit(tree(file), late=False)


def own_module(imported: str) -> str | None:
    """The module of fastnn that `fastnn.gate.arrays.Array` names: arrays. None for other libraries."""
    parts = imported.split(".")
    if parts[0] != "fastnn":
        return None
    for end in range(len(parts), 1, -1):
        name = ".".join(parts[1:end])
        if name in MODULES:
            return name
    return "__init__"


def functions(file: pathlib.Path) -> list[FunctionNode]:
    return [node for node in ast.walk(tree(file)) if isinstance(node, FunctionNode)]


def compiled_functions() -> list[tuple[str, str, FunctionNode]]:
    """Module, decorator and definition of every kernel, formula and entry."""
    return [
        (name, decorator.id, node)
        for name in KERNEL_MODULES
        for node in functions(MODULES[name])
        for decorator in node.decorator_list
        if isinstance(decorator, ast.Name) and decorator.id in DECORATORS
    ]


# --- imports -----------------------------------------------------------------------------------------


def room(module: str) -> str:
    """The folder of a module, or the module where it stands directly in fastnn/."""
    return next((name for name in ("engine.interpreters",) if module.startswith(name)), module.split(".")[0])


def neighbors(module: str, of: Callable[[str], str]) -> Iterator[tuple[str, bool]]:
    """The imports of a module from fastnn outside its own room, or from other modules; and whether they are late."""
    for imported, late in imports(MODULES[module]):
        name = own_module(imported)
        if name is not None and of(name) != of(module):
            yield of(name), late


def test_every_room_has_its_row() -> None:
    assert set(ARROWS) == {room(module) for module in MODULES}, "ARROWS says for each folder what it may import"
    assert len([module for module in MODULES if "." not in module and MODULES[module].parent == PACKAGE]) <= 12


def test_arrows() -> None:
    wrong = []
    for module in MODULES:
        allowed = set(ARROWS[room(module)].split())
        allowed_late = allowed | set(LATE_ARROWS.get(room(module), "").split())
        wrong += [
            f"{module} imports {name}"
            for name, late in neighbors(module, room)
            if name not in (allowed_late if late else allowed)
        ]
    assert wrong == []


def test_no_arrow_is_idle() -> None:
    found = {(room(module), *arrow) for module in MODULES for arrow in neighbors(module, room)}
    idle = {(name, other) for name in ARROWS for other in ARROWS[name].split() if (name, other, False) not in found}
    late = {(name, other) for name in LATE_ARROWS for other in LATE_ARROWS[name].split()}
    assert (idle, late - {(name, other) for name, other, is_late in found if is_late}) == (set(), set())


@pytest.mark.parametrize("of", [room, str], ids=["folders", "modules"])
def test_imports_have_no_circle(of: Callable[[str], str]) -> None:
    """Late imports aside, each module can be imported before the modules that import it."""
    graph: dict[str, set[str]] = {}
    for module in MODULES:
        graph.setdefault(of(module), set()).update(name for name, late in neighbors(module, of) if not late)
    graphlib.TopologicalSorter(graph).prepare()


def test_other_libraries() -> None:
    """NumPy everywhere, Numba and llvmlite where the table says, others only inside the function that needs them."""
    for module, file in MODULES.items():
        compilers = COMPILERS.get(module, set())
        at_once = {name.split(".")[0] for name, late in imports(file) if not late}
        at_any_time = {name.split(".")[0] for name, _ in imports(file)}
        assert at_once - set(sys.stdlib_module_names) <= {"numpy", "fastnn"} | compilers, module
        assert at_any_time & {"numba", "llvmlite"} <= compilers, module


def test_one_module_asks_numba_to_compile() -> None:
    named = set()
    for name, file in MODULES.items():
        for node in ast.walk(tree(file)):
            words = {getattr(node, "id", None), getattr(node, "attr", None)}
            if isinstance(node, ast.ImportFrom):
                words |= {alias.name for alias in node.names}
            if words & ASKS_NUMBA_TO_COMPILE:
                named.add(name)
    assert named == {"kernels.compile"}


def test_few_modules_write_llvm_code() -> None:
    found = {name for name, file in MODULES.items() if "llvmlite.ir" in dict(imports(file))}
    some = "additions addresses caches correlations lists loops neighbors objects openmp outer pipelines reductions"
    assert found == {f"kernels.{name}" for name in [*some.split(), "simd", "tiles", "transposes"]}


def test_no_code_is_made_from_text() -> None:
    for name, file in MODULES.items():
        calls = [node.func for node in ast.walk(tree(file)) if isinstance(node, ast.Call)]
        assert not {call.id for call in calls if isinstance(call, ast.Name)} & {"exec", "eval", "compile"}, name


# --- the kernel contract -----------------------------------------------------------------------------

# NumPy in compiled code: scalar types only. Everything else takes or makes arrays.
SCALARS = {"intp", "uintp", "uint8", "uint16", "int32", "int64", "uint32", "uint64", "float32", "float64"}
FORBIDDEN_CALLS = {"print", "list", "dict", "set", "sorted", "open", "getattr", "isinstance"}
ALLOCATING_METHODS = {"copy", "astype", "flatten", "ravel", "tolist", "sum", "dot"}
FORBIDDEN_SYNTAX = (
    *(ast.Raise, ast.Assert, ast.Try, ast.With, ast.Import, ast.ImportFrom, ast.Global, ast.Nonlocal, ast.Lambda),
    *(ast.List, ast.Dict, ast.Set, ast.ListComp, ast.DictComp, ast.SetComp, ast.GeneratorExp, ast.JoinedStr),
    *(ast.Yield, ast.Await, ast.MatMult),
)


def breaches(function: FunctionNode) -> Iterator[str]:
    """The places where a compiled function allocates, raises, prints, converts or holds on to an object."""
    for node in ast.walk(function):
        if isinstance(node, FORBIDDEN_SYNTAX) or (isinstance(node, FunctionNode) and node is not function):
            yield type(node).__name__
        if not isinstance(node, ast.Call):
            continue
        called = ast.unparse(node.func)
        attribute = called.rpartition(".")[2]
        in_numpy = called.startswith("np.") and attribute not in SCALARS
        if in_numpy or called in FORBIDDEN_CALLS or (attribute != called and attribute in ALLOCATING_METHODS):
            yield f"{called}()"


def test_compiled_functions_are_found() -> None:
    assert {decorator for _, decorator, _ in compiled_functions()} == DECORATORS
    assert len(compiled_functions()) > 50


def test_kernels_keep_their_contract() -> None:
    found = {f"{module}.{node.name}": sorted(breaches(node)) for module, _, node in compiled_functions()}
    assert {name: what for name, what in found.items() if what} == {}


def test_breaches_are_noticed() -> None:
    source = "def f(x):\n    y = np.zeros(3)\n    print([x.copy()])\n    z = np.intp(1)\n    raise ValueError"
    function = ast.parse(source).body[0]
    assert isinstance(function, ast.FunctionDef)
    assert sorted(breaches(function)) == ["List", "Raise", "np.zeros()", "print()", "x.copy()"]


def test_compiled_functions_stand_in_the_module() -> None:
    """There are no closures: their contents are in no file, and so in no cache."""
    for module, _, node in compiled_functions():
        assert node in tree(MODULES[module]).body, f"{module}.{node.name}"


@pytest.mark.skipif(JIT_DISABLED, reason="nothing is compiled with NUMBA_DISABLE_JIT=1")
def test_one_set_of_compiler_flags() -> None:
    assert not FASTMATH & {"fast", "nnan", "ninf"}
    from numba.core.dispatcher import Dispatcher

    found = [getattr(entry, "compiled", entry) for entry in ENTRIES]
    for name in KERNEL_MODULES:
        values = vars(importlib.import_module(f"fastnn.{name}")).values()
        found += [value for value in values if isinstance(value, Dispatcher)]
    assert len(found) > 50
    for dispatcher in found:
        options = dispatcher.targetoptions
        flags = options["fastmath"]
        assert set(flags or ()) == FASTMATH, dispatcher
        assert flags is not True
        assert options["nogil"] is True
        assert options["error_model"] == "numpy"


# --- documentation and size --------------------------------------------------------------------------


def test_modules_say_what_they_are_for() -> None:
    assert [module for module, file in MODULES.items() if not ast.get_docstring(tree(file))] == []


def test_kernels_are_documented() -> None:
    """All kernels but formulas of one line have docstrings."""
    missing = [
        f"{module}.{node.name}"
        for module, decorator, node in compiled_functions()
        if not ast.get_docstring(node) and (decorator != "formula" or len(node.body) > 1)
    ]
    assert missing == []


def public_objects(module: str) -> Iterator[tuple[str, Any]]:
    """Public functions and classes defined in a module, and the public methods and properties of the classes."""
    loaded = importlib.import_module(f"fastnn.{module}")
    for name, value in vars(loaded).items():
        if name.startswith("_") or getattr(value, "__module__", None) != loaded.__name__:
            continue
        if inspect.isfunction(value) or inspect.isclass(value):
            yield name, value
        if inspect.isclass(value):
            members = [(key, member) for key, member in vars(value).items() if not key.startswith("_")]
            callables = [(key, member) for key, member in members if callable(member) or isinstance(member, property)]
            yield from ((f"{name}.{key}", getattr(value, key)) for key, _ in callables)


def test_public_functions_and_classes_are_documented() -> None:
    """A method that overrides another one may inherit its docstring. A module whose library is missing is left out."""
    there = [name for name in MODULES if all(map(importlib.util.find_spec, COMPILERS.get(name, ())))]
    modules = [name for name in there if name not in {"__main__", "__init__"}]
    found = [(module, name, value) for module in modules for name, value in public_objects(module)]
    assert [f"{module}.{name}" for module, name, value in found if not inspect.getdoc(value)] == []


def test_public_names() -> None:
    """`dir` shows them and nothing else; each is where the text for type checkers says."""
    names, names_of_types = dir(fastnn), ("DifferenceMethod", "LossName", "Reduction")  # described in their module
    assert len(names) == len(set(names)) > 75 and not {"annotations", "importlib", "public"} & set(names)
    assert names == fastnn.__getattr__("__all__")
    for name in names:
        assert name in ("__version__", *names_of_types) or inspect.getdoc(getattr(fastnn, name)), name
        found = getattr(fastnn, name)
        if callable(found) and name not in names_of_types:
            assert found is getattr(importlib.import_module(found.__module__), name)
    for wrong, right in {"Afine": "; did you mean 'Affine'?", "swish": "; did you mean 'Silu'?", "zebra": ""}.items():
        with pytest.raises(AttributeError, match=rf"^module 'fastnn' has no attribute '{wrong}'{re.escape(right)}$"):
            getattr(fastnn, wrong)


def test_functions_of_arrays_stand_alone() -> None:
    """`fastnn.functional` shows its modules and their functions, and nothing that these import."""
    found = {name: value for name, value in vars(fastnn.functional).items() if not name.startswith("_")}
    modules = {value.__name__ for value in found.values() if inspect.ismodule(value)}
    files = ("activations", "images", "layers", "losses", "surfaces", "updates")
    assert modules == {f"fastnn.functional.{name}" for name in files}
    kept = {name: getattr(fastnn, name) for name in dir(fastnn)}
    ours = {name for name, value in kept.items() if getattr(value, "__module__", "") in modules}
    assert ours == {name for name, value in found.items() if not inspect.ismodule(value)}


def code_lines(file: pathlib.Path) -> set[int]:
    """The lines with code: more than comments, docstrings and white space."""
    idle = {tokenize.COMMENT, tokenize.NL, tokenize.NEWLINE, tokenize.INDENT, tokenize.DEDENT, tokenize.ENDMARKER}
    lines: set[int] = set()
    with tokenize.open(file) as source:
        for token in tokenize.generate_tokens(source.readline):
            if token.type not in idle:
                lines.update(range(token.start[0], token.end[0] + 1))
    for node in ast.walk(tree(file)):
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str):
            lines.difference_update(range(node.lineno, (node.end_lineno or node.lineno) + 1))
    return lines


def test_sizes() -> None:
    """Examples, the end of docstrings, do not count, as they hide no code, and generated text, which nobody writes."""
    too_long = []
    for file in [*MODULES.values(), *OTHER_SOURCES]:
        written = generate.SECTION.sub("", file.read_text(encoding="utf-8"))
        lines = len(re.sub(r'\n\n *Examples\n *-{8}\n(?s:.*?)"""', "", written).splitlines())
        too_long += [f"{file}: {lines} lines"] if lines > 400 else []
        long = [node for node in functions(file) if (node.end_lineno or 0) - node.lineno >= 60]
        code = code_lines(file) if long else set()
        sizes = [(node.name, len(code & set(range(node.lineno, (node.end_lineno or 0) + 1)))) for node in long]
        too_long += [f"{file}: {size} lines of {name}" for name, size in sizes if size > 60]
    assert too_long == []


def test_many_parameters_have_a_reason() -> None:
    """More than ten ask for a comment above the function; generated ones take what their class has."""
    for file in MODULES.values():
        lines = file.read_text(encoding="utf-8").splitlines()
        generated = [i for i, line in enumerate(lines) if "generated" in line and line.startswith("# <")]
        for node in functions(file):
            arguments = [*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs]
            first = min(one.lineno for one in [node, *node.decorator_list])
            is_generated = any(begin < first < end for begin, end in zip(generated[::2], generated[1::2], strict=True))
            has_reason = is_generated or lines[first - 2].strip().startswith("# ")
            assert len(arguments) <= 10 or has_reason, f"{file}: {node.name}"


# --- importing ---------------------------------------------------------------------------------------

IMPORT = """
import os, sys, threading
import numba, numpy  # NumPy's library of matrix products starts threads of its own
from numba.core import event

def threads():
    tasks = "/proc/self/task"
    return threading.active_count(), len(os.listdir(tasks)) if os.path.isdir(tasks) else None

before = threads(), dict(os.environ), set(sys.modules)
with event.install_recorder("numba:compile") as compiled:
    import fastnn
assert not compiled.buffer, compiled.buffer
assert (threads(), dict(os.environ)) == before[:2], threads()
from fastnn.kernels.compile import ENTRIES, JIT_DISABLED
assert JIT_DISABLED or not any(entry.signatures for entry in ENTRIES)
unwanted = {"matplotlib", "scipy", "torch", "jax", "sklearn", "pandas", "threadpoolctl", "fastnn.command.cli"}
assert not (set(sys.modules) - before[2]) & unwanted, set(sys.modules) & unwanted
print(fastnn.__file__)
"""


def import_in_a_fresh_process(parent: pathlib.Path, environment: dict[str, str]) -> None:
    command = [sys.executable, "-B", "-W", "error", "-c", IMPORT]
    options = {"cwd": parent, "env": environment | {"PYTHONPATH": str(parent)}}
    done = subprocess.run(command, **options, capture_output=True, text=True, timeout=120)  # type: ignore[call-overload]
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    assert pathlib.Path(done.stdout.strip()).parents[1] == parent


def test_import_does_nothing() -> None:
    import_in_a_fresh_process(PACKAGE.parent, dict(os.environ))


def test_import_from_a_read_only_folder_without_a_home(tmp_path: pathlib.Path) -> None:
    shutil.copytree(PACKAGE, tmp_path / "fastnn", ignore=shutil.ignore_patterns("__pycache__"))
    homes = {"HOME", "USERPROFILE", "XDG_CACHE_HOME", "LOCALAPPDATA", "FASTNN_CACHE", "NUMBA_CACHE_DIR"}
    environment = {name: value for name, value in os.environ.items() if name not in homes}
    paths = [tmp_path, *sorted(tmp_path.rglob("*"))]
    modes = [path.stat().st_mode for path in paths]
    for path in paths:
        path.chmod(0o555 if path.is_dir() else 0o444)
    try:
        import_in_a_fresh_process(tmp_path, environment)
    finally:
        for path, mode in zip(paths, modes, strict=True):
            path.chmod(mode)
    assert [tmp_path, *sorted(tmp_path.rglob("*"))] == paths
