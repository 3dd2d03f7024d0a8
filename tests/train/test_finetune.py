"""XTuner's model as this kit trains it: what rows share is computed once, where the model allows."""

from __future__ import annotations

import json
import logging
from pathlib import Path
from types import SimpleNamespace

import pytest

from train.data.render import IGNORED

pytestmark = pytest.mark.xdist_group("xtuner")

SMALL = {"vocab_size": 50, "hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4}
LLAMA = {**SMALL, "intermediate_size": 48, "num_key_value_heads": 2, "max_position_embeddings": 64}


def save(kind: str, folder: Path, **values: object) -> Path:
    import torch
    import transformers

    torch.manual_seed(0)
    config = getattr(transformers, f"{kind}Config")(**values)
    getattr(transformers, f"{kind}ForCausalLM")(config).save_pretrained(folder)
    return folder


def finetune(folder: Path, share_prefixes: bool, adapted: float = 1.0, recall: bool = False):
    import torch
    from peft import LoraConfig

    from train.trainer.xtuner_patches import mend

    mend()
    from train.trainer.finetune import Finetune, load_base

    torch.manual_seed(0)
    model = Finetune(
        llm={
            "type": load_base, "pretrained_model_name_or_path": str(folder),
            "dtype": torch.float32, "attn_implementation": "sdpa",
        },
        lora=LoraConfig(
            r=4, target_modules="all-linear" if adapted == 1 else None, task_type="CAUSAL_LM",
            lora_dropout=0.0,
        ),
        use_activation_checkpointing=False,
        share_prefixes=share_prefixes,
        adapted=adapted,
        recall=recall,
    )  # fmt: skip
    return model.train()


def batch(*rows: list[int], prompt: int):
    """Rows of which the tokens after the first `prompt` are learned, padded as XTuner pads them."""
    import torch

    longest = max(map(len, rows))
    ids = torch.zeros((len(rows), longest), dtype=torch.long)
    labels = torch.full_like(ids, IGNORED)
    seen = torch.zeros_like(ids, dtype=torch.bool)
    for number, row in enumerate(rows):
        ids[number, : len(row)] = torch.tensor(row)
        labels[number, prompt : len(row)] = torch.tensor(row[prompt:])
        seen[number, : len(row)] = True
    return {"input_ids": ids, "labels": labels, "attention_mask": seen}


BATCH = ([1, 2, 3, 4, 5, 9, 8], [1, 2, 3, 4, 5, 9, 8, 7, 6, 5], [1, 2, 3, 4, 6, 3])


def loss_and_gradients(model, data):
    model.zero_grad()
    loss = model.compute_loss(data)["loss"]
    loss.backward()
    found = {name: one.grad for name, one in model.named_parameters() if one.grad is not None}
    return loss.item(), found


def trees(model, monkeypatch) -> list[int]:
    """How many nodes each tree has that the model computes; the comparison's own is the first."""
    seen: list[int] = []
    real = model._loss_of_tree

    def counted(tree):
        seen.append(len(tree.tokens))
        return real(tree)

    monkeypatch.setattr(model, "_loss_of_tree", counted)
    return seen


def test_sharing_changes_neither_loss_nor_gradients(tmp_path, monkeypatch):
    import torch

    folder = save("Llama", tmp_path / "base", **LLAMA)
    data = batch(*BATCH, prompt=5)
    apart, shared = finetune(folder, False), finetune(folder, True)
    seen = trees(shared, monkeypatch)
    loss, gradients = loss_and_gradients(apart, data)
    same, others = loss_and_gradients(shared, data)
    assert seen == [5 + 2 + 5 + 1 + 1] * 2  # compared, then used
    assert same == pytest.approx(loss, rel=1e-5)
    assert gradients.keys() == others.keys() != set()
    for name, value in gradients.items():
        torch.testing.assert_close(others[name], value, rtol=1e-3, atol=1e-6)


def test_rows_that_share_nothing_are_left_as_they_are(tmp_path, monkeypatch):
    model = finetune(save("Llama", tmp_path / "base", **LLAMA), True)
    seen = trees(model, monkeypatch)
    for data in (batch(*BATCH, prompt=5), batch([1, 2, 3], [4, 5, 6], prompt=1)):
        model.compute_loss(data)
    assert seen == [14, 14]


def test_a_model_that_counts_distances_itself_is_trained_on_padded_rows(
    tmp_path, monkeypatch, caplog
):
    folder = save("Bloom", tmp_path / "base", **SMALL)
    data = batch(*BATCH, prompt=5)
    wanted, _ = loss_and_gradients(finetune(folder, False), data)
    model = finetune(folder, True)
    seen = trees(model, monkeypatch)
    with caplog.at_level(logging.WARNING):
        for _ in range(2):
            assert loss_and_gradients(model, data)[0] == wanted
    assert len(seen) == 1
    assert "Shared prefixes are not used" in caplog.text


@pytest.mark.parametrize(("window", "used"), [(9, 1), (10, 2)])
def test_rows_longer_than_a_sliding_window_are_not_shared(tmp_path, monkeypatch, window, used):
    model = finetune(save("Mistral", tmp_path / "base", **LLAMA, sliding_window=window), True)
    seen = trees(model, monkeypatch)
    model._compared = model._shares = True  # a window that no row of the first batch reaches
    seen.append(0)
    model.compute_loss(batch(*BATCH, prompt=5))
    assert len(seen) == used


def computed(model) -> list[int]:
    """The numbers of the layers that compute, as they do."""
    seen: list[int] = []
    for number, layer in enumerate(model._causal_model().base_model.layers):
        layer.register_forward_hook(lambda *_, number=number: seen.append(number))
    return seen


FOUR = {**LLAMA, "num_hidden_layers": 4}


def test_only_the_last_layers_get_an_adapter(tmp_path):
    model = finetune(save("Llama", tmp_path / "base", **FOUR), True, adapted=0.5)
    names = [name for name, one in model.named_parameters() if one.requires_grad]
    assert {int(name.split(".layers.")[1].split(".")[0]) for name in names} == {2, 3}
    assert len(names) == 2 * 2 * 7


@pytest.mark.parametrize("adapted", [0.5, 1.0])
def test_the_peer_of_the_bench_trains_the_same_weights(tmp_path, adapted):
    import torch

    folder = save("Llama", tmp_path / "base", **FOUR)
    ours = finetune(folder, True, adapted)
    from mmengine.config import ConfigDict

    from train.bench.plain import _model

    lora = {"type": "LoraConfig", "r": 4, "lora_alpha": 8, "task_type": "CAUSAL_LM", "bias": "none",
            "target_modules": "all-linear" if adapted == 1 else None}  # fmt: skip
    model = {"llm": {}, "lora": lora, "adapted": adapted}
    peer = _model(ConfigDict(base=str(folder), seed=0, model=model), torch.float32)

    def learned(model):
        return {name: one.shape for name, one in model.named_parameters() if one.requires_grad}

    assert learned(peer) == learned(ours.llm) != {}


def test_an_adapter_of_some_layers_is_written_as_peft_reads_it(tmp_path):
    import torch
    from peft import PeftModel
    from transformers import AutoModelForCausalLM

    from train.recipes import all_recipes
    from train.trainer.adapter import _write_peft

    folder = save("Llama", tmp_path / "base", **FOUR)
    model = finetune(folder, True, adapted=0.5).eval()
    with torch.no_grad():
        for name, one in model.named_parameters():
            if "lora_B" in name:
                one.normal_()
    learned = {
        name.removeprefix("llm."): one.detach()
        for name, one in model.named_parameters() if one.requires_grad
    }  # fmt: skip
    recipe = all_recipes()["cpu"].model_copy(
        update={"lora_layers": 0.5, "lora_rank": 4, "lora_alpha": 8}
    )
    (tmp_path / "adapter").mkdir()
    _write_peft(learned, tmp_path / "adapter", SimpleNamespace(public_reference="base"), recipe)
    config = json.loads((tmp_path / "adapter" / "adapter_config.json").read_text("utf-8"))
    assert config["layers_to_transform"] == [2, 3]
    base = AutoModelForCausalLM.from_pretrained(folder)
    read = PeftModel.from_pretrained(base, tmp_path / "adapter").eval()
    ids = torch.tensor([[1, 2, 3, 4]])
    with torch.no_grad():
        torch.testing.assert_close(read(ids).logits, model.llm(input_ids=ids).logits)
        with read.disable_adapter():
            assert not torch.allclose(read(ids).logits, model.llm(input_ids=ids).logits)


@pytest.mark.parametrize("kind", ["Llama", "Qwen2", "Qwen3", "Mistral"])
def test_layers_without_an_adapter_compute_a_batch_once(tmp_path, kind):
    import torch

    folder = save(kind, tmp_path / "base", **FOUR)
    data = batch(*BATCH, prompt=5)
    plain, recalling = (finetune(folder, True, 0.5, recall) for recall in (False, True))
    wanted, gradients = loss_and_gradients(plain, data)
    recalling.compute_loss(data)
    seen = computed(recalling)
    for _ in range(2):
        loss, found = loss_and_gradients(recalling, data)
        assert loss == pytest.approx(wanted, rel=1e-6)
        assert found.keys() == gradients.keys() != set()
        for name, value in gradients.items():
            torch.testing.assert_close(found[name], value, rtol=1e-4, atol=1e-7)
    assert seen == [2, 3] * 2
    other = batch(*[row[::-1] for row in BATCH], prompt=2)
    assert loss_and_gradients(recalling, other)[0] == pytest.approx(
        loss_and_gradients(plain, other)[0], rel=1e-6
    )
    assert seen == [2, 3] * 2 + [0, 1, 2, 3]


def test_what_is_beyond_the_memory_is_computed_anew(tmp_path, monkeypatch):
    model = finetune(save("Llama", tmp_path / "base", **FOUR), True, 0.5, recall=True)
    monkeypatch.setattr("train.trainer.recall.RECALLED_BYTES", 0)
    data = batch(*BATCH, prompt=5)
    first = model.compute_loss(data)["loss"].item()
    seen = computed(model)
    assert model.compute_loss(data)["loss"].item() == first
    assert seen == [0, 1, 2, 3]


def test_a_model_with_dropout_or_other_layers_computes_all_anew(tmp_path, caplog):
    dropping = finetune(
        save("Llama", tmp_path / "dropping", **FOUR, attention_dropout=0.1), True, 0.5, recall=True
    )
    bloom = finetune(save("Bloom", tmp_path / "bloom", **SMALL), True, 0.5, recall=True)
    assert dropping._recall is bloom._recall is None
    assert bloom.compute_loss(batch(*BATCH, prompt=5))["loss"].item() > 0


def test_layers_that_remember_wrong_are_noticed(tmp_path, monkeypatch, caplog):
    import torch

    model = finetune(save("Llama", tmp_path / "base", **FOUR), True, 0.5, recall=True)
    monkeypatch.setattr(
        "train.trainer.recall._StandIn.forward",
        lambda self, *_, **__: torch.zeros_like(self._hidden),
    )
    data = batch(*BATCH, prompt=5)
    with caplog.at_level(logging.WARNING):
        losses = [model.compute_loss(data)["loss"].item() for _ in range(2)]
    assert "Frozen layers are computed anew" in caplog.text
    assert losses[0] == pytest.approx(losses[1])
