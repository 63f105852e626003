"""The rules of the house, as tests: floors, exports, classes, documentation, length."""

import ast
import importlib.util
import inspect
import re
import sys
from pathlib import Path

import equinox as eqx
import pytest

_SPEC = importlib.util.spec_from_file_location(
    "rules_source", Path(__file__).with_name("source.py")
)
assert _SPEC is not None
assert _SPEC.loader is not None
source = importlib.util.module_from_spec(_SPEC)
sys.modules["rules_source"] = source
_SPEC.loader.exec_module(source)

# Bottom to top; packages in one row do not see each other.
FLOORS = [
    ["ground"],
    ["memory", "records"],
    ["systems"],
    ["layers", "earth"],
    ["hybrid"],
    ["theory", "assimilate"],
    ["parallel"],
    ["fit"],
    ["watch"],
    ["report"],
    ["cli"],
]
HEIGHT = {name: height for height, row in enumerate(FLOORS) for name in row}


def _imports(path: Path) -> list[tuple[int, str]]:
    found = []
    for node in ast.walk(source.tree(path)):
        if isinstance(node, ast.Import):
            found += [(node.lineno, alias.name) for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module and node.level == 0:
            found.append((node.lineno, node.module))
    return found


def test_every_package_has_a_floor():
    packages = {p.parent.name for p in source.SOURCE.glob("*/__init__.py")}
    assert packages <= set(HEIGHT)


@pytest.mark.parametrize("path", source.source_files(), ids=source.module_name)
def test_imports_go_down_only(path):
    here = path.relative_to(source.SOURCE).parts[0]
    if here not in HEIGHT:
        return  # the door of the package itself imports nothing
    for line, name in _imports(path):
        parts = name.split(".")
        if parts[0] != "slipstate" or len(parts) < 2 or parts[1] == here:
            continue
        assert HEIGHT[parts[1]] < HEIGHT[here], f"{path}:{line} imports {name}"


@pytest.mark.parametrize("path", source.source_files(), ids=source.module_name)
def test_no_file_is_longer_than_350_lines(path):
    assert len(path.read_text(encoding="utf-8").splitlines()) <= 350


@pytest.mark.parametrize("path", source.source_files(), ids=source.module_name)
def test_names_say_what_is_inside(path):
    forbidden = {"utils", "util", "helpers", "helper", "common", "misc"}
    assert path.stem not in forbidden


@pytest.mark.parametrize("path", source.source_files(), ids=source.module_name)
def test_nothing_is_unpickled_and_nothing_is_passed_through(path):
    for node in ast.walk(source.tree(path)):
        if isinstance(node, ast.Import | ast.ImportFrom):
            module = getattr(node, "module", None) or ""
            names = {alias.name for alias in node.names} | {module}
            assert not names & {"pickle", "cloudpickle", "dill", "shelve"}
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            passed = node.args.kwarg
            # a decorator hands on exactly what its function declares
            declared = passed and passed.annotation and ast.unparse(passed.annotation)
            assert passed is None or declared == "P.kwargs", (
                f"{path}:{node.lineno} takes **kwargs"
            )
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
            assert node.func.id not in {"hasattr", "super", "eval", "exec"} or (
                node.func.id == "super" and "errors" in path.stem
            ), f"{path}:{node.lineno} calls {node.func.id}"


@pytest.mark.parametrize("module", source.modules(), ids=lambda m: m.__name__)
def test_exports_exist_and_are_complete(module):
    if not module.__file__.endswith("__init__.py"):
        return
    public = {
        name
        for name, value in vars(module).items()
        if not name.startswith("_")
        and not inspect.ismodule(value)
        and getattr(value, "__module__", "").startswith("slipstate")
    }
    exported = set(getattr(module, "__all__", ()))
    assert public <= exported
    for name in exported:
        getattr(module, name)
    assert list(getattr(module, "__all__", ())) == sorted(exported)


def _is_abstract(cls: type) -> bool:
    return inspect.isabstract(cls) or bool(getattr(cls, "__abstractvars__", ()))


def _module_classes() -> list[type]:
    return [cls for cls in source.classes() if issubclass(cls, eqx.Module)]


@pytest.mark.parametrize("cls", _module_classes(), ids=lambda c: c.__qualname__)
def test_a_class_is_abstract_or_final(cls):
    named = cls.__name__.lstrip("_").startswith("Abstract")
    assert named == _is_abstract(cls), "the name must say whether the class is abstract"
    for base in cls.__mro__[1:]:
        if base is cls or not issubclass(base, eqx.Module) or base is eqx.Module:
            continue
        if base.__module__.startswith("slipstate"):
            assert base.__name__.startswith("Abstract"), f"{cls} extends a leaf: {base}"
            for name, value in vars(base).items():
                concrete = inspect.isfunction(value) and not getattr(
                    value, "__isabstractmethod__", False
                )
                if concrete and not name.startswith("__"):
                    assert getattr(cls, name) is value, f"{cls} overrides {base}.{name}"


def _public_functions() -> list[tuple[str, object]]:
    found = []
    for module in source.modules():
        for name, value in vars(module).items():
            if name.startswith("_") or not inspect.isfunction(value):
                continue
            if value.__module__ == module.__name__:
                found.append((f"{module.__name__}.{name}", value))
    return found


@pytest.mark.parametrize("item", _public_functions(), ids=lambda item: item[0])
def test_documented_parameters_exist(item):
    """What `Args:` names must be a parameter; a long signature must be documented."""
    name, function = item
    text = inspect.getdoc(function) or ""
    assert text, f"{name} has no docstring"
    parameters = [p for p in inspect.signature(function).parameters if p != "self"]
    section = re.search(r"^Args:\n((?:[ \t]+.*\n?|\n)+)", text, re.MULTILINE)
    if section is None:
        assert len(parameters) <= 3, f"{name} documents none of {parameters}"
        return
    named = re.findall(r"^ {4}\*{0,2}(\w+)(?: \(.*\))?:", section[1], re.MULTILINE)
    assert set(named) == set(parameters), f"{name} documents {named}"


@pytest.mark.parametrize("cls", source.classes(), ids=lambda c: c.__qualname__)
def test_documented_fields_exist(cls):
    assert cls.__doc__, f"{cls} has no docstring"
    if not issubclass(cls, eqx.Module) or cls.__name__.startswith("_"):
        return
    own = [n for n in inspect.get_annotations(cls) if not n.startswith("_")]
    for field in own:
        assert re.search(rf"^\s+{field}(, \w+)*:|, {field}[,:]", cls.__doc__, re.M), (
            f"{cls.__qualname__} does not document its field {field}"
        )
