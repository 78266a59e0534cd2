"""Every framework's folder and every style's file keeps the contract of ``gradperf/frameworks/contract.py``."""

import ast
import importlib
import importlib.util
import inspect
import tomllib
from pathlib import Path
from typing import get_args

import pytest

from gradperf import frameworks, problems
from gradperf.frameworks import profiling
from gradperf.frameworks.contract import Execution, Runtime

ROOT = Path(__file__).parent.parent
FRAMEWORKS = ROOT / "gradperf" / "frameworks"
STYLES = [
    (framework, family, style)
    for framework in frameworks.names()
    for family in problems.families()
    for style in frameworks.styles(framework, family)
]
PARAMETERS = ["problem", "inputs", "device", "dtype"]


def loaded(framework):
    """Import the framework's runtime, or skip."""
    try:
        return frameworks.load(framework, 1)
    except frameworks.Unavailable as reason:
        pytest.skip(str(reason))


@pytest.mark.parametrize("framework", frameworks.names())
def test_framework_has_devices_and_the_functions_of_a_runtime(framework):
    """The folder names its devices, and its runtime has every function of ``contract.Runtime``."""
    assert set(frameworks.devices(framework)) <= {"cpu", "cuda"}
    runtime = loaded(framework)
    for name in (name for name in vars(Runtime) if not name.startswith("_")):
        assert callable(getattr(runtime, name)), name
    assert runtime.missing("cpu") is None


@pytest.mark.parametrize("framework", frameworks.names())
def test_framework_has_a_profiler(framework):
    """Its ``profiling.py`` has everything of ``profiling.Profiler``."""
    loaded(framework)
    profiler = profiling.profiler(framework)
    assert profiler.KIND in get_args(profiling.Kind)
    assert isinstance(profiler.TOOL, str)
    assert set(profiler.WORDS.notes) <= set(get_args(Execution))
    assert list(inspect.signature(profiler.missing).parameters) == []
    assert list(inspect.signature(profiler.session).parameters) == ["run", "style", "device"]


@pytest.mark.parametrize("framework", frameworks.names())
def test_framework_has_its_extra_and_its_tox_factor(framework):
    """A new framework needs a folder, an extra and a tox factor; numpy is a dependency of the package."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert framework in project["optional-dependencies"] or any(
        dependency.startswith(framework) for dependency in project["dependencies"]
    )
    assert f"    {framework}" in (ROOT / "tox.ini").read_text()


@pytest.mark.parametrize("framework", frameworks.names())
def test_framework_has_training_and_the_other_families(framework):
    """Each framework computes problems of every family; only numpy has the empty style."""
    without = [family for family in problems.families() if not frameworks.styles(framework, family)]
    assert without == ([] if framework == "numpy" else ["nothing"])


@pytest.mark.parametrize(("framework", "family", "style"), STYLES)
def test_style_has_the_functions_of_the_contract(framework, family, style):
    """``prepare``, ``supports`` and ``phases`` take the arguments of the contract."""
    loaded(framework)
    described = importlib.import_module(f"gradperf.frameworks.{framework}.{family}.{style}").__doc__
    assert described
    assert described.splitlines()[0].endswith((".", ","))
    functions = frameworks.style(framework, family, style)
    assert list(inspect.signature(functions.prepare).parameters) == PARAMETERS
    assert list(inspect.signature(functions.supports).parameters) == ["problem", "device", "dtype"]
    if functions.phases is not None:
        assert list(inspect.signature(functions.phases).parameters) == PARAMETERS


def test_only_these_styles_are_not_counted():
    """A style whose products a count cannot see, or that makes others than the problem, is listed here."""
    found: dict[str | None, set[str]] = {}
    for framework, family, style in STYLES:
        assigned = {
            node.targets[0].id: ast.literal_eval(node.value)
            for node in ast.parse((FRAMEWORKS / framework / family / f"{style}.py").read_text()).body
            if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) in ("UNCOUNTED", "PRODUCTS")
        }
        if assigned:
            assert "UNCOUNTED" in assigned, style
            found.setdefault(assigned.get("PRODUCTS"), set()).add(f"{framework}.{style}")
    assert found == {
        None: {"torch.cuda_graph"},
        "all but weight gradients": {"numpy.outer_product"},
        "none": {
            *("jax.broadcast", "numpy.broadcast", "numpy.elementwise", "numpy.loops", "tensorflow.broadcast"),
            *("torch.broadcast", "torch.elementwise", "torch.loops"),
        },
    }


def test_only_these_styles_are_not_run_by_operations():
    """How a style is executed is stated in its file, and a new way, or a style that no one can look into, here."""
    found: dict[str, set[str]] = {}
    for framework, family, style in STYLES:
        loaded(framework)
        found.setdefault(frameworks.style(framework, family, style).execution, set()).add(
            f"{framework}.{family}.{style}"
        )
    del found["eager"]
    assert found == {
        "jit": {"jax.training.jit", "jax.matmul.jit", "jax.matmul.vmap", "jax.derivative.vmap"},
        "one program": {"jax.training.scan"},
        "graph": {
            *(f"tensorflow.{family}.function" for family in ("training", "matmul", "derivative")),
            *("tensorflow.training.graph", "tensorflow.training.keras"),
        },
        "xla": {"tensorflow.training.xla", "tensorflow.matmul.xla"},
        "inductor": {"torch.training.compiled"},
        "unknown": {"jax.matmul.broadcast", "torch.training.cuda_graph"},
    }


@pytest.mark.parametrize("file", sorted((ROOT / "gradperf").rglob("*.py")), ids=lambda f: str(f.relative_to(ROOT)))
def test_frameworks_are_imported_in_their_own_folder_alone(file):
    """``import torch`` is only allowed in ``gradperf/frameworks/torch``; the same for every framework but numpy."""
    names = set()
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            names.add((node.module or "").split(".")[0])
    own = file.relative_to(FRAMEWORKS).parts[0] if FRAMEWORKS in file.parents else ""
    assert (names & {*frameworks.names(), "keras"}) - {"numpy"} <= {own} | (
        {"keras"} if own == "tensorflow" else set()
    )


@pytest.mark.parametrize("framework", frameworks.names())
def test_folder_itself_imports_nothing(framework):
    """The facts in ``__init__.py`` must be readable without importing the framework."""
    tree = ast.parse((FRAMEWORKS / framework / "__init__.py").read_text())
    assert not [node for node in ast.walk(tree) if isinstance(node, (ast.Import, ast.ImportFrom))]


def test_case_ids_can_be_read_back():
    """A dash separates the parts of an id, so no name has one, and no two problems have the same name."""
    names = [problem.name for problem in problems.entries()]
    names += [part for style in STYLES for part in style]
    assert not [name for name in names if "-" in name or "." in name]
    problem_names = [problem.name for problem in problems.entries()]
    assert len(set(problem_names)) == len(problem_names)


def test_every_test_of_the_suite_names_a_family():
    """Each benchmark names its family and is short: a new case edits none of them."""
    for file in (ROOT / "perf").glob("test_*.py"):
        spec = importlib.util.spec_from_file_location(file.stem, file)
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        assert module.pytestmark.kwargs.keys() <= {"offers", "always"}
        assert module.pytestmark.args[0] in problems.families()
        assert len(file.read_text().splitlines()) <= 45
