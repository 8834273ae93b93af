"""The program inside the sandbox: reads the input frame, calls the author's function, writes rows, ends.

Descriptor 3 takes a line end when code of packages or of the author is about to run, then the answer: one JSON document,
``{"rows": [...], "stages_ms": {...}}`` or ``{"error": {"kind", "message", "row"}}``. What the author's code prints goes to the log. The process ends by ``os._exit``: tearing the
interpreter down costs more than many runs, and would run the author's exit handlers after the answer.
"""

import os
import sys
import time

from . import _frame, _wire
from ._rows import rows_of
from .author import Context, InvalidPrediction

RESULT_DESCRIPTOR = 3
INPUT_DESCRIPTOR = 4
APPLICATION_PATH = "/app"
LONGEST_MESSAGE = 4000


def _map_input(descriptor):
    import mmap

    return mmap.mmap(descriptor, 0, prot=mmap.PROT_READ)


def _lower_limits(limits):
    """Limits that must be set inside the user namespace: outside they would count the processes of the whole user."""
    if not limits:
        return
    import resource

    for name, key in (("processes", resource.RLIMIT_NPROC), ("address_space_bytes", resource.RLIMIT_AS)):
        if limits.get(name):
            resource.setrlimit(key, (limits[name], limits[name]))


def _add_packages(folder):
    """Makes installed packages importable; the `site` module, which costs milliseconds, only where a package brought path files."""
    if not folder:
        return
    sys.path.append(folder)
    if any(name.endswith(".pth") for name in os.listdir(folder)):
        import site

        site.addsitedir(folder)


def load(entry_point):
    """The function that ``module:function`` names."""
    module_name, _, function_name = entry_point.partition(":")
    import importlib

    module = importlib.import_module(module_name)
    try:
        function = getattr(module, function_name)
    except AttributeError:
        raise LookupError(f"{module_name}.py has no function {function_name!r}, which the manifest's entry point names") from None
    if not callable(function):
        raise LookupError(f"{entry_point} is of type {type(function).__name__}, not a function")
    return function


def run(header, bars, application_path=APPLICATION_PATH, packages=None):
    """One run, as the answer to be written. Also used for a run at home, which is why it does not end the process."""
    started = time.perf_counter()
    stages = {}
    try:
        # Path files of packages hold code: like the author's own it runs within the limits, and what it breaks is not ours.
        _add_packages(packages)
        function = load(header["entry_point"])
        stages["import"] = round((time.perf_counter() - started) * 1000, 3)
        called = time.perf_counter()
        output = header["output"]
        context = Context(bars, header["parameters"], header["as_of_microseconds"], output, application_path)
        rows = rows_of(function(context), output, header["as_of_microseconds"])
        stages["predict"] = round((time.perf_counter() - called) * 1000, 3)
        return {"rows": rows, "stages_ms": stages}
    except InvalidPrediction as error:
        print(f"invalid output: {error}", file=sys.stderr)
        return {"error": {"kind": "invalid_output", "message": str(error), "row": error.row}}
    except MemoryError:
        return {"error": {"kind": "out_of_memory", "message": "MemoryError: the run needs more memory than its class allows"}}
    except SystemExit as error:
        return {"error": {"kind": "exception", "message": f"SystemExit: the code called exit({error.code}) instead of returning"}}
    except BaseException as error:
        return {"error": {"kind": "exception", "message": _describe(error)}}


def _describe(error):
    """The last line first, then the traceback without the runner's own frames; also printed, so that it stands in the log."""
    import traceback

    trace = error.__traceback__
    own = os.path.dirname(__file__)
    while trace is not None and os.path.dirname(trace.tb_frame.f_code.co_filename) in (own, ""):
        trace = trace.tb_next
    while trace is not None and trace.tb_next is not None and trace.tb_frame.f_code.co_filename.startswith("<frozen importlib"):
        trace = trace.tb_next
    text = "".join(traceback.format_exception(type(error), error, trace)).rstrip()
    print(text, file=sys.stderr)
    last = "".join(traceback.format_exception_only(type(error), error)).strip().splitlines()
    summary = last[-1] if last else type(error).__name__
    if len(text) > LONGEST_MESSAGE - 1000:
        text = "…" + text[-(LONGEST_MESSAGE - 1000) :]
    return f"{summary[:900]}\n{text}"


def _write(answer):
    data = memoryview(_wire.dumps(answer).encode())
    while data:
        data = data[os.write(RESULT_DESCRIPTOR, data) :]


def main():
    """Called by the executor's command line inside the sandbox."""
    header, bars = _frame.decode(_map_input(INPUT_DESCRIPTOR))
    sys.stdout.reconfigure(line_buffering=True)
    _lower_limits(header.get("limits"))
    sys.path.insert(0, APPLICATION_PATH)
    os.write(RESULT_DESCRIPTOR, b"\n")
    answer = run(header, bars, APPLICATION_PATH, header.get("packages"))
    code = 0
    try:
        _write(answer)
    except OSError:
        code = 70
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except (OSError, ValueError):
            pass
    os._exit(code)
