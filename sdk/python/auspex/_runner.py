"""The program inside the sandbox: gets ready, waits for its run, calls the author's function, writes rows, ends.

It is started ahead of its run where that is possible. What is known then comes first over the channel at descriptor 4: the entry point, packages,
limits. Packages and the author's module are imported at once, whatever that raises is kept for the run; then the runner waits for the start
message, which brings the input frame. Time and chance are all that a module can see while it is imported ahead: bars come with the
start.

Descriptor 3 takes a line end when code of packages or of the author is about to run, then the answer: one JSON document,
``{"rows": [...], "stages_ms": {...}}`` or ``{"error": {"kind", "message", "row"}}``. What the author's code prints goes to the log. The process ends by ``os._exit``: tearing the
interpreter down costs more than many runs, and would run the author's exit handlers after the answer.
"""

import sys
import time

from . import _bars, _frame, _more_bars, _wire
from ._channel import Channel
from ._rows import rows_of
from .author import Context, InvalidPrediction

RESULT_DESCRIPTOR = 3
CHANNEL_DESCRIPTOR = 4
APPLICATION_PATH = "/app"
LONGEST_MESSAGE = 4000


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
    # The part of ``os`` that is built in, here as in all that only the sandbox calls: the rest costs a plain run a millisecond.
    import posix

    sys.path.append(folder)
    if any(name.endswith(".pth") for name in posix.listdir(folder)):
        import site

        site.addsitedir(folder)


def load(entry_point):
    """The function that ``module:function`` names."""
    module_name, _, function_name = entry_point.partition(":")
    # Without ``importlib``, which brings ``warnings``.
    __import__(module_name)
    module = sys.modules[module_name]
    try:
        function = getattr(module, function_name)
    except AttributeError:
        raise LookupError(f"{module_name}.py has no function {function_name!r}, which the manifest's entry point names") from None
    if not callable(function):
        raise LookupError(f"{entry_point} is of type {type(function).__name__}, not a function")
    return function


class Run:
    """One run in two parts: what can be done before its point in time is known, and the rest."""

    def __init__(self, entry_point, packages=None):
        self._entry_point = entry_point
        self._packages = packages
        self._function = None
        self._stages = {}

    def prepare(self):
        """Imports packages and the author's module; gives the answer of the run if that fails, else None."""
        started = time.perf_counter()
        answer = _answer(self._load)
        self._stages["import"] = _milliseconds(started)
        return answer

    def _load(self):
        # Path files of packages hold code: like the author's own it runs within the limits, and what it breaks is not ours.
        _add_packages(self._packages)
        self._function = load(self._entry_point)

    def answer(self, header, bars, application_path=APPLICATION_PATH):
        """Calls the function; gives the answer to be written."""
        return _answer(lambda: self._predict(header, bars, application_path))

    def _predict(self, header, bars, application_path):
        called = time.perf_counter()
        output = header["output"]
        context = Context(bars, header["parameters"], header["as_of_microseconds"], output, application_path)
        rows = rows_of(self._function(context), output, header["as_of_microseconds"])
        self._stages["predict"] = _milliseconds(called)
        return {"rows": rows, "stages_ms": self._stages}


def run(header, bars, application_path=APPLICATION_PATH, packages=None):
    """One run from beginning to end, as the answer to be written: for a run at home, which is why it does not end the process."""
    whole = Run(header["entry_point"], packages)
    return whole.prepare() or whole.answer(header, bars, application_path)


def _milliseconds(started):
    return round((time.perf_counter() - started) * 1000, 3)


def _answer(work):
    """What ``work`` returns, or the answer that says what it raised."""
    try:
        return work()
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
    import os
    import traceback

    trace = error.__traceback__
    own = os.path.dirname(__file__)
    while trace is not None and os.path.dirname(trace.tb_frame.f_code.co_filename) in (own, ""):
        trace = trace.tb_next
    while trace is not None and trace.tb_next is not None:
        file = trace.tb_frame.f_code.co_filename
        if not file.startswith("<frozen importlib") and os.path.dirname(file) != own:
            break
        trace = trace.tb_next
    text = "".join(traceback.format_exception(type(error), error, trace)).rstrip()
    # A message of megabytes would end the run as a flood of output instead of by its exception.
    print(text if len(text) <= 16384 else text[:8192] + "\n…\n" + text[-8192:], file=sys.stderr)
    last = "".join(traceback.format_exception_only(type(error), error)).strip().splitlines()
    summary = last[-1] if last else type(error).__name__
    if len(text) > LONGEST_MESSAGE - 1000:
        text = "…" + text[-(LONGEST_MESSAGE - 1000) :]
    return f"{summary[:900]}\n{text}"


def _write(answer):
    import posix

    data = memoryview(_wire.dumps(answer).encode())
    while data:
        data = data[posix.write(RESULT_DESCRIPTOR, data) :]


def main():
    """Called by the executor's command line inside the sandbox."""
    import _imp
    import gc
    import posix

    if not _imp.is_frozen("os"):
        # Before 3.11 it comes from files, and what it imports in its turn would be looked for among the author's first.
        __import__("os")
    channel = Channel(CHANNEL_DESCRIPTOR)
    known = _wire.loads(channel.read().decode())
    sys.stdout.reconfigure(line_buffering=True)
    _lower_limits(known.get("limits"))
    sys.path.insert(0, APPLICATION_PATH)
    _bars.numpy_may_be_installed = bool(known.get("packages"))
    _more_bars.use(None)
    # Until here nothing was collected. What there is stays, so it need not be looked through for the author's rubbish either.
    if hasattr(gc, "freeze"):
        gc.freeze()
    gc.enable()
    posix.write(RESULT_DESCRIPTOR, b"\n")
    whole = Run(known["entry_point"], known.get("packages"))
    answer = whole.prepare()
    if known.get("ahead"):
        channel.send({"ready": True})
    frame = channel.input()
    if answer is None:
        header, bars = _frame.decode(frame)
        _more_bars.use(_more_bars.over(channel))
        answer = whole.answer(header, bars)
    _end(answer)


def _end(answer):
    import posix

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
    posix._exit(code)
