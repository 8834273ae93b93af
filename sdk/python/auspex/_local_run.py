"""The program of a run at home: the same runner as in the sandbox, in a process of its own, without the sandbox's walls."""

import json
import os
import sys


def main():
    frame, folder, result = sys.argv[1:4]
    from auspex import _frame, _more_bars, _runner

    with open(frame, "rb") as file:
        header, bars = _frame.decode(file.read())
    sys.path.insert(0, folder)
    sys.stdout.reconfigure(line_buffering=True)
    _more_bars.use(None)
    whole = _runner.Run(header["entry_point"])
    answer = whole.prepare()
    if answer is None:
        if "home" in header:
            from auspex import _home_bars

            _more_bars.use(_home_bars.source(header))
        answer = whole.answer(header, bars, folder)
    with open(result, "w", encoding="utf-8") as file:
        json.dump(answer, file)
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(0)


if __name__ == "__main__":
    main()
