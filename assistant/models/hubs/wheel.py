"""A wheel, unpacked with distrust: only named files, only inside the folder, only whole."""

from __future__ import annotations

import base64
import csv
import io
import zipfile
from email.parser import HeaderParser
from pathlib import Path, PurePosixPath

from ...errors import BlockedError, UsageError
from ...progress import Progress, Report
from ...words import Text
from ..reference import Reference
from ..verify import Expected

_ABOUT = ("METADATA", "LICENSE", "LICENCE", "NOTICE", "COPYING")
_PIECE = 1 << 20


class Wheel:
    """An open wheel. Raises BlockedError if the file is damaged."""

    def __init__(self, file: Path):
        self._file = file
        try:
            self._zip = zipfile.ZipFile(file)
            self._names = [name for name in self._zip.namelist() if not name.endswith("/")]
            info = next(name for name in self._names if name.endswith(".dist-info/METADATA"))
            self._dist_info = info.rpartition("/")[0]
            self._metadata = HeaderParser().parsestr(self._zip.read(info).decode("utf-8"))
            self._record = self._read_record()
        except (zipfile.BadZipFile, StopIteration, KeyError, ValueError, OSError) as error:
            raise self._damaged(str(error)) from error

    def __enter__(self) -> Wheel:
        return self

    def __exit__(self, *_: object) -> None:
        self._zip.close()

    @property
    def name(self) -> str:
        return str(self._metadata["Name"])

    @property
    def version(self) -> str:
        return str(self._metadata["Version"])

    @property
    def licence(self) -> str:
        """As METADATA names it: an SPDX expression, else the old field in one line."""
        named = self._metadata["License-Expression"] or self._metadata["License"] or ""
        return str(named).strip().split("\n")[0]

    @property
    def homepage(self) -> str:
        if named := self._metadata["Home-page"]:
            return str(named)
        urls = [str(url).partition(",") for url in self._metadata.get_all("Project-URL", [])]
        return next((url.strip() for key, _, url in urls if key.strip() == "Homepage"), "")

    @property
    def about(self) -> list[str]:
        """METADATA and the texts of the licence."""
        bare = {
            PurePosixPath(name).name: name
            for name in self._names
            if name.startswith(self._dist_info + "/")
        }
        return [name for key, name in bare.items() if key.upper().startswith(_ABOUT)]

    def only(self, suffix: str, reference: Reference) -> str:
        """The one file with this suffix. Raises UsageError if there is none, or more than one."""
        found = [name for name in self._names if name.lower().endswith(suffix)]
        if len(found) == 1:
            return found[0]
        listed = ", ".join(found) or "-"
        raise UsageError(
            Text(
                f"{reference} should hold one {suffix} file; it holds {len(found)}: {listed}.",
                f"{reference} 应含一个 {suffix} 文件，实际有 {len(found)} 个：{listed}。",
            ),
            Text("Take another package.", "请换一个软件包。"),
        )

    def expected(self, name: str) -> Expected:
        """The file as RECORD describes it, under its bare name."""
        try:
            return self._record[name]
        except KeyError:
            raise self._damaged(f"RECORD does not list {name}") from None

    def unpack(self, names: list[str], folder: Path, report: Report) -> None:
        """Write the named files flat into `folder`: no path of the archive is ever followed."""
        folder.mkdir(parents=True, exist_ok=True)
        total = sum(self._zip.getinfo(name).file_size for name in names)
        done = 0
        for name in names:
            limit = self.expected(name).size or 0
            try:
                with self._zip.open(name) as source, self._target(folder, name).open("wb") as out:
                    while piece := source.read(_PIECE):
                        if out.tell() + len(piece) > limit:
                            raise self._damaged(f"{name} is larger than RECORD says")
                        out.write(piece)
                        done += len(piece)
                        report(Progress(Text("Unpacking", "解包"), done, total, "B"))
            except (zipfile.BadZipFile, EOFError) as error:
                raise self._damaged(str(error)) from error

    def _target(self, folder: Path, name: str) -> Path:
        bare = PurePosixPath(name.replace("\\", "/")).name
        if bare in ("", ".", ".."):
            raise self._damaged(f"it holds a file named {name!r}")
        return folder / bare

    def _read_record(self) -> dict[str, Expected]:
        """Path -> what RECORD says of it (https://packaging.python.org, "Recording installed")."""
        text = self._zip.read(f"{self._dist_info}/RECORD").decode("utf-8")
        files = {}
        for path, digest, size in csv.reader(io.StringIO(text)):
            kind, _, value = digest.partition("=")
            if kind == "sha256":
                sha256 = base64.urlsafe_b64decode(value + "=" * (-len(value) % 4)).hex()
                bare = PurePosixPath(path).name
                files[path] = Expected(bare, int(size) if size else None, sha256)
        return files

    def _damaged(self, why: str) -> BlockedError:
        self._file.unlink(missing_ok=True)  # the next attempt downloads it anew
        return BlockedError(
            Text(
                f"{self._file.name} arrived damaged: {why}. It was thrown away.",
                f"{self._file.name} 下载后已损坏：{why}。已丢弃。",
            ),
            Text(
                "Try again; if it stays so, take another package index.",
                "请重试；如果总是这样，请换一个软件源。",
            ),
        )
