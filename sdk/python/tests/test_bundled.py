"""The modules of a run in one file: found there and nowhere else, as modules like any others."""

import importlib.util
import json
import shutil
import subprocess
import sys
from pathlib import Path

from auspex import _bundled

SOURCE = Path(_bundled.__file__).parent
PROGRAM = """
import sys, marshal
bundled, codes = marshal.loads(open(sys.argv[1], "rb").read())
names = {}
exec(bundled, names)
names["use"](codes)
import json, traceback
import auspex
from auspex import _frame, Prediction
try:
    _frame.decode(b"nothing")
except ValueError:
    trace = traceback.format_exc()
try:
    import auspex.client
except ImportError as error:
    missing = error.name
print(json.dumps([auspex.__file__, list(auspex.__path__), _frame.__file__, _frame.__package__, Prediction.__module__, missing, trace]))
"""


def test_modules_are_found_in_their_file(tmp_path):
    (tmp_path / "auspex").mkdir()
    for name in ("__init__", "author", "_bars", "_bundled", "_frame", "_more_bars", "_wire"):
        shutil.copy(SOURCE / f"{name}.py", tmp_path / "auspex")
    _bundled.write(str(tmp_path), str(tmp_path / "inside"))
    # Only tracebacks read the sources, where the run will see them.
    (tmp_path / "auspex").rename(tmp_path / "kept")
    (tmp_path / "inside").mkdir()
    (tmp_path / "kept").rename(tmp_path / "inside" / "auspex")
    (file,) = tmp_path.glob("*.modules")
    assert file.stem == importlib.util.MAGIC_NUMBER.hex()
    said = subprocess.run([sys.executable, "-ISB", "-c", PROGRAM, file], check=True, capture_output=True, text=True).stdout
    package, path, frame, parent, module, missing, trace = json.loads(said)
    inside = f"{tmp_path}/inside/auspex"
    assert (package, path, frame) == (f"{inside}/__init__.py", [inside], f"{inside}/_frame.py")
    assert (parent, module, missing) == ("auspex", "auspex.author", "auspex.client")
    assert 'raise ValueError("the input does not begin like an input frame")' in trace
