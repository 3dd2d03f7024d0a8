import socket
from pathlib import Path

import pytest

from assistant.errors import BlockedError, UsageError
from assistant.serving.listen import (
    OPENXLAB_FOLDER,
    ListenAddress,
    choose_port,
    find_place,
    refuse_taken_port,
)


def place(
    environment=None, folder=Path("/somewhere"), address=None, port=None, root=None, public=False
):
    return find_place(address, port, root, public, environment or {}, folder)


def test_alone_it_binds_to_loopback_and_is_the_owners():
    assert place() == ListenAddress("own", "127.0.0.1", 7860, "", public=False, behind_proxy=False)
    assert place().loopback


@pytest.mark.parametrize(
    ("environment", "folder", "name"),
    [
        ({"SPACE_ID": "me/app"}, Path("/app"), "huggingface"),
        ({"MODELSCOPE_ENVIRONMENT": "studio"}, Path("/app"), "modelscope"),
        ({}, OPENXLAB_FOLDER / "app", "openxlab"),
    ],
)
def test_a_known_host_is_public_on_all_addresses(environment, folder, name):
    assert place(environment, folder) == ListenAddress(name, "0.0.0.0", 7860, "", True, True)


def test_flags_beat_the_environment():
    environment = {
        "GRADIO_SERVER_NAME": "0.0.0.0",
        "GRADIO_SERVER_PORT": "9000",
        "GRADIO_ROOT_PATH": "/a/",
    }
    assert place(environment) == ListenAddress("own", "0.0.0.0", 9000, "/a", True, False)
    chosen = place(environment, address="127.0.0.1", port=9001, root="/b")
    assert chosen == ListenAddress("own", "127.0.0.1", 9001, "/b", False, False)


def test_a_page_others_can_reach_is_public():
    assert place(address="0.0.0.0").public
    assert not place(address="::1").public
    assert not place(address="localhost").public
    assert place(public=True).public


@pytest.mark.parametrize("root", ["", "/", "/a", "/我的/页", "https://example.org/a", "/a.b/~c/"])
def test_paths_below_which_a_page_can_lie(root):
    assert place(root=root).root_path == root.rstrip("/")


@pytest.mark.parametrize(
    ("root", "cure"),
    [("bei", "/bei"), ("x y", "/x-y"), ("/a?b=1", "/a"), ("/a b/#c", "/a-b"), ("ht!tp:/x", "/ht-tp-/x"), ("?", "/")],
)  # fmt: skip
def test_a_root_path_that_is_none_is_refused_with_one_that_is(root, cure):
    for how in ({"root": root}, {"environment": {"GRADIO_ROOT_PATH": root}}):
        with pytest.raises(UsageError) as refused:
            place(**how)
        name = "--root-path " if "root" in how else "GRADIO_ROOT_PATH="
        assert refused.value.cure.en == f"Begin it with a slash: {name}{cure}"
        assert place(root=cure).root_path == cure.rstrip("/")


def test_a_port_that_is_none_is_refused():
    with pytest.raises(UsageError, match="GRADIO_SERVER_PORT=x"):
        place({"GRADIO_SERVER_PORT": "x"})


def test_port_0_becomes_a_free_one_and_another_port_stays():
    chosen, held = choose_port(place(port=0))
    with held, socket.create_server(("127.0.0.1", chosen.port)):  # this program may listen there
        assert chosen == place(port=chosen.port)
        assert chosen.port > 0
        with pytest.raises(BlockedError, match=f"Port {chosen.port}"):
            refuse_taken_port(chosen)
    assert choose_port(place(port=9001))[0] == place(port=9001)
    assert place({"GRADIO_SERVER_PORT": "0"}).port == 0


@pytest.mark.parametrize("address", ["\u200b", "nowhere.invalid", "203.0.113.9", "x" * 300, "a..b"])
def test_a_host_that_is_not_this_machine_is_refused(address):
    with pytest.raises(UsageError, match="is not an address of this machine"):
        refuse_taken_port(ListenAddress("own", address, 0, "", False, False))
