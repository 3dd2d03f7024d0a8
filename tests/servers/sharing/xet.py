"""What hf_xet left in a folder (`local://` stands for a CAS server), read back by sha256.

The shard's layout is that of xet-core's `mdb_shard`: a header, then for each file a record of 48
bytes, its segments, as many verifications, and a record that holds the sha256. Hashes are four
little-endian words. It is an internal of hf_xet 1.8: the tests pin that.
"""

from __future__ import annotations

import stat
import tempfile
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

RECORD = 48
WITH_VERIFICATION, WITH_METADATA = 1 << 31, 1 << 30


def read_from_xet(folder: Path, sha256: str, size: int) -> bytes:
    """The bytes of a file. Raises KeyError where no shard names it."""
    import hf_xet

    file_hash = dict(_files(folder))[sha256]
    session = hf_xet.XetSession()
    with tempfile.TemporaryDirectory() as work:
        out = Path(work) / "file"
        with session.new_file_download_group(
            endpoint=f"local://{folder}", token="x", token_expiry_unix_secs=4102444800
        ) as group:
            group.start_download_file(hf_xet.XetFileInfo(file_hash, size), str(out))
        return out.read_bytes()


def stored_bytes(folder: Path) -> int:
    """Bytes of all chunks that arrived."""
    return sum(lots(folder))


def lots(folder: Path) -> list[int]:
    """Bytes of each lot of chunks that arrived."""
    sizes = []
    for file in (folder / "xet" / "xorbs" / "xorbs").glob("*"):
        with suppress(FileNotFoundError):  # renamed meanwhile
            seen = file.stat()
            if stat.S_ISREG(seen.st_mode) and file.suffix != ".tagset":
                sizes.append(seen.st_size)
    return sizes


def noted(folder: Path) -> int:
    """How many lots the client has noted as sent: after a kill it goes on behind them."""
    return len(list((folder / "xet" / "shard-session" / "xorb_metadata").glob("*.mdb")))


def _files(folder: Path) -> Iterator[tuple[str, str]]:
    """(sha256, xet hash) of every file that a stored shard names."""
    for shard in (folder / "xet" / "xorbs" / "shards").glob("*.mdb"):
        yield from _read(shard.read_bytes())


def _read(data: bytes) -> Iterator[tuple[str, str]]:
    at = RECORD  # the shard's own header
    while data[at : at + 32] != b"\xff" * 32:
        file_hash = _hex(data[at : at + 32])
        flags = int.from_bytes(data[at + 32 : at + 36], "little")
        count = int.from_bytes(data[at + 36 : at + 40], "little")
        at += RECORD + RECORD * count * (2 if flags & WITH_VERIFICATION else 1)
        if flags & WITH_METADATA:
            yield _hex(data[at : at + 32]), file_hash
            at += RECORD


def _hex(value: bytes) -> str:
    words = (value[n : n + 8] for n in range(0, 32, 8))
    return "".join(f"{int.from_bytes(word, 'little'):016x}" for word in words)
