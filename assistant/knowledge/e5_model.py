"""The file of `e5_weights` as an OpenVINO model: BERT of 12 layers, weights of 4 bits in groups of 32."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from .e5_weights import E5File


def convert(source: E5File, target: Path) -> None:
    """Write `target` (.xml, and .bin beside it): input_ids, attention_mask -> last_hidden_state."""
    import openvino as ov

    ov.save_model(_Graph(source).model(), target, compress_to_fp16=False)


class _Graph:
    def __init__(self, source: E5File):
        import numpy as np
        import openvino.opset13 as ops

        self.file, self.np, self.ops = source, np, ops
        self.kept: list[Any] = []  # constants do not own their memory

    def integers(self, *values: int) -> Any:
        return self.ops.constant(self.np.array(values, self.np.int64))

    def weight(self, name: str, columns: int) -> Any:
        import openvino as ov

        whole, scales = self.file.nibbles(name, columns)
        flat = whole.reshape(-1)
        tensor = ov.Tensor(ov.Type.u4, list(whole.shape))
        tensor.data.reshape(-1)[:] = flat[0::2] | (flat[1::2] << 4)
        self.kept.append(tensor)
        ops, np = self.ops, self.np
        value = ops.convert(ov.op.Constant(tensor, shared_memory=False), "f16")
        value = ops.multiply(ops.subtract(value, ops.constant(np.float16(8))), ops.constant(scales))
        value = ops.reshape(value, self.integers(whole.shape[0], columns), False)
        return ops.convert(value, "f32")

    def row(self, name: str) -> Any:
        return self.ops.constant(self.file.floats(name).reshape(1, 1, -1))

    def normalised(self, value: Any, name: str) -> Any:
        ops = self.ops
        mean = ops.mvn(value, self.integers(-1), True, self.file.epsilon, "inside_sqrt")
        return ops.add(ops.multiply(mean, self.row(name + ".w")), self.row(name + ".b"))

    def linear(self, value: Any, name: str, columns: int) -> Any:
        product = self.ops.matmul(value, self.weight(name + ".w", columns), False, True)
        return self.ops.add(product, self.row(name + ".b"))

    def by_head(self, value: Any) -> Any:
        width = self.file.width // self.file.heads
        split = self.ops.reshape(value, self.integers(0, 0, self.file.heads, width), True)
        return self.ops.transpose(split, self.integers(0, 2, 1, 3))

    def layer(self, value: Any, name: str, mask: Any) -> Any:
        ops, width = self.ops, self.file.width
        parts = [self.by_head(self.linear(value, name + part, width)) for part in "qkv"]
        seen = ops.transpose(
            ops.scaled_dot_product_attention(*parts, mask), self.integers(0, 2, 1, 3)
        )
        seen = ops.reshape(seen, self.integers(0, 0, width), True)
        value = self.normalised(ops.add(value, self.linear(seen, name + "ao", width)), name + "aln")
        inner = ops.gelu(self.linear(value, name + "fi", width), "erf")
        columns = self.file.floats(name + "fi.b").size
        return self.normalised(
            ops.add(value, self.linear(inner, name + "fo", columns)), name + "oln"
        )

    def embedded(self, ids: Any) -> Any:
        ops, np, width = self.ops, self.np, self.file.width
        words = ops.gather(self.weight("emb.word", width), ids, ops.constant(np.int32(0)))
        length = ops.gather(ops.shape_of(ids, "i64"), self.integers(1), self.integers(0))
        places = ops.constant(self.file.floats("emb.pos").reshape(1, -1, width))
        one = self.integers(1)
        places = ops.slice(places, self.integers(0), length, one, one)
        kind = ops.constant(self.file.floats("emb.type")[:width].reshape(1, 1, -1))
        return self.normalised(ops.add(ops.add(words, places), kind), "emb.ln")

    def model(self) -> Any:
        import openvino as ov

        ops, np = self.ops, self.np
        ids, mask = (
            ops.parameter([-1, -1], ov.Type.i64, name=name)
            for name in ("input_ids", "attention_mask")
        )
        ids.output(0).set_names({"input_ids"})
        mask.output(0).set_names({"attention_mask"})
        seen = ops.unsqueeze(ops.not_equal(mask, ops.constant(np.int64(0))), self.integers(1, 2))
        value = self.embedded(ids)
        for number in range(self.file.layers):
            value = self.layer(value, f"l{number}.", seen)
        result = ops.result(value)
        result.output(0).set_names({"last_hidden_state"})
        return ov.Model([result], [ids, mask], "multilingual-e5-small")
