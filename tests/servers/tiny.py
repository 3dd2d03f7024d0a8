"""Tiny models that are real files of their formats, for tests."""

from __future__ import annotations

import base64
import hashlib
import io
import json
import random
import struct
import zipfile


def gguf(size: int = 4096, licence: str = "mit") -> bytes:
    """A GGUF version 3 with one F32 tensor of about `size` bytes (random, so it does not pack)."""
    texts = {"general.architecture": "llama", "general.license": licence}
    head = b"GGUF" + struct.pack("<IQQ", 3, 1, len(texts) + 1)
    for key, value in texts.items():
        head += _text(key) + struct.pack("<I", 8) + _text(value)
    words = b"".join(_text(word) for word in ("a", "bc", "€"))
    head += _text("tokenizer.ggml.tokens") + struct.pack("<IIQ", 9, 8, 3) + words
    count = size // 4
    head += _text("output.weight") + struct.pack("<IQIQ", 1, count, 0, 0)
    head += b"\0" * (-len(head) % 32)
    return head + random.Random(size).randbytes(count * 4)


def safetensors(size: int = 4096) -> bytes:
    """A safetensors file with one U8 tensor of `size` bytes."""
    tensor = {"dtype": "U8", "shape": [size], "data_offsets": [0, size]}
    header = json.dumps({"__metadata__": {"format": "pt"}, "weight": tensor}).encode()
    header += b" " * (-len(header) % 8)
    return struct.pack("<Q", len(header)) + header + random.Random(size).randbytes(size)


def pointer(data: bytes) -> bytes:
    """The git-lfs pointer of `data`."""
    oid = hashlib.sha256(data).hexdigest()
    return (
        f"version https://git-lfs.github.com/spec/v1\noid sha256:{oid}\nsize {len(data)}\n"
    ).encode()


def wheel(name: str, version: str, files: dict[str, bytes], damage: str = "") -> bytes:
    """A wheel whose RECORD lists every file; that of `damage` gets a wrong hash."""
    info = f"{name.replace('-', '_')}-{version}.dist-info"
    metadata = f"Metadata-Version: 2.2\nName: {name}\nVersion: {version}\nLicense: MIT\n"
    metadata += "Project-URL: Homepage, https://example.org/tiny\n"
    all_files = {
        **files,
        f"{info}/METADATA": metadata.encode(),
        f"{info}/WHEEL": b"Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    record = "".join(
        f"{path},sha256={_digest(data + b'!' if path == damage else data)},{len(data)}\n"
        for path, data in all_files.items()
    )
    all_files[f"{info}/RECORD"] = (record + f"{info}/RECORD,,\n").encode()
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        for path, data in all_files.items():
            archive.writestr(path, data)
    return out.getvalue()


def _digest(data: bytes) -> str:
    return base64.urlsafe_b64encode(hashlib.sha256(data).digest()).decode().rstrip("=")


def _text(value: str) -> bytes:
    data = value.encode()
    return struct.pack("<Q", len(data)) + data
