"""The input of one run as one block of bytes that can be mapped: a JSON header, then the columns, each at a multiple of 64.

    0   8 bytes   b"AUSPEXI1"
    8   8 bytes   length of the header in bytes, little-endian
    16            header: UTF-8 JSON
    ...           columns: little-endian int64 (time, microseconds) or float64

The header's ``inputs`` list ``{"instrument", "interval", "rows", "columns": {name: offset from the start of the block}}``.
The executor writes this block, `auspex-sdk run` writes the same for a run at home, and `_runner` reads it.
"""

from . import _wire
from ._bars import COLUMNS, Bars

MAGIC = b"AUSPEXI1"
ALIGNMENT = 64


def decode(block):
    """The header and the bars of a block (any buffer). The bars keep the buffer alive."""
    view = memoryview(block)
    if bytes(view[:8]) != MAGIC:
        raise ValueError("the input does not begin like an input frame")
    length = int.from_bytes(view[8:16], "little")
    header = _wire.loads(str(view[16 : 16 + length], "utf-8"))
    bars = []
    for item in header["inputs"]:
        rows = item["rows"]
        columns = {name: view[offset : offset + 8 * rows] for name, offset in item["columns"].items()}
        bars.append(Bars(item["instrument"], item["interval"], rows, columns))
    return header, bars


def encode(header, inputs):
    """A block from a header without ``inputs`` and a list of ``(instrument, interval, {column: numbers})``."""
    from array import array

    described = []
    blocks = []
    for instrument, interval, columns in inputs:
        rows = len(columns["time"])
        offsets = {}
        for name in COLUMNS:
            values = array("q" if name == "time" else "d", columns[name])
            if len(values) != rows:
                raise ValueError(f"column {name} has {len(values)} rows, time has {rows}")
            offsets[name] = len(blocks)
            blocks.append(values.tobytes())
        described.append({"instrument": instrument, "interval": interval, "rows": rows, "columns": offsets})

    def place(base):
        position = base
        starts = []
        for block in blocks:
            starts.append(position)
            position += -(-len(block) // ALIGNMENT) * ALIGNMENT
        placed = [{**item, "columns": {name: starts[index] for name, index in item["columns"].items()}} for item in described]
        return starts, _wire.dumps({**header, "inputs": placed}).encode()

    # The offsets stand in the header, whose length moves them: start from a generous place until it fits.
    base = ALIGNMENT
    while True:
        starts, text = place(base)
        needed = -(-(16 + len(text)) // ALIGNMENT) * ALIGNMENT
        if needed <= base:
            break
        base = needed
    whole = bytearray(base)
    whole[:8] = MAGIC
    whole[8:16] = len(text).to_bytes(8, "little")
    whole[16 : 16 + len(text)] = text
    for block in blocks:
        whole += block
        whole += bytes(-len(block) % ALIGNMENT)
    return bytes(whole)
