"""The house: which package may know which, and where a heavy library may be imported."""

import ast
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
    "numpy", "pandas", "matplotlib",
}  # fmt: skip
# Where a heavy library may stand at the top of a module: the page is all Gradio, and the classes that
# XTuner and mmengine build exist only in the training process, which has loaded these anyway.
ROOMS = {
    "assistant/ui": {"gradio"},
    "deploy/page": {"gradio"},
    "train/trainer/finetune.py": {"torch", "transformers", "peft", "xtuner"},
    "train/trainer/hooks.py": {"torch", "mmengine"},
}
COMMANDS = [
    ["app.py"],
    ["-m", "assistant"],
    ["-m", "assistant", "ask"],
    ["-m", "assistant", "bench"],
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


def test_the_page_knows_no_model_library():
    for file in modules("assistant/ui"):
        used = {name.split(".")[0] for name in imports(ast.parse(file.read_text("utf-8")), file)}
        assert not used & (HEAVY - {"gradio"}), file.name


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
