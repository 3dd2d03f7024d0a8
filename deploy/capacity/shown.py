"""The plan in words, every step of its arithmetic on a line of its own."""

from __future__ import annotations

from typing import Any

from assistant.words import Text

from .estimate import CACHE_SHARE_LIMIT, GB, HOURS_PER_MONTH, RESERVED_GB, Capacity
from .gpus import Gpu
from .model import ModelShape


def plan_lines(
    model: ModelShape, gpu: Gpu, way: Capacity, price_per_hour: float | None
) -> list[Text]:
    """The lines of the plan, from the model's figures to the cost."""
    wanted = way.wanted
    weights, read = model.weight_bytes(wanted.weight_bits), model.read_bytes(wanted.weight_bits)
    kv, bits = model.kv_bytes(wanted.kv_bits), wanted.weight_bits
    batch, speed = way.per_copy, gpu.bandwidth_gb_s * GB * wanted.efficiency
    reading = (read + batch * wanted.context * kv) / (way.tp * speed)
    computing = 2 * model.multiplied() * batch / (way.tp * gpu.tflops * 1e12 * wanted.efficiency)
    lines = [
        Text(f"model       {model.name}: {model.parameters / 1e9:.3f} B parameters, {model.layers} layers, "
             f"{model.kv_heads} of {model.heads} heads keep a cache, head size {model.head_dim}",
             f"模型        {model.name}：{model.parameters / 1e9:.3f} B 参数，{model.layers} 层，"
             f"{model.heads} 个头里 {model.kv_heads} 个 KV 头，头宽 {model.head_dim}"),
        Text(f"GPU         {gpu.name}: {gpu.memory_gb:g} GB, {gpu.bandwidth_gb_s:g} GB/s, {gpu.tflops:g} TFLOPS ({gpu.source})",
             f"GPU         {gpu.name}：{gpu.memory_gb:g} GB，{gpu.bandwidth_gb_s:g} GB/s，{gpu.tflops:g} TFLOPS（{gpu.source}）"),
        Text(f"assumed     {wanted.efficiency:.0%} of the GPU's figures is reached; {RESERVED_GB:g} GB of each is not ours; "
             f"at most {CACHE_SHARE_LIMIT:.0%} of what is free becomes cache",
             f"假设        能达到 GPU 标称值的 {wanted.efficiency:.0%}；每块另占 {RESERVED_GB:g} GB；"
             f"空闲显存最多 {CACHE_SHARE_LIMIT:.0%} 作缓存"),
        Text(f"weights     {weights / GB:.2f} GB at {bits} bits, of which a step reads {read / GB:.2f} GB",
             f"权重        {bits} 位共 {weights / GB:.2f} GB，每步读取 {read / GB:.2f} GB"),
        Text(f"cache       2 x {model.layers} x {model.kv_heads} x {model.head_dim} x {wanted.kv_bits} bits = {kv / 1024:.1f} KiB a token; "
             f"x {wanted.context} tokens = {kv * wanted.context / GB:.3f} GB an answer",
             f"KV 缓存     2 x {model.layers} x {model.kv_heads} x {model.head_dim} x {wanted.kv_bits} 位 = 每 token {kv / 1024:.1f} KiB；"
             f"x {wanted.context} token = 每个回答 {kv * wanted.context / GB:.3f} GB"),
        Text(f"free        {way.tp} x ({gpu.memory_gb:g} - {RESERVED_GB:g}) - {weights / GB:.2f} = {way.free_bytes / GB:.2f} GB",
             f"空闲显存    {way.tp} x ({gpu.memory_gb:g} - {RESERVED_GB:g}) - {weights / GB:.2f} = {way.free_bytes / GB:.2f} GB"),
        Text(f"batch       memory allows {way.batch_by_memory} answers at once on a copy, {wanted.tokens_per_second:g} tokens/s each allows {way.batch_by_speed}",
             f"批大小      每份模型：显存允许同时 {way.batch_by_memory} 个回答，每人每秒 {wanted.tokens_per_second:g} token 允许 {way.batch_by_speed} 个"),
        Text(f"copies      {wanted.users} answers / {min(way.batch_by_memory, way.batch_by_speed)} = {way.replicas} copies, {batch} answers each",
             f"份数        {wanted.users} 个回答 / {min(way.batch_by_memory, way.batch_by_speed)} = {way.replicas} 份，每份 {batch} 个"),
        Text(f"step        read ({read / GB:.2f} + {batch} x {kv * wanted.context / GB:.3f}) GB / ({way.tp} x {speed / GB:.0f} GB/s) = {reading * 1e3:.2f} ms; "
             f"compute 2 x {model.multiplied() / 1e9:.3f} B x {batch} / ({way.tp} x {gpu.tflops * wanted.efficiency:.0f} TFLOPS) = {computing * 1e3:.2f} ms; the slower counts",
             f"每步        读取 ({read / GB:.2f} + {batch} x {kv * wanted.context / GB:.3f}) GB / ({way.tp} x {speed / GB:.0f} GB/s) = {reading * 1e3:.2f} ms；"
             f"计算 2 x {model.multiplied() / 1e9:.3f} B x {batch} / ({way.tp} x {gpu.tflops * wanted.efficiency:.0f} TFLOPS) = {computing * 1e3:.2f} ms；取较慢的"),
        Text(f"speed       1 / {way.step * 1e3:.2f} ms = {way.per_user:.1f} tokens/s for each, x {wanted.users} = {way.total:.0f} for all; "
             f"a prompt of {wanted.context // 2} tokens is read in {way.first_token:.2f} s",
             f"速度        1 / {way.step * 1e3:.2f} ms = 每人每秒 {way.per_user:.1f} token，x {wanted.users} = 合计 {way.total:.0f}；"
             f"读完 {wanted.context // 2} token 的提示需 {way.first_token:.2f} 秒"),
        Text(f"GPUs        {way.replicas} copies x tp {way.tp} = {way.gpus} x {gpu.name}",
             f"GPU 数      {way.replicas} 份 x tp {way.tp} = {way.gpus} 块 {gpu.name}"),
        Text(f"settings    [serve.turbomind] tp = {way.tp}, cache_share = {share_setting(way):g}, kv_bits = {wanted.kv_bits}, max_batch = {batch}"
             f"  (the cache needs {way.cache_share:.1%} of the free memory)",
             f"设置        [serve.turbomind] tp = {way.tp}, cache_share = {share_setting(way):g}, kv_bits = {wanted.kv_bits}, max_batch = {batch}"
             f"  （缓存需要空闲显存的 {way.cache_share:.1%}）"),
    ]  # fmt: skip
    if price_per_hour is not None:
        lines.append(_cost_line(way, price_per_hour))
    return lines


def share_setting(way: Capacity) -> float:
    """The cache share to configure: what is needed, rounded up to a twentieth, at least 0.1."""
    return min(CACHE_SHARE_LIMIT, max(0.1, -(-way.cache_share * 20 // 1) / 20))


def _cost_line(way: Capacity, price: float) -> Text:
    hour = way.gpus * price
    million = hour / (way.total * 3600) * 1e6
    return Text(
        f"cost        {way.gpus} x {price:g} = {hour:.2f} an hour, {hour * HOURS_PER_MONTH:.0f} a month; "
        f"at full load {million:.3f} for a million tokens",
        f"费用        {way.gpus} x {price:g} = 每小时 {hour:.2f}，每月 {hour * HOURS_PER_MONTH:.0f}；"
        f"满载时每百万 token {million:.3f}",
    )


def plan_json(
    model: ModelShape, gpu: Gpu, way: Capacity, price_per_hour: float | None
) -> dict[str, Any]:
    """The plan's figures. Bytes, seconds, tokens a second."""
    wanted = way.wanted
    cost = None if price_per_hour is None else way.gpus * price_per_hour
    return {
        "model": model.name,
        "parameters": model.parameters,
        "gpu": gpu.model_dump(),
        "users": wanted.users,
        "context": wanted.context,
        "efficiency": wanted.efficiency,
        "gpus": way.gpus,
        "tp": way.tp,
        "replicas": way.replicas,
        "weight_bytes": round(model.weight_bytes(wanted.weight_bits)),
        "kv_bytes_per_token": model.kv_bytes(wanted.kv_bits),
        "cache_share_needed": way.cache_share,
        "cache_share": share_setting(way),
        "batch_by_memory": way.batch_by_memory,
        "batch_by_speed": way.batch_by_speed,
        "batch": way.per_copy,
        "tokens_per_second_each": way.per_user,
        "tokens_per_second": way.total,
        "time_to_first_token": way.first_token,
        "cost_per_hour": cost,
        "cost_per_million_tokens": None if cost is None else cost / (way.total * 3600) * 1e6,
        "arithmetic": [line.en for line in plan_lines(model, gpu, way, price_per_hour)],
    }
