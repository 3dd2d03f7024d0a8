"""Order of the suite over its workers: heavy groups first, and what shares fixtures stays together.

pytest-xdist's `--dist loadgroup` gives each `xdist_group` to one worker whole, in the order of
collection. A file without a mark is a group of its own, so that its fixtures are made once.
`TEST_ORDER_SEED=7` shuffles the files of a group and the tests of a file, to find hidden order.
"""

from __future__ import annotations

import os
import random
import sys

import pytest

# Seconds of every worker's collecting each: what needs them imports them in a test or a fixture.
NOT_WHILE_COLLECTING = ("torch", "transformers", "mmengine", "openvino", "lmdeploy")
# Longest first (measured with `--durations=0` on two cores): the last to end decides the whole.
LONGEST_FIRST = (
    "browser",
    "train",
    "xtuner",
    "operations",
    "engines",
    "readme",
    "check",
    "test_requirements",
    "lmdeploy",
    "test_deploy_hubs",
    "models",
    "test_deploy_page",
    "test_deploy_faults",
    "test_identity_data",
    "test_deploy_apps",
    "test_remote",
    "test_data_generate",
    "test_outside",
    "test_data_import",
    "test_data_lint",
)


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Name each item's group and sort by it; inside a group files stay together."""
    for item in items:
        if item.get_closest_marker("xdist_group") is None:
            item.add_marker(pytest.mark.xdist_group(item.path.stem))
    chance = random.Random(os.environ.get("TEST_ORDER_SEED", 0))
    if "TEST_ORDER_SEED" in os.environ:
        chance.shuffle(items)
        first = {item.path: number for number, item in reversed(list(enumerate(items)))}
        items.sort(key=lambda item: first[item.path])
    items.sort(key=_rank)


def pytest_collection_finish() -> None:
    """Refuse a test file that imports a heavy library at its top."""
    loaded = [name for name in NOT_WHILE_COLLECTING if name in sys.modules]
    if loaded:
        raise pytest.UsageError(
            f"a test file imports {', '.join(loaded)} at its top: import it in a test or a fixture "
            "(`pytest --collect-only FILE` of each finds which)"
        )


def _rank(item: pytest.Item) -> tuple[int, str]:
    name = group_of(item)
    known = LONGEST_FIRST.index(name) if name in LONGEST_FIRST else len(LONGEST_FIRST)
    return known, name


def group_of(item: pytest.Item) -> str:
    """Name of the item's `xdist_group`."""
    mark = item.get_closest_marker("xdist_group")
    return str(mark.args[0] if mark.args else mark.kwargs["name"])
