"""parquet: read in batches."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from .records import Dropped, Options, Reading, Record

BATCH = 512  # rows


def parquet_records(file: Path, options: Options, reading: Reading) -> Iterator[Record | Dropped]:
    """The records of a parquet file, numbered from 1."""
    import pyarrow
    import pyarrow.parquet as parquet

    number = 0
    try:
        with parquet.ParquetFile(file, pre_buffer=False, buffer_size=1 << 20) as source:
            reading.details["columns_there"] = list(source.schema_arrow.names)
            rows = max(1, source.metadata.num_rows)
            reading.share_read = lambda: number / rows
            for batch in source.iter_batches(BATCH):
                for value in batch.to_pylist():
                    number += 1
                    yield Record(number, value)
    except (pyarrow.ArrowException, OSError, ValueError) as error:
        yield Dropped(number + 1, "broken", str(error).splitlines()[0], fatal=True)
