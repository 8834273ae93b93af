"""The program that turns a foreign table (Parquet, Feather, PyStore) into text that market data imports.

It runs inside the executor's sandbox, without network: the file is mapped at descriptor 4, and descriptor 3 takes a line end when work begins, then one
line of JSON, ``{"rows", "columns", "notes", "item"}`` or ``{"refused": {"code", "detail"}}``, then the packed text. Row n of the file is line n + 1: the
header is the first. Numbers are exact (floats by their shortest text), times are UTC or without a zone as they were, and what is no value is empty.
"""

import json
import os
import re
import sys
import zlib

RESULT_DESCRIPTOR = 3
INPUT_DESCRIPTOR = 4
BATCH_ROWS = 65_536
MOST_COLUMNS = 2_000
MOST_ENTRIES = 10_000
LONGEST_TEXT = 64
#: What an archive may hold in all, and its metadata.
MOST_UNPACKED_BYTES = 1 << 30
MOST_METADATA_BYTES = 1 << 20
LOSSY = "a PyStore item that grew by append may lack repeated rows: a hole in it does not say that nothing was traded"
#: A table of more columns than this keeps only those whose names say that they may matter.
MANY_COLUMNS = 40

#: Names of columns of times, as market data knows them.
_MOMENTS = {
    "datetime", "timestamp", "date time", "time stamp", "open time", "opentime", "start", "start time", "bar start", "unix timestamp", "unix", "epoch",
    "ts", "gmt time", "local time", "time utc", "date utc", "timestamp utc", "timestamp ms", "time ms", "time us", "time ns", "datetime utc", "date",
    "datum", "day", "trade date", "trading date", "dtyyyymmdd", "time", "zeit", "uhrzeit", "time of day", "hour", "end", "end time", "bar end",
    "close time",
}
_LIKE_TIME = re.compile(r"^t$|\bts\b|time|stamp|date|window start")
_HAPPENED = re.compile(r"event|open|start|begin")
_PRICES = ({"open", "high", "low", "close"}, {"o", "h", "l", "c"})
_TELLING = re.compile(r"open|high|low|close|price|bid|ask|offer|last|vol|size|amount|qty|quantity|time|date|day|stamp|symbol|ticker|instrument|pair|^ts$|^[ohlcv]$")


class Refused(Exception):
    """The file cannot be used; says what would be right."""

    def __init__(self, code, detail):
        super().__init__(detail)
        self.code = code
        self.detail = " ".join("".join(letter if letter.isprintable() else " " for letter in detail).split())[:400]


# MARK: Reading


class Parts:
    """Tables of one schema, one behind the other; each can be read in batches, again and again."""

    def __init__(self, parts, item=None, notes=()):
        self.parts = parts
        self.item = item
        self.notes = list(notes)
        self.schema = parts[0].schema
        for part in parts[1:]:
            if part.schema.remove_metadata() != self.schema.remove_metadata():
                raise Refused("unlike_parts", "its parts have not the same columns")

    @property
    def rows(self):
        return sum(part.rows for part in self.parts)

    def batches(self, names):
        for part in self.parts:
            yield from part.batches(names)


class ParquetPart:
    def __init__(self, buffer):
        import pyarrow
        from pyarrow import parquet

        if bytes(buffer[:4]) == b"PARE":
            raise Refused("encrypted_file", "it is an encrypted Parquet file; one without encryption would be right")
        self._file = parquet.ParquetFile(
            pyarrow.BufferReader(buffer), thrift_string_size_limit=16 << 20, thrift_container_size_limit=1_000_000, page_checksum_verification=True,
            arrow_extensions_enabled=False)
        self.schema = self._file.schema_arrow
        self.rows = self._file.metadata.num_rows

    def batches(self, names):
        for batch in self._file.iter_batches(batch_size=BATCH_ROWS, columns=names, use_threads=False):
            yield batch


class ArrowPart:
    """Feather of version 2, which is Arrow's file format: one batch of it in memory at a time."""

    def __init__(self, buffer):
        import pyarrow

        self._file = pyarrow.ipc.open_file(pyarrow.BufferReader(buffer))
        self.schema = self._file.schema
        self._counts = None

    @property
    def rows(self):
        if self._counts is None:
            self._counts = [self._file.get_batch(index).num_rows for index in range(self._file.num_record_batches)]
        return sum(self._counts)

    def batches(self, names):
        for index in range(self._file.num_record_batches):
            batch = self._file.get_batch(index)
            batch.validate(full=True)
            batch = batch.select(names)
            for start in range(0, batch.num_rows, BATCH_ROWS):
                yield batch.slice(start, BATCH_ROWS)


class FeatherPart:
    """Feather of version 1."""

    def __init__(self, buffer):
        import warnings

        import pyarrow
        from pyarrow import feather

        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            self._table = feather.read_table(pyarrow.BufferReader(buffer), memory_map=False, use_threads=False)
        self._table.validate(full=True)
        self.schema = self._table.schema
        self.rows = self._table.num_rows

    def batches(self, names):
        yield from self._table.select(names).to_batches(max_chunksize=BATCH_ROWS)


def part_of(buffer):
    """A table by the first bytes of its file."""
    magic = bytes(buffer[:6])
    if magic[:4] in (b"PAR1", b"PARE"):
        return ParquetPart(buffer)
    if magic == b"ARROW1":
        return ArrowPart(buffer)
    if magic[:4] == b"FEA1":
        return FeatherPart(buffer)
    raise Refused("unknown_layout", "it is neither Parquet nor Feather")


def tables_of(file):
    """The table of a whole file: one of these, or a zip of the parts of one."""
    import pyarrow

    buffer = pyarrow.py_buffer(file)
    if bytes(buffer[:2]) != b"PK":
        return Parts([part_of(buffer)])
    return archived(file)


def archived(file):
    """The one item of a zip: a folder of Parquet files, as PyStore and others write them, or a single table."""
    import io
    import zipfile

    import pyarrow

    try:
        archive = zipfile.ZipFile(io.BytesIO(file) if isinstance(file, bytes) else _Mapped(file))
        entries = archive.infolist()
    except (zipfile.BadZipFile, ValueError, NotImplementedError) as error:
        raise Refused("bad_archive", f"the archive cannot be read: {error}") from None
    if len(entries) > MOST_ENTRIES:
        raise Refused("bad_archive", f"the archive holds {len(entries)} files, but may hold {MOST_ENTRIES}")
    folders = {}
    for entry in entries:
        path = entry.filename.replace("\\", "/").strip("/").split("/")
        # Snapshots are copies, and what begins with two underlines is left by a crash; single ones mark files that are no data.
        if entry.is_dir() or any(name.startswith(("_", ".")) for name in path) or not path[-1].lower().endswith((".parquet", ".pq", ".feather", ".arrow")):
            continue
        folders.setdefault(tuple(path[:-1]), []).append(entry)
    if not folders:
        raise Refused("bad_archive", "the archive holds no Parquet or Feather file")
    if len(folders) > 1:
        names = sorted("/".join(folder) or "." for folder in folders)
        raise Refused("several_items", f"the archive holds {len(names)} items, such as {names[0][:60]} and {names[1][:60]}: one of them would be right")
    (folder, found), = folders.items()
    budget = [MOST_UNPACKED_BYTES]
    found.sort(key=lambda entry: _natural(entry.filename))
    item = {"name": folder[-1][:LONGEST_TEXT]} if folder else None
    notes = []
    marks = [entry for entry in entries if entry.filename.replace("\\", "/").strip("/") == "/".join([*folder, "pystore_metadata.json"])]
    if marks and item is not None:
        notes.append(LOSSY)
        item["pystore"] = True
        try:
            metadata = json.loads(_read(archive, marks[0], [MOST_METADATA_BYTES]))
        except ValueError:
            metadata = None
        if isinstance(metadata, dict):
            for key in ("symbol", "interval"):
                value = metadata.get(key)
                if isinstance(value, str) and 0 < len(value) <= LONGEST_TEXT and value.isprintable():
                    item[key] = value
        else:
            notes.append("its pystore_metadata.json cannot be read")
    parts = [part_of(pyarrow.py_buffer(_read(archive, entry, budget))) for entry in found]
    # An empty part beside others has no types of its own.
    filled = [part for part in parts if part.rows] or parts[:1]
    return Parts(filled, item, notes)


def _natural(name):
    """part.10 comes after part.2."""
    return [(1, int(word), "") if word.isdigit() else (0, 0, word) for word in re.split(r"(\d+)", name)]


def _read(archive, entry, budget):
    """An entry's bytes; what they take is counted as they come, whatever the archive says."""
    import zipfile

    if entry.flag_bits & 1:
        raise Refused("encrypted_file", "the archive is encrypted; one without a password would be right")
    chunks = []
    try:
        with archive.open(entry) as stream:
            while chunk := stream.read(1 << 20):
                budget[0] -= len(chunk)
                if budget[0] < 0:
                    raise Refused("too_large", "the archive is larger than 1 GiB when unpacked")
                chunks.append(chunk)
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, OSError) as error:
        raise Refused("bad_archive", f"{entry.filename[-60:]} cannot be unpacked: {error}") from None
    return b"".join(chunks)


class _Mapped:
    """Mapped memory as the file that zipfile wants."""

    def __init__(self, memory):
        self._memory = memory
        self._at = 0

    def seekable(self):
        return True

    def tell(self):
        return self._at

    def seek(self, offset, whence=0):
        base = (0, self._at, len(self._memory))[whence]
        if base + offset < 0:
            raise ValueError("before the beginning")
        self._at = base + offset
        return self._at

    def read(self, count=-1):
        end = len(self._memory) if count is None or count < 0 else min(len(self._memory), self._at + count)
        data = bytes(self._memory[self._at:end])
        self._at += len(data)
        return data


# MARK: Columns


class Column:
    """A column that is written: its name in the file, what it is called in the text, and how its values are read."""

    def __init__(self, name, title, kind, field, is_index=False):
        self.name = name
        self.title = title
        self.kind = kind
        self.field = field
        self.is_index = is_index
        #: How times are written: date, s, us or ns.
        self.form = None

    @property
    def words(self):
        return " ".join(re.findall(r"[^\W_]+", self.title.lower()))


_PERIODS = {"D": 86_400, "h": 3_600, "H": 3_600, "min": 60, "T": 60, "s": 1, "S": 1}


def kind_of(field):
    """How a column's values become text; nothing for what no table of prices holds."""
    import pyarrow
    from pyarrow import types

    kind = field.type
    if types.is_dictionary(kind):
        kind = kind.value_type
    extension, about = ((field.metadata or {}).get(key) for key in (b"ARROW:extension:name", b"ARROW:extension:metadata"))
    if isinstance(kind, pyarrow.BaseExtensionType):
        # Where pandas is installed, as it is not in the sandbox, it makes this a type of its own.
        extension, about, kind = kind.extension_name.encode(), kind.__arrow_ext_serialize__(), kind.storage_type
    if extension == b"pandas.period" and types.is_int64(kind):
        try:
            return ("period", _PERIODS[json.loads(about)["freq"]])
        except (KeyError, TypeError, ValueError):
            return None
    if extension is not None:
        return None
    for test, name in (
        (types.is_floating, "float"), (types.is_integer, "integer"), (types.is_decimal, "decimal"), (types.is_timestamp, "moment"), (types.is_date, "date"),
        (types.is_time, "time"), (types.is_string, "text"), (types.is_large_string, "text"), (types.is_string_view, "text"),
    ):
        if test(kind):
            return (name, None)
    return None


def pandas_of(schema):
    """What pandas noted of its frame; it is JSON, and nothing of it is ever run."""
    text = (schema.metadata or {}).get(b"pandas")
    if text is None or len(text) > MOST_METADATA_BYTES:
        return {}
    try:
        notes = json.loads(text)
    except (ValueError, RecursionError):
        return {}
    return notes if isinstance(notes, dict) else {}


def said_by_us(schema):
    """What our own export says of its bars; nothing for other files."""
    text = (schema.metadata or {}).get(b"auspex", b"")
    try:
        said = json.loads(text) if 0 < len(text) <= 4_096 else None
    except (ValueError, RecursionError):
        said = None
    if not isinstance(said, dict):
        return {}
    kept = {key: said.get(key) for key in ("symbol", "interval")}
    return kept if all(isinstance(value, str) and 0 < len(value) <= LONGEST_TEXT and value.isprintable() for value in kept.values()) else {}


def columns_of(schema, notes):
    """The columns that are written, the frame's index first."""
    if len(schema) > MOST_COLUMNS:
        raise Refused("too_many_columns", f"it has {len(schema)} columns, but may have {MOST_COLUMNS}")
    pandas = pandas_of(schema)
    described = pandas.get("index_columns")
    index = [name for name in described if isinstance(name, str)] if isinstance(described, list) else []
    titles = {}
    for about in pandas.get("columns") if isinstance(pandas.get("columns"), list) else []:
        if isinstance(about, dict) and isinstance(about.get("field_name"), str):
            titles[about["field_name"]] = about.get("name")
    columns, left_out = [], []
    for field in schema:
        if schema.names.count(field.name) > 1:
            raise Refused("repeated_column", f"two columns are called {field.name[:60]!r}")
        kind = kind_of(field)
        if kind is None:
            if str(field.type) != "null":
                left_out.append(field.name[:40])
            continue
        is_index = field.name in index
        title = titles.get(field.name) if is_index and field.name.startswith("__index_level_") else field.name
        columns.append(Column(field.name, title if isinstance(title, str) else "", kind, field, is_index))
    columns.sort(key=lambda column: not column.is_index)
    flatten(columns)
    if left_out:
        notes.append(f"columns that are neither numbers, times nor text are left out: {', '.join(left_out[:5])}")
    return columns


def flatten(columns):
    """Columns of two levels, such as ``('Close', 'SPY')``, as downloads of several tickers have them: one level says what, the other of whom."""
    import ast

    pairs = []
    for column in columns:
        try:
            pair = ast.literal_eval(column.title) if column.title.startswith("(") and len(column.title) < 200 else None
        except (ValueError, SyntaxError, MemoryError, RecursionError):
            pair = None
        if isinstance(pair, tuple) and len(pair) == 2 and all(isinstance(word, str) for word in pair):
            pairs.append((column, pair))
    if not pairs:
        return
    level = 0 if any(pair[0].lower() == "close" for _, pair in pairs) else 1
    others = sorted({pair[1 - level] for _, pair in pairs} - {""})
    if len(others) > 1:
        raise Refused("several_instruments", f"its columns are of several instruments, such as {others[0][:40]} and {others[1][:40]}: one would be right")
    for column, pair in pairs:
        column.title = pair[level] or pair[1 - level]


def name_the_time(columns, source):
    """Sees to it that one column is known as the time: pandas calls its index as it likes, or not at all."""
    def unnamed(column):
        return column.is_index and not column.title

    if not any(column.words in _MOMENTS for column in columns):
        times = [column for column in columns if column.kind[0] in ("moment", "date", "period")]
        # Of several, such as when it happened and when it was heard of, the first that says the former.
        times.sort(key=lambda column: (not column.is_index, not _HAPPENED.search(column.words)))
        counts = [column for column in columns if column.kind[0] == "integer" and (column.is_index or _LIKE_TIME.search(column.words))]
        chosen = next(iter(times), None) or next((column for column in counts if is_epoch(column, source)), None)
        if chosen is not None:
            chosen.title = "datetime"
            columns.remove(chosen)
            columns.insert(0, chosen)
    # Rows that are counted from 0 are no column.
    columns[:] = [column for column in columns if not unnamed(column)]


def is_epoch(column, source):
    """Whether whole numbers are rather seconds to nanoseconds since 1970 than a count."""
    for batch in source.batches([column.name]):
        values = [value for value in batch.column(0).slice(0, 10).to_pylist() if value is not None]
        if values:
            return all(100_000_000 <= value for value in values)
    return False


# MARK: Values


def _plain(array):
    import pyarrow
    from pyarrow import types

    if isinstance(array, pyarrow.ExtensionArray):
        array = array.storage
    if not types.is_dictionary(array.type):
        return array
    if types.is_string_view(array.type.value_type):
        # What polars writes, and Arrow does not take apart.
        array = pyarrow.DictionaryArray.from_arrays(array.indices, array.dictionary.cast(pyarrow.string()))
    return array.dictionary_decode()


_UNITS = {"s": 1, "ms": 1_000, "us": 1_000_000, "ns": 1_000_000_000}


def settle_times(columns, source):
    """Finds out how fine the times of each column are: midnights are dates, and fractions are written only where there are some."""
    import pyarrow
    from pyarrow import compute

    moments = [column for column in columns if column.kind[0] == "moment"]
    if not moments:
        return
    seen = {column: {"date": True, "local": True, "s": True, "us": True, "rows": 0} for column in moments}
    for batch in source.batches([column.name for column in moments]):
        for index, column in enumerate(moments):
            array = _plain(batch.column(index))
            unit, zone = array.type.unit, array.type.tz
            ticks = array.cast(pyarrow.int64()).drop_null()
            state = seen[column]
            state["rows"] += len(ticks)

            def whole(ticks, divisor):
                return not len(ticks) or divisor == 1 or compute.all(compute.equal(compute.multiply(compute.divide(ticks, divisor), divisor), ticks)).as_py()

            scale = _UNITS[unit]
            state["s"] = state["s"] and whole(ticks, scale)
            state["us"] = state["us"] and whole(ticks, max(1, scale // 1_000_000))
            state["date"] = state["date"] and whole(ticks, scale * 86_400)
            if state["local"] and zone not in (None, "UTC"):
                try:
                    local = compute.local_timestamp(array).cast(pyarrow.int64()).drop_null()
                    state["local"] = whole(local, scale * 86_400)
                except (pyarrow.ArrowException, ValueError):
                    state["local"] = False
    for column, state in seen.items():
        zone = column.field.type.tz if hasattr(column.field.type, "tz") else None
        if state["rows"] >= 2 and state["date"] and zone in (None, "UTC"):
            column.form = "date"
        elif state["rows"] >= 2 and zone not in (None, "UTC") and state["local"]:
            column.form = "local date"
        else:
            column.form = "s" if state["s"] else "us" if state["us"] else "ns"


def text_of(column, array):
    """A column's values as text, null where there is none."""
    import pyarrow
    from pyarrow import compute

    array = _plain(array)
    kind, detail = column.kind
    text = pyarrow.string()
    if kind == "float":
        if array.type == pyarrow.float16():
            array = array.cast(pyarrow.float32())
        # Pandas has no other word for what is not there.
        array = compute.if_else(compute.is_nan(array), pyarrow.scalar(None, array.type), array)
        return array.cast(text)
    if kind in ("integer", "decimal", "time"):
        return array.cast(text)
    if kind == "date":
        return array.cast(pyarrow.date32()).cast(text)
    if kind == "period":
        return compute.multiply(array.cast(pyarrow.int64()), detail).cast(pyarrow.timestamp("s")).cast(text)
    if kind == "moment":
        unit, zone = array.type.unit, array.type.tz
        if column.form == "local date":
            return compute.local_timestamp(array).cast(pyarrow.date32()).cast(text)
        # The number is UTC's where there is a zone, and the clock's where there is none.
        plain = array.cast(pyarrow.int64()).cast(pyarrow.timestamp(unit))
        if column.form == "date":
            return plain.cast(pyarrow.date32()).cast(text)
        finest = {"s": "s", "us": "us", "ns": "ns"}[column.form]
        if _UNITS[finest] < _UNITS[unit]:
            plain = plain.cast(pyarrow.timestamp(finest))
        written = plain.cast(text)
        return compute.binary_join_element_wise(written, "Z", "") if zone is not None else written
    values = compute.utf8_slice_codeunits(array.cast(text), 0, LONGEST_TEXT)
    return compute.utf8_trim_whitespace(compute.replace_substring_regex(values, pattern="[\\x00-\\x1f\",;|]+", replacement=" "))


# MARK: Writing


class Packed:
    """The text, packed as it grows, within bounds."""

    def __init__(self, most_plain, most_packed):
        self._packer = zlib.compressobj(1, zlib.DEFLATED, 31)
        self._most_plain = most_plain
        self._most_packed = most_packed
        self._plain = 0
        self.bytes = bytearray()

    def write(self, data):
        self._plain += len(data)
        self.bytes += self._packer.compress(data)
        if self._plain > self._most_plain or len(self.bytes) > self._most_packed:
            raise Refused("too_large", f"the table takes more than {self._most_plain >> 20} MiB as text; the file in several parts would be right")

    def finish(self):
        self.bytes += self._packer.flush()
        if len(self.bytes) > self._most_packed:
            raise Refused("too_large", f"the table takes more than {self._most_packed >> 20} MiB when packed")
        return bytes(self.bytes)


def convert(file, most_plain_bytes=512 << 20, most_packed_bytes=128 << 20):
    """The report and the packed text of a file (bytes, or mapped memory); raises ``Refused``."""
    import pyarrow
    from pyarrow import compute

    source = tables_of(file)
    notes = source.notes
    # Each row is a line, and no line that says something is shorter than this.
    if source.rows * 8 > most_plain_bytes:
        raise Refused("too_large", f"it has {source.rows} rows; at most {most_plain_bytes // 8} would be right")
    said = said_by_us(source.schema)
    if said:
        source.item = {**(source.item or {"name": said["symbol"]}), **said}
        # It was written in one piece.
        notes[:] = [note for note in notes if note != LOSSY]
    if not source.rows:
        raise Refused("empty_file", "it holds no rows")
    columns = columns_of(source.schema, notes)
    name_the_time(columns, source)
    if len(columns) > MANY_COLUMNS:
        columns = [column for column in columns if column.is_index or _TELLING.search(column.words)][:MANY_COLUMNS]
        notes.append(f"of {len(source.schema)} columns those that may be prices, volumes or times are read")
    if not columns:
        raise Refused("unknown_layout", "it has no column of numbers, times or text")
    settle_times(columns, source)

    output = Packed(most_plain_bytes, most_packed_bytes)
    output.write((",".join(re.sub(r"[\x00-\x1f\",;|]+", " ", column.title)[:LONGEST_TEXT].strip() for column in columns) + "\n").encode())
    words = [column.words for column in columns]
    prices = next(([words.index(name) for name in names] for names in _PRICES if names <= set(words)), [])
    rows = holes = 0
    for batch in source.batches([column.name for column in columns]):
        texts = [text_of(column, batch.column(index)) for index, column in enumerate(columns)]
        lines = compute.binary_join_element_wise(*texts, ",", null_handling="replace", null_replacement="")
        if prices:
            # Resampling leaves a row for an interval without a trade, which is no bar: its line stays empty, so that others keep their number.
            empty = texts[prices[0]].is_null()
            for index in prices[1:]:
                empty = compute.and_(empty, texts[index].is_null())
            if compute.any(empty).as_py():
                lines = compute.if_else(empty, "", lines)
                holes += compute.sum(empty).as_py()
        rows += len(lines)
        if len(lines):
            joined = compute.binary_join(pyarrow.ListArray.from_arrays([0, len(lines)], lines), "\n")
            output.write(joined[0].as_buffer().to_pybytes() + b"\n")
    if rows != source.rows:
        raise Refused("damaged_file", f"it says that it has {source.rows} rows, and has {rows}")
    if holes:
        notes.append(f"{holes} rows without prices are intervals without a trade")
    return {"rows": rows, "columns": [column.title[:LONGEST_TEXT] for column in columns], "notes": notes, "item": source.item}, output.finish()


def answer_to(file, **bounds):
    """The answer for a file, whatever is in it."""
    import pyarrow

    try:
        report, text = convert(file, **bounds)
        return report, text
    except Refused as refusal:
        return {"refused": {"code": refusal.code, "detail": refusal.detail}}, b""
    except (pyarrow.ArrowMemoryError, MemoryError):
        refusal = Refused("too_large", "reading it takes more memory than a conversion may have")
    except pyarrow.ArrowNotImplementedError as error:
        refusal = Refused("unsupported_file", f"it uses something that is not read: {error}")
    except (pyarrow.ArrowException, OSError, ValueError, KeyError, IndexError, OverflowError, RecursionError, UnicodeDecodeError) as error:
        refusal = Refused("damaged_file", f"it cannot be read: {error}")
    print(f"refused: {refusal.detail}", file=sys.stderr)
    return {"refused": {"code": refusal.code, "detail": refusal.detail}}, b""


def _write(data):
    view = memoryview(data)
    while view:
        view = view[os.write(RESULT_DESCRIPTOR, view) :]


def main():
    """Called by the executor's command line inside the sandbox, with its orders as JSON."""
    import mmap

    orders = json.loads(sys.argv[1])
    limits = orders.get("limits") or {}
    if limits:
        # They must be set inside the user namespace: outside they would count the processes of the whole user.
        import resource

        for name, key in (("processes", resource.RLIMIT_NPROC), ("address_space_bytes", resource.RLIMIT_AS)):
            if limits.get(name):
                resource.setrlimit(key, (limits[name], limits[name]))
    sys.path.append(orders["packages"])
    import pyarrow

    pyarrow.set_cpu_count(1)
    pyarrow.set_io_thread_count(1)
    file = mmap.mmap(INPUT_DESCRIPTOR, 0, prot=mmap.PROT_READ)
    _write(b"\n")
    report, text = answer_to(file, most_plain_bytes=orders["most_plain_bytes"], most_packed_bytes=orders["most_packed_bytes"])
    _write(json.dumps(report).encode() + b"\n")
    _write(text)
    os._exit(0)
