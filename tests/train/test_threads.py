"""Training on a laptop in use: threads follow what is free, and points to go on from by time."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from types import SimpleNamespace

import pytest

from train.trainer import threads, waiting
from train.trainer.checkpoints import checkpoints, last_saved, resume_points
from train.trainer.command import environment, threads_are_set
from train.trainer.threads import OtherPrograms, ThreadCount, Threads
from train.trainer.watch import Watch
from train.trainer.xtuner_patches import mend


def test_threads_follow_the_cores_that_others_leave():
    count = ThreadCount(8)
    assert count.threads == 8
    assert count.after(0.2) == 8
    assert count.after(1.1) == 7
    assert count.after(9.0) == 1  # one at least
    assert count.after(0.0) == 1  # it may be a pause
    assert count.after(0.4) == 8  # it was none


def test_a_burst_between_two_looks_starts_the_waiting_anew():
    count = ThreadCount(2)
    assert [count.after(others) for others in (1.0, 0.0, 1.0, 0.0, 0.0)] == [1, 1, 1, 1, 2]


def test_what_others_compute_is_counted_and_ones_own_is_not(monkeypatch):
    monkeypatch.setattr(threads, "WINDOW", 0.5)
    burn = "import time; print(flush=True); end = time.time() + 60\nwhile time.time() < end: pass"
    others = OtherPrograms()
    with subprocess.Popen([sys.executable, "-c", burn], stdout=subprocess.PIPE) as beside:
        beside.stdout.readline()
        quiet = OtherPrograms()
        used = None
        while used is None:
            used = quiet.cores()  # computing oneself meanwhile
        beside.kill()
    assert used > 0.2  # of the core that it takes: this machine may be full of other tests
    assert others.cores() is not None


def test_the_watch_says_why_training_became_slower(tmp_path):
    prepared = SimpleNamespace(
        work=tmp_path, recipe=SimpleNamespace(accumulation=1, name="cpu"),
        plan=SimpleNamespace(steps=100, seconds=600.0),
    )  # fmt: skip
    scalars = tmp_path / "1" / "vis_data" / "scalars.json"
    scalars.parent.mkdir(parents=True)
    step = {"loss": 1.0, "lr": 0.001, "time": 10.0}
    scalars.write_text("".join(json.dumps(step | {"step": n}) + "\n" for n in (1, 2, 3)))
    said = []
    watch = Watch(prepared, lambda _: None, said.append)
    watch.look()
    assert said == []
    Threads(1, 2, 0.9).write(tmp_path)
    watch.look()
    watch.look()
    Threads(2, 2, 0.0).write(tmp_path)  # so soon after, nothing is said
    watch.look()
    assert [text.en for text in said] == [
        "Other programs use 0.9 of 2 cores: training goes on with 1. About 16 min left."
    ]
    assert said[0].zh == "其他程序占用 0.9 个核（共 2 个）：训练改用 1 个。约剩 16 分钟。"


def a_job(device="cpu"):
    return SimpleNamespace(dtype="float32", recipe=SimpleNamespace(device=device))


def test_an_own_number_of_threads_is_kept(monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "3")
    assert threads_are_set()
    assert environment(a_job("cuda"), 8)["OMP_NUM_THREADS"] == "3"
    monkeypatch.delenv("OMP_NUM_THREADS")
    assert not threads_are_set()
    assert environment(a_job("cuda"), 8)["OMP_NUM_THREADS"] == "8"


@pytest.fixture
def unknown_machine(tmp_path, monkeypatch):
    """Nothing measured yet and nothing chosen; what `_measured` finds is set by the test."""
    monkeypatch.setenv("ASSISTANT_HOME", str(tmp_path))
    monkeypatch.delenv("OMP_WAIT_POLICY")
    asked = []
    found = {}
    monkeypatch.setattr(waiting, "_measured", lambda *of: asked.append(of) or found)
    return SimpleNamespace(asked=asked, found=found)


@pytest.mark.skipif(sys.platform != "linux", reason="threads of libgomp")
@pytest.mark.parametrize("spinning", [0.5, 0.97])
def test_how_threads_wait_is_measured_once_for_a_machine(unknown_machine, spinning):
    unknown_machine.found |= {"asleep": 1.0, "spinning": spinning}
    chosen = waiting.WAYS["spinning" if spinning == 0.5 else "asleep"]
    for _ in range(2):
        assert environment(a_job(), 8).items() >= chosen.items()
    assert unknown_machine.asked == [("float32", 8)]
    waiting.waiting("bfloat16", 8)
    assert unknown_machine.asked[1:] == [("bfloat16", 8)]


@pytest.mark.skipif(sys.platform != "linux", reason="threads of libgomp")
def test_a_home_that_cannot_be_written_is_measured_for_all_the_same(
    unknown_machine, tmp_path, monkeypatch
):
    (tmp_path / "file").touch()
    monkeypatch.setenv("ASSISTANT_HOME", str(tmp_path / "file" / "home"))
    unknown_machine.found |= {"asleep": 1.0, "spinning": 0.5}
    for times in (1, 2):
        assert waiting.waiting("float32", 2) == waiting.WAYS["spinning"]
        assert len(unknown_machine.asked) == times


def test_a_busy_machine_waits_asleep_and_is_measured_again(unknown_machine):
    for times in (1, 2):
        assert waiting.waiting("float32", 2) == {"OMP_WAIT_POLICY": "PASSIVE"}
        assert len(unknown_machine.asked) == times


@pytest.mark.parametrize("variable", ["OMP_WAIT_POLICY", "GOMP_SPINCOUNT"])
def test_an_own_way_of_waiting_is_kept(unknown_machine, monkeypatch, variable):
    monkeypatch.setenv(variable, "1")
    assert waiting.waiting("float32", 8) == {}
    assert unknown_machine.asked == []


def test_steps_are_really_measured(monkeypatch):
    monkeypatch.setattr(waiting, "WAYS", {"asleep": {"OMP_WAIT_POLICY": "PASSIVE"}})
    monkeypatch.setattr(waiting, "ROUNDS", 1)
    monkeypatch.setattr(waiting, "QUIET", 1000)
    assert waiting._measured("float32", 1)["asleep"] > 0
    monkeypatch.setattr(waiting, "QUIET", -1)
    assert waiting._measured("float32", 1) == {}


def test_training_lets_other_programs_go_first():
    tried = (
        "import os\nfrom train.trainer.child import NICENESS, let_others_go_first\n"
        "before = os.nice(0)\nlet_others_go_first()\n"
        "print(os.nice(0) - before == min(NICENESS, 19 - before))"
    )
    done = subprocess.run(
        [sys.executable, "-c", tried], capture_output=True, text=True, start_new_session=True
    )
    assert done.stdout == "True\n", done.stderr


class Runner:
    """As much of mmengine's runner as the hooks use: it saves what a checkpoint is, a zip."""

    def __init__(self, folder):
        self.work_dir = str(folder)
        self.iter, self.max_iters = 0, 10
        self._train_loop = SimpleNamespace(stop_training=False)

    def save_checkpoint(self, folder, name, by_epoch):
        import torch

        torch.save({"iter": self.iter + 1}, os.path.join(folder, name))


@pytest.fixture
def hooks():
    """The module of hooks; mmengine and torch with it, which take 12 s of every worker's collecting."""
    mend()
    from train.trainer import hooks

    return hooks


@pytest.fixture
def passing_time(monkeypatch, hooks):
    """A clock that a test sets."""
    clock = SimpleNamespace(now=0.0)
    monkeypatch.setattr(hooks, "time", SimpleNamespace(monotonic=lambda: clock.now))
    return clock


def test_threads_are_fewer_from_the_first_step_beside_a_busy_program(hooks, tmp_path, monkeypatch):
    import torch

    before = torch.get_num_threads()
    runner = SimpleNamespace(work_dir=tmp_path, logger=SimpleNamespace(info=lambda _: None))
    hook = hooks.ThreadsHook(cores=4)
    monkeypatch.setattr(hook._others, "cores", lambda: 2.6)
    try:
        hook.before_train(runner)
        assert torch.get_num_threads() == 1
        assert Threads.read(tmp_path) == Threads(threads=1, cores=4, others=2.6)
    finally:
        torch.set_num_threads(before)


def test_the_last_two_points_in_time_are_kept_to_go_on_from(tmp_path, hooks, passing_time):
    runner = Runner(tmp_path)
    hook = hooks.ResumePointHook(seconds=120, every=8)
    for runner.iter in range(7):
        passing_time.now += 70
        hook.after_train_iter(runner, runner.iter)
    assert [one.iteration for one in resume_points(tmp_path)] == [4, 6]
    assert checkpoints(tmp_path) == []
    assert last_saved(tmp_path).path.name == "resume_6.pth"


def test_a_checkpoint_by_steps_is_a_point_in_time_too(tmp_path, hooks, passing_time):
    runner = Runner(tmp_path)
    hook = hooks.ResumePointHook(seconds=120, every=2)
    for runner.iter in range(9):
        passing_time.now += 70
        hook.after_train_iter(runner, runner.iter)
    assert resume_points(tmp_path) == []
