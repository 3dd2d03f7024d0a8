"""The house: which package and room may know which, and where a heavy library may be imported."""

import ast
import functools
import graphlib
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PACKAGES = ("assistant", "train", "deploy")
MAY_IMPORT = {
    "assistant": {"assistant"},
    "train": {"assistant", "train"},
    "deploy": {"assistant", "deploy"},
}
HEAVY = {
    "torch", "transformers", "peft", "bitsandbytes", "xtuner", "mmengine", "lmdeploy", "datasets",
    "openvino", "openvino_genai", "optimum", "gradio", "huggingface_hub", "modelscope_hub", "openai",
    "numpy", "pandas", "matplotlib", "kreuzberg", "tokenizers",
}  # fmt: skip
# Where a heavy library may stand at the top of a module: the page is all Gradio, and the classes that
# XTuner and mmengine build exist only in the training process, which has loaded these anyway.
ROOMS = {
    "assistant/ui": {"gradio"},
    "deploy/page": {"gradio"},
    "train/page": {"gradio"},
    "train/trainer/finetune.py": {"torch", "transformers", "peft", "xtuner"},
    "train/trainer/hooks.py": {"torch", "mmengine"},
    "train/trainer/recall.py": {"torch"},
    "train/trainer/sampler.py": {"torch", "xtuner"},
}
COMMANDS = [
    ["app.py"],
    ["-m", "assistant"],
    ["-m", "assistant", "ask"],
    ["-m", "assistant", "bench"],
    ["-m", "assistant", "serve"],
    ["-m", "deploy"],
    ["-m", "deploy", "model"],
]


def modules(package: str) -> list[Path]:
    return sorted((ROOT / package).rglob("*.py"))


def imports(tree: ast.AST, file: Path) -> set[str]:
    """Full names of what is imported; relative imports resolved."""
    names = set()
    package = file.relative_to(ROOT).with_suffix("").parts[:-1]
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            base = ".".join(package[: len(package) - node.level + 1]) if node.level else ""
            names.add(".".join(part for part in (base, node.module or "") if part))
    return names


def top_level_imports(tree: ast.Module, file: Path) -> set[str]:
    """Imports that run when the module is imported: not those inside functions or TYPE_CHECKING."""
    kept = []
    stack = list(tree.body)
    while stack:
        node = stack.pop()
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            continue
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
            continue
        if isinstance(node, (ast.Import, ast.ImportFrom)):
            kept.append(node)
        stack += [child for child in ast.iter_child_nodes(node) if isinstance(child, ast.stmt)]
    return imports(ast.Module(body=kept, type_ignores=[]), file)


@pytest.mark.parametrize("package", PACKAGES)
def test_packages_import_only_what_they_may(package):
    files = modules(package)
    assert files, package
    for file in files:
        names = imports(ast.parse(file.read_text("utf-8")), file)
        used = {name.split(".")[0] for name in names}
        strangers = used & set(PACKAGES) - MAY_IMPORT[package]
        assert not strangers, f"{file.relative_to(ROOT)} imports {strangers}"


def dotted(file: Path) -> str:
    """A module's full name; a package's for its __init__.py."""
    parts = file.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


@functools.cache
def import_graph() -> dict[str, set[str]]:
    """Which modules of the house each module imports, also inside functions."""
    files = {dotted(file): file for package in PACKAGES for file in modules(package)}
    graph = {}
    for name, file in files.items():
        tree = ast.parse(file.read_text("utf-8"))
        used = imports(_without_type_checking(tree), file)
        used |= {
            f"{base}.{alias.name}"
            for node in ast.walk(_without_type_checking(tree))
            if isinstance(node, ast.ImportFrom)
            for base in imports(ast.Module(body=[node], type_ignores=[]), file)
            for alias in node.names
        }
        graph[name] = {
            module for module in used & set(files) - {name} if not _is_face(module, used)
        }
    return graph


def _is_face(package: str, used: set[str]) -> bool:
    """Whether it is named only as the way to one of its modules (`from ..hubs import stage`)."""
    return (
        any(other.startswith(package + ".") for other in used)
        and (ROOT / package.replace(".", "/")).is_dir()
    )


def _without_type_checking(tree: ast.Module) -> ast.Module:
    class Cut(ast.NodeTransformer):
        def visit_If(self, node: ast.If) -> ast.AST | None:
            return None if ast.unparse(node.test) == "TYPE_CHECKING" else self.generic_visit(node)

    return Cut().visit(ast.parse(ast.unparse(tree)))


def test_no_class_name_stands_for_three_things():
    where: dict[str, list[str]] = {}
    for file in [file for package in PACKAGES for file in modules(package)]:
        for node in ast.walk(ast.parse(file.read_text("utf-8"))):
            if isinstance(node, ast.ClassDef):
                where.setdefault(node.name, []).append(file.relative_to(ROOT).as_posix())
    assert {"Engine", "Persona"} <= set(where)
    assert not {name: files for name, files in where.items() if len(files) > 2}


def test_no_modules_import_each_other_in_a_circle():
    graphlib.TopologicalSorter(import_graph()).prepare()


def test_no_rooms_import_each_other_in_a_circle():
    """A room is a folder of a package; what lies beside them is a room of its own. `settings` is where
    the tables of all rooms meet."""

    def room(module: str) -> str:
        parts = module.split(".")[:2]
        return ".".join(parts)

    rooms: dict[str, set[str]] = {}
    for module, used in import_graph().items():
        others = {room(other) for other in used if not other.endswith("settings")}
        rooms.setdefault(room(module), set()).update(others - {room(module)})
    assert {"assistant.serving", "train.data", "deploy.sharing"} <= set(rooms)
    graphlib.TopologicalSorter(rooms).prepare()


@pytest.mark.parametrize(
    ("room", "stranger"),
    [
        ("assistant.serving", "assistant.ui"),
        ("assistant.serving", "assistant.api"),
        ("assistant.api", "assistant.ui"),
        ("assistant.knowledge", "assistant.ui"),
        ("assistant.engines", "assistant.serving"),
        ("assistant.models", "assistant.engines"),
        ("train.base", "train.data"),
        ("train.data", "train.trainer"),
        ("train.trainer", "train.check"),
        ("deploy.hubs", "deploy.sharing"),
        ("deploy.sharing", "deploy.apps"),
    ],
)
def test_a_room_knows_none_above_it(room, stranger):
    graph = import_graph()
    assert any(name.startswith(stranger + ".") for name in graph)
    for module, used in graph.items():
        if module.startswith(room):
            assert not [name for name in used if name.startswith(stranger)], module


@pytest.mark.parametrize("package", PACKAGES)
def test_heavy_libraries_are_imported_inside_functions(package):
    for file in modules(package):
        relative = file.relative_to(ROOT).as_posix()
        allowed = {
            name for room, names in ROOMS.items() if relative.startswith(room) for name in names
        }
        tree = ast.parse(file.read_text("utf-8"))
        found = {name.split(".")[0] for name in top_level_imports(tree, file)} & HEAVY - allowed
        assert not found, f"{relative} imports {found} at its top"


def test_engines_know_no_page_no_styles_no_files():
    files = [file for file in modules("assistant/engines") if file.name != "__init__.py"]
    assert len(files) >= 4
    for file in files:
        used = imports(ast.parse(file.read_text("utf-8")), file)
        for stranger in (
            "gradio",
            "tomlkit",
            "assistant.ui",
            "assistant.persona",
            "assistant.config",
        ):
            assert not any(name.startswith(stranger) for name in used), (file.name, stranger)


@pytest.mark.parametrize(
    ("room", "allowed"), [("ui", {"gradio"}), ("api", set()), ("serving", set())]
)
def test_what_serves_knows_no_model_library_and_only_the_page_gradio(room, allowed):
    files = modules(f"assistant/{room}")
    assert len(files) > 5
    for file in files:
        used = {name.split(".")[0] for name in imports(ast.parse(file.read_text("utf-8")), file)}
        assert not used & (HEAVY - allowed), file.name


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_help_loads_no_heavy_library(command):
    code = (
        "import runpy, sys\n"
        f"sys.argv = {[*command, '--help']!r}\n"
        "try:\n"
        "    if sys.argv[0] == '-m':\n"
        "        del sys.argv[0]\n"
        "        runpy.run_module(sys.argv[0], run_name='__main__', alter_sys=True)\n"
        "    else:\n"
        "        runpy.run_path(sys.argv[0], run_name='__main__')\n"
        "except SystemExit as done:\n"
        "    assert not done.code, done.code\n"
        f"print(sorted({HEAVY!r} & set(sys.modules)))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert done.stdout.splitlines()[-1] == "[]", done.stdout
    assert "--help" in done.stdout


def test_the_suites_groups_hold(request):
    """pytest-xdist marks a test's group in its name; without it every worker makes all fixtures."""
    if not request.config.getoption("loadgroup", False):
        pytest.skip("the tests run in one process")
    assert request.node.nodeid.endswith("@test_structure")
