"""Everything that a hub can do wrong while a model goes up: message, exit code, and nothing published."""
# ruff: noqa: F401, F811  (fixtures come by import)

from __future__ import annotations

from collections.abc import Callable

import httpx
import pytest
import requests
from huggingface_hub.utils import hf_raise_for_status
from modelscope_hub.errors import raise_for_status
from servers.listening import nobody_listens
from servers.sharing import Fault, ShareServer
from sharing_fixtures import (
    TARGETS,
    TOKENS,
    clean_environment,
    deploy,
    hub,
    made_by_hand,
    plain_lfs,
    project,
    shared,
)

from assistant.errors import AssistantError, BlockedError, DamagedError, UsageError
from assistant.run import Run
from deploy.hubs.failures import explain, explain_output
from deploy.sharing.verify_published import verify_shared
from deploy.target import Target, parse_target

PUBLISH = r"POST .*(?:/commit/\S+|/git-receive-pack)$"


def refusal(hub: ShareServer, project, target: str) -> AssistantError:
    """The error that sharing ends with; nothing is published then, and no token is in its words."""
    made_by_hand(hub, target)
    with pytest.raises(AssistantError) as caught:
        shared(project, target)
    repos = hub.store.repos
    assert ("model", "me/bei") not in repos or hub.files("model", "me/bei") == {}
    assert not (project / "runs" / "default" / "deploy.json").exists()
    assert TOKENS["me"] not in str(caught.value) and caught.value.cure is not None
    return caught.value


@pytest.mark.parametrize("target", TARGETS)
def test_a_token_that_nobody_knows(hub, project, plain_lfs, monkeypatch, target):
    for name in ("HF_TOKEN", "MODELSCOPE_API_TOKEN", "OPENXLAB_GIT_TOKEN"):
        monkeypatch.setenv(name, "hf_wrong")
    error = refusal(hub, project, target)
    assert error.exit_code == 3 and "401" in str(error) and "hf_wrong" not in str(error)


def test_a_token_that_may_only_read(hub, project, plain_lfs):
    hub.read_only = {"me"}
    error = refusal(hub, project, "hf:me/bei")
    assert error.exit_code == 3 and "may only read" in str(error) and hub.writes() == []


@pytest.mark.parametrize("target", TARGETS[1:])
def test_a_token_that_may_not_write(hub, project, plain_lfs, target):
    hub.read_only = {"me"}
    error = refusal(hub, project, target)
    assert error.exit_code == 3 and "(403)" in str(error) and "write access" in str(error)


def test_a_visibility_that_could_not_be_read_is_not_taken_for_private(hub, project, plain_lfs):
    """OpenXLab tells visibility by who may list: a server in trouble says nothing about it."""
    hub.store.create("model", "me/bei", False)
    hub.faults = [Fault(r"GET .*/info/refs", status=503, times=1)]
    error = refusal(hub, project, "openxlab:me/bei")
    assert error.exit_code == 3 and "503" in str(error)


def test_somebody_elses_name(hub, project, plain_lfs):
    with pytest.raises(UsageError, match="hf:me/bei"):
        shared(project, "hf:you/bei")
    hub.orgs = {"me": ["you"]}
    assert shared(project, "hf:you/bei")[1].target == "hf:you/bei"


REFUSED = [
    (402, "paid plan"), (403, "does not let it write"), (409, "changed by someone else"),
    (412, "changed by someone else"), (413, "too large"), (429, "patience"),
    (500, "trouble of its own"), (507, "no room left"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("status", "said"), REFUSED[::3]
)  # one that the client refuses, and others
@pytest.mark.parametrize("target", TARGETS)
def test_a_refused_publication(hub, project, plain_lfs, target, status, said):
    hub.faults = [Fault(PUBLISH, status=status, message="for a reason")]
    error = refusal(hub, project, target)
    assert isinstance(error, BlockedError) and error.exit_code == 3
    assert said in str(error)


def as_huggingface_says(status: int, target: Target) -> AssistantError:
    request = httpx.Request("POST", "http://hub/api/models/me/bei/commit/main")
    answer = httpx.Response(status, json={"error": "for a reason"}, request=request)
    return explained(lambda: hf_raise_for_status(answer), target)


def as_modelscope_says(status: int, target: Target) -> AssistantError:
    answer = requests.Response()
    answer.status_code, answer._content = status, b'{"Message": "for a reason"}'
    answer.url = "http://hub/api/v1/repos/models/me/bei/commit/master"
    answer.request = requests.Request("POST", answer.url).prepare()
    return explained(lambda: raise_for_status(answer), target)


def explained(fails: Callable[[], object], target: Target) -> AssistantError:
    with pytest.raises(AssistantError) as caught:
        try:
            fails()
        except Exception as error:
            explain(error, target, "http://hub", None)
    return caught.value


def as_git_says(status: int, target: Target) -> AssistantError:
    said = (
        f"error: RPC failed; HTTP {status} curl 22 The requested URL returned error: {status}\n"
        "send-pack: unexpected disconnect while reading sideband packet\n"
        "fatal: the remote end hung up unexpectedly\n"
    )
    return explain_output(said, target, "http://hub", None)


@pytest.mark.parametrize(("status", "said"), REFUSED)
@pytest.mark.parametrize(
    ("client", "target"),
    zip([as_huggingface_says, as_modelscope_says, as_git_says], TARGETS, strict=True),
    ids=TARGETS,
)
def test_what_each_client_makes_of_a_status_is_understood(client, target, status, said):
    """The clients' own ways to tell a status, without a hub: `test_a_refused_publication` holds
    them to what the clients say on the way."""
    error = client(status, parse_target(target))
    assert isinstance(error, BlockedError) and error.exit_code == 3
    assert said in str(error)


@pytest.mark.parametrize("target", TARGETS)
def test_an_upload_that_never_gets_through(hub, project, plain_lfs, target):
    hub.faults = [Fault("PUT /lfs", status=503)]
    error = refusal(hub, project, target)
    assert error.exit_code == 3 and "trouble of its own" in str(error)


@pytest.mark.parametrize("target", TARGETS)
def test_no_room_on_the_hub(hub, project, plain_lfs, target):
    hub.faults = [Fault("PUT /lfs", status=507, message="Insufficient storage")]
    error = refusal(hub, project, target)
    assert error.exit_code == 3 and "no room left" in str(error)


@pytest.mark.parametrize("target", TARGETS)
def test_a_line_that_always_breaks(hub, project, plain_lfs, target):
    hub.faults = [Fault("PUT /lfs", cut_after=100_000)]
    error = refusal(hub, project, target)
    assert error.exit_code == 3 and "line broke" in str(error)


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("fault", [{"status": 503}, {"cut_after": 100_000}], ids=["503", "cut"])
def test_what_passes_is_tried_again(hub, project, plain_lfs, target, fault):
    made_by_hand(hub, target)
    hub.faults = [Fault("PUT /lfs", times=1, **fault)]
    _, result = shared(project, target)
    assert verify_shared(Run(project / "runs" / "default"), (), None)[0][1] == []
    assert result.commit and hub.faults[0].times == 0


@pytest.mark.parametrize("target", TARGETS)
def test_after_a_failure_only_the_rest_is_sent(hub, project, plain_lfs, target):
    hub.faults = [Fault(PUBLISH, status=500)]
    refusal(hub, project, target)
    received = hub.received
    hub.faults = []
    shared(project, target)
    assert hub.received == received > 2 << 20


@pytest.mark.parametrize("target", TARGETS)
def test_a_hub_that_is_not_there(hub, project, plain_lfs, monkeypatch, target):
    with nobody_listens() as address:
        for name in ("HF_ENDPOINT", "MODELSCOPE_ENDPOINT", "OPENXLAB_ENDPOINT"):
            monkeypatch.setenv(name, address)
        error = refusal(hub, project, target)
    assert error.exit_code == 3 and "Check the network" in str(error)


def test_a_byte_that_turns_on_the_way_is_found(hub, project, plain_lfs):
    hub.faults = [Fault("PUT /lfs", flip=True)]
    shared(project, "hf:me/bei")  # this hub takes our word for the hash
    ((_, found),) = verify_shared(Run(project / "runs" / "default"), (), None, download=True)
    assert [one.problem for one in found] == ["damaged"]


DELIVERY = r"GET (?:/me/bei/resolve/\S+/model\.safetensors|/api/v1/models/me/bei/repo|/lfs/\w+)$"


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("status", [401, 503])
def test_what_is_not_given_is_not_called_damaged(hub, project, plain_lfs, target, status):
    made_by_hand(hub, target)
    shared(project, target)
    hub.faults = [Fault(DELIVERY, status=status)]
    said = (
        "could not be downloaded" if target.startswith("openxlab") else str(status)
    )  # git-lfs's words
    with pytest.raises(BlockedError, match=said) as caught:
        verify_shared(Run(project / "runs" / "default"), (), None, download=True)
    assert caught.value.exit_code == 3 and not isinstance(caught.value, DamagedError)


def test_verify_tells_what_differs_from_what_is_not_given(hub, project, plain_lfs):
    shared(project, "hf:me/bei")
    hub.faults = [Fault(DELIVERY, status=403)]
    done = deploy(project, "verify", "--download", check=3)
    assert "(403)" in done.stderr and "differs" not in done.stderr
    hub.faults = []
    hub.store.flip("model", "me/bei", "model.safetensors")
    done = deploy(project, "verify", "--download", check=1)
    assert "what is delivered differs" in done.stderr


@pytest.mark.parametrize("target", TARGETS[:2])
def test_a_name_that_was_taken_meanwhile(hub, project, plain_lfs, target):
    hub.faults = [
        Fault(r"POST /api/(?:repos/create|v1/models)$", status=409, message="exists already")
    ]
    error = refusal(hub, project, target)
    assert error.exit_code == 3 and "409" in str(error)


@pytest.mark.parametrize("target", TARGETS)
def test_a_repository_that_moved_after_the_plan(hub, project, plain_lfs, monkeypatch, target):
    branch = "master" if target.startswith("modelscope") else "main"
    repo = hub.store.create("model", "me/bei", True, branch)
    hub.store.commit(repo, {"a.txt": b"1"}, [], "first")

    from deploy.sharing import share

    plain = share.plan_files

    def moving(*arguments, **named):
        plan = plain(*arguments, **named)
        hub.store.commit(repo, {"a.txt": b"2"}, [], "second")
        return plan

    monkeypatch.setattr(share, "plan_files", moving)
    with pytest.raises(BlockedError, match="changed after the plan"):
        shared(project, target)
    assert hub.received == 0 and hub.files("model", "me/bei") == {"a.txt": b"2"}


def test_the_command_says_it_in_chinese_with_its_exit_code(hub, project, monkeypatch, plain_lfs):
    monkeypatch.setenv("ASSISTANT_LANG", "zh")
    hub.faults = [Fault(PUBLISH, status=402, message="Payment Required")]
    done = deploy(project, "model", "--to", "hf:me/bei", "--yes", check=3)
    assert "要求付费（402）" in done.stderr and "Traceback" not in done.stderr
