"""The contract between an author's code and a run: bars in, rows out."""

import contextlib
import json
import math
import mmap
import os
import random
import socket
import subprocess
import sys
import textwrap
from datetime import datetime, timedelta, timezone
from decimal import Decimal

import pytest

from auspex import Bars, InvalidPrediction, Prediction, signal
from auspex import _frame, _rows, _runner, _wire

AS_OF = 1475928060000000
OUTPUT = {"kind": "price", "instrument": "BTCUSD", "horizon_seconds": 60, "maximum_rows": 3}


def columns(rows=5):
    prices = [600 + row / 4 for row in range(rows)]
    return {"time": [AS_OF - (rows - row) * 15000000 for row in range(rows)], "open": prices, "high": prices, "low": prices,
            "close": prices, "volume": [2.5] * rows}


def header(**changes):
    return {"entry_point": "app:predict", "parameters": {"window": 3}, "as_of_microseconds": AS_OF, "output": OUTPUT, **changes}


def rows(returned, **output):
    return _rows.rows_of(returned, {**OUTPUT, **output}, AS_OF)


def test_a_frame_comes_back_as_it_was():
    block = _frame.encode(header(), [("BTCUSD", "15s", columns()), ("SPY", "1m", columns(0))])
    read, bars = _frame.decode(block)
    assert read["parameters"] == {"window": 3}
    assert [(one.instrument, one.interval, len(one)) for one in bars] == [("BTCUSD", "15s", 5), ("SPY", "1m", 0)]
    assert list(bars[0].close) == columns()["close"] and list(bars[0].time) == columns()["time"]
    with pytest.raises(AttributeError, match="no column 'clsoe'"):
        bars[0].clsoe
    with pytest.raises(ValueError):
        _frame.decode(b"something else entirely")


def test_columns_share_the_memory_of_the_block():
    block = bytes(_frame.encode(header(), [("BTCUSD", "15s", columns())]))
    column = _frame.decode(block)[1][0].close
    with pytest.raises((TypeError, ValueError)):
        column[0] = 1.0
    if hasattr(column, "flags"):
        assert not column.flags.owndata


@pytest.mark.parametrize("value, text", [
    (1, "1"), (0, "0"), (-0.0, "0"), (616.53, "616.53"), (1e-7, "0.0000001"), (-1.5e22, "-15000000000000000000000"), (1e16, "10000000000000000"),
    (Decimal("616.530"), "616.53"), (Decimal("1E+3"), "1000"), ("0616.50", "616.5"), ("-0", "0"), ("-0.50", "-0.5"),
])
def test_values_become_decimal_text(value, text):
    assert _rows.decimal_text(value) == text


def test_random_floats_keep_their_value():
    random.seed(1)
    for _ in range(2000):
        value = random.uniform(-1, 1) * 10 ** random.randint(-20, 20)
        assert float(_rows.decimal_text(value)) == value


@pytest.mark.parametrize("value", [True, None, float("nan"), float("inf"), Decimal("NaN"), "1e5", "", "1.", ".5", "+1", "٣", " 1", [1], "9" * 65])
def test_what_is_no_number_is_refused(value):
    with pytest.raises(InvalidPrediction):
        _rows.decimal_text(value)


@pytest.mark.parametrize("kind, value, words", [
    ("direction", 2, "a direction is -1, 0 or 1"), ("direction", 0.5, "a direction"), ("probability", 1.01, "between 0 and 1"),
    ("probability", -0.1, "between 0 and 1"), ("quantiles", 5, "a mapping"), ("quantiles", {}, "no level"), ("quantiles", {0: 1}, "between 0 and 1"),
    ("quantiles", {1: 1}, "between 0 and 1"), ("quantiles", {0.1: 2, 0.9: 1}, "above the value"), ("quantiles", {"0.5": 1, 0.5: 1}, "twice"),
])
def test_values_that_do_not_fit_their_kind(kind, value, words):
    with pytest.raises(InvalidPrediction, match=words) as raised:
        rows(Prediction(value), kind=kind)
    assert raised.value.row == 0


def test_a_row_has_its_defaults_from_the_manifest():
    assert rows(Prediction("616.530")) == [{
        "row": 0, "instrument": "BTCUSD", "kind": "price", "value": "616.53", "target_from": "2016-10-08T12:01:00.000000Z",
        "target_to": "2016-10-08T12:02:00.000000Z"}]
    assert rows(None) == [] and rows([]) == []
    assert [row["row"] for row in rows(Prediction(1) for _ in range(3))] == [0, 1, 2]


def test_targets_in_all_their_spellings():
    later = datetime(2016, 10, 8, 14, 5, tzinfo=timezone(timedelta(hours=2)))
    for target in (later, int(later.timestamp()) * 1000000, "2016-10-08T12:05:00+00:00"):
        row, = rows(Prediction(1, target_from="2016-10-08T12:04:00Z", target_to=target))
        assert (row["target_from"], row["target_to"]) == ("2016-10-08T12:04:00.000000Z", "2016-10-08T12:05:00.000000Z")
    for wrong in (datetime(2016, 10, 8, 12, 5), "soon", 1.5, True, AS_OF, 10**30):
        with pytest.raises(InvalidPrediction):
            rows(Prediction(1, target_to=wrong))
    with pytest.raises(InvalidPrediction, match="known already"):
        rows(Prediction(1, target_from=AS_OF - 1))
    # A target_from alone moves the window; one of another length breaks the manifest's promise, and the platform would refuse the run.
    assert rows(Prediction(1, target_from=AS_OF + 5000000))[0]["target_to"] == "2016-10-08T12:02:05.000000Z"
    for target in ({"target_to": AS_OF + 60000001}, {"target_from": AS_OF + 1, "target_to": AS_OF + 60000000}):
        with pytest.raises(InvalidPrediction, match=r"target_to must be horizon_seconds \(60\) after target_from"):
            rows(Prediction(1, **target))


@pytest.mark.parametrize("returned, row, words", [
    (7, None, "must return a Prediction"), ({"value": 1}, None, "returned dict"), ("1", None, "returned str"),
    ([Prediction(1), 7], 1, "must be a Prediction"), ([Prediction(1)] * 4, 3, "maximum_rows"),
    (Prediction(1, "ETHUSD"), 0, "manifest promises 'BTCUSD'"), (Prediction(1, kind="direction"), 0, "manifest promises 'price'"),
])
def test_rows_that_break_the_promise(returned, row, words):
    with pytest.raises(InvalidPrediction, match=words) as raised:
        rows(returned)
    assert raised.value.row == row


def test_times_are_written_by_the_calendar():
    random.seed(2)
    for _ in range(5000):
        number = random.randint(_rows.EARLIEST, _rows.LATEST)
        moment = datetime(1970, 1, 1, tzinfo=timezone.utc) + timedelta(microseconds=number)
        assert _rows.iso(number) == moment.isoformat(timespec="microseconds").replace("+00:00", "Z")


def test_small_json_is_json():
    value = {"a": [1, 2.5, None, True, False, "é\n\"\U0001F600", {"b": {}}], "c": -1e-9, "d": [], "e": 12345678901234567890}
    assert json.loads(_wire.dumps(value)) == value == _wire.loads(json.dumps(value))
    for wrong in ("", "{", "{} x", "nul"):
        with pytest.raises(ValueError):
            _wire.loads(wrong)
    with pytest.raises(ValueError):
        _wire.dumps(math.nan)


def test_a_context_names_what_there_is(tmp_path):
    (tmp_path / "model.json").write_text("{}")
    bars = [Bars("BTCUSD", "15s", 0, {}), Bars("BTCUSD", "1m", 0, {})]
    from auspex import Context

    context = Context(bars, {}, AS_OF, OUTPUT, str(tmp_path))
    assert context.bars("BTCUSD", "1m") is bars[1] and context.instruments == ["BTCUSD"]
    assert context.as_of == datetime(2016, 10, 8, 12, 1, tzinfo=timezone.utc)
    assert context.path("model.json") == str(tmp_path / "model.json")
    with pytest.raises(KeyError, match="2 inputs fit 'BTCUSD'"):
        context.bars("BTCUSD")
    with pytest.raises(ValueError):
        context.path("../secret")
    with pytest.raises(FileNotFoundError):
        context.path("missing.json")


def run_as_in_the_sandbox(folder, application, known, header_of_run, answers=(), options=(), as_file=False):
    """The runner in a process of its own, with our end of its channel; ``answers`` are what is said to its questions, as (message, file or None).

    ``as_file`` hands the input over as a large one is.
    """
    (folder / "frame").write_bytes(_frame.encode(header_of_run, [("BTCUSD", "15s", columns())]))
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    program = textwrap.dedent(f"""
        import posix, sys
        sys.path.insert(0, {os.path.dirname(os.path.dirname(_frame.__file__))!r})
        posix.dup2(posix.open({str(folder / 'answer')!r}, posix.O_WRONLY | posix.O_CREAT), 3)
        posix.dup2({theirs.fileno()}, 4)
        from auspex import _runner
        _runner.APPLICATION_PATH = {str(application)!r}
        _runner.main()
    """)
    with ours:
        process = subprocess.Popen(
            [sys.executable, *options, "-c", program], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, pass_fds=[theirs.fileno()])
        theirs.close()
        ours.settimeout(60)
        ours.send(json.dumps(known).encode())
        if known.get("ahead"):
            assert json.loads(ours.recv(4096)) == {"ready": True}
        with open(folder / "frame", "rb") as frame:
            if as_file:
                ours.send(b'{"start":true}')
                socket.send_fds(ours, [b'{"input":true}'], [frame.fileno()])
            else:
                ours.send(b'{"start":true}'.ljust(64) + frame.read())
        questions = []
        for message, path in answers:
            questions.append(json.loads(ours.recv(4096)))
            with open(path or os.devnull, "rb") as file:
                # Who has given up asking may have closed the channel by now.
                with contextlib.suppress(BrokenPipeError):
                    socket.send_fds(ours, [json.dumps(message).encode()], [file.fileno()] if path else [])
        output, errors = process.communicate(timeout=60)
    done = subprocess.CompletedProcess(program, process.returncode, output, errors)
    done.questions = questions
    return done


@pytest.mark.parametrize("as_file", [False, True], ids=["message", "file"])
def test_the_runner_speaks_over_its_descriptors(tmp_path, as_file):
    """As in the sandbox, but without one: the channel at descriptor 4, the answer at 3, prints in the log."""
    (tmp_path / "app.py").write_text(textwrap.dedent("""
        from auspex import Prediction, signal
        @signal
        def predict(context):
            print("bars", len(context.bars()))
            return Prediction(context.bars().close[-1])
    """))
    done = run_as_in_the_sandbox(tmp_path, tmp_path, {"entry_point": "app:predict"}, header(), as_file=as_file)
    assert (done.returncode, done.stdout, done.stderr) == (0, "bars 5\n", "")
    answer = (tmp_path / "answer").read_text()
    assert answer.startswith("\n")
    assert json.loads(answer)["rows"][0]["value"] == "601"


@pytest.mark.parametrize("options", [["-ISB"], ["-ISB", "-X", "frozen_modules=off"]], ids=["frozen", "as before 3.11"])
def test_a_file_of_the_author_does_not_stand_for_what_os_needs(tmp_path, options):
    (tmp_path / "stat.py").write_text("")
    (tmp_path / "app.py").write_text("import os.path\nfrom auspex import Prediction\ndef predict(context): return Prediction(int(os.path.isdir('/')))\n")
    done = run_as_in_the_sandbox(tmp_path, tmp_path, {"entry_point": "app:predict"}, header(), options=options)
    answer = json.loads((tmp_path / "answer").read_text())
    assert [row["value"] for row in answer.get("rows", [])] == ["1"], (answer, done.stderr)


@pytest.mark.parametrize("before", ["", "import warnings, os, weakref\n"], ids=["plain", "after warnings"])
def test_what_the_compiler_warns_of_is_told_with_its_file(tmp_path, before):
    """Python of the standard library runs while such a module is compiled, if it is there already: none of it is the author's."""
    (tmp_path / "part.py").write_text("NUMBER = 7\n\n\ndef same(): return NUMBER is 7\n")
    (tmp_path / "app.py").write_text(before + "import part\nfrom auspex import Prediction\ndef predict(context): return Prediction(1 if part.same() else -1)\n")
    done = run_as_in_the_sandbox(tmp_path, tmp_path, {"entry_point": "app:predict"}, header(), options=["-ISB"])
    answer = json.loads((tmp_path / "answer").read_text())
    assert [row["value"] for row in answer.get("rows", [])] == ["1"], (answer, done.stderr)
    assert f"{tmp_path}/part.py:4: SyntaxWarning: " in done.stderr and "<string>" not in done.stderr


@pytest.mark.parametrize("extra", [0, 1], ids=["the longest", "longer"])
def test_a_message_is_whole_or_refused(extra):
    from auspex import _channel

    for with_file in (False, True):
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with ours:
            ours.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4 * _channel.LONGEST_MESSAGE)
            channel = _channel.Channel(theirs.detach())
            ours.send(b'"' + b"x" * (_channel.LONGEST_MESSAGE - 2 + extra) + b'"')
            with pytest.raises(ValueError, match="longer than 262144 bytes") if extra else contextlib.nullcontext():
                message = channel.receive()[0] if with_file else json.loads(channel.read())
                assert len(message) == _channel.LONGEST_MESSAGE - 2
            channel.close()


def test_a_plain_run_imports_next_to_nothing(tmp_path):
    """Each module costs every cold run a part of a millisecond: what Python can do without stays out, up to the call of the function."""
    (tmp_path / "app.py").write_text("from auspex import Prediction\ndef predict(context): return Prediction(1)\n")
    (tmp_path / "frame").write_bytes(_frame.encode(header(), [("BTCUSD", "15s", columns())]))
    program = textwrap.dedent(f"""
        import sys
        before = set(sys.modules)
        sys.path[:0] = [{os.path.dirname(os.path.dirname(_frame.__file__))!r}, {str(tmp_path)!r}]
        import posix
        from auspex import _channel, _frame, _more_bars, _runner
        channel = _channel.Channel(posix.dup(int(sys.argv[1])))
        run = _runner.Run("app:predict")
        assert run.prepare() is None
        known, bars = _frame.decode(channel.input())
        _more_bars.use(_more_bars.over(channel))
        assert run.answer(known, bars)["rows"][0]["value"] == "1"
        print(*sorted(name for name in set(sys.modules) - before if not name.startswith("auspex")))
    """)
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with ours, theirs:
        ours.send(b'{"start":true}'.ljust(64) + (tmp_path / "frame").read_bytes())
        done = subprocess.run(
            [sys.executable, "-ISB", "-c", program, str(theirs.fileno())], capture_output=True, text=True, pass_fds=[theirs.fileno()])
    assert (set(done.stdout.split()) - {"_json"}, done.stderr) == ({"app"}, "")


def test_a_large_file_is_mapped_and_a_small_one_is_read(tmp_path):
    from auspex import _channel

    for size, kind in ((_channel.LARGEST_READ, bytes), (_channel.LARGEST_READ + 1, mmap.mmap)):
        (tmp_path / "file").write_bytes(bytes(size - 1) + b"x")
        descriptor = os.open(tmp_path / "file", os.O_RDONLY)
        os.lseek(descriptor, 7, os.SEEK_SET)
        data = _channel.read_file(descriptor)
        assert type(data) is kind and memoryview(data).readonly and (len(data), data[size - 1 :]) == (size, b"x")
        with pytest.raises(OSError):
            os.fstat(descriptor)


def test_what_an_import_ahead_raised_is_the_answer_of_the_run(tmp_path):
    (tmp_path / "app.py").write_text("print('once')\nraise ValueError('broken model')\n")
    done = run_as_in_the_sandbox(tmp_path, tmp_path, {"entry_point": "app:predict", "ahead": True}, header())
    answer = json.loads((tmp_path / "answer").read_text())
    assert answer["error"]["kind"] == "exception" and answer["error"]["message"].startswith("ValueError: broken model\n")
    assert done.stdout == "once\n" and done.returncode == 0


def test_more_bars_come_over_the_channel(tmp_path):
    (tmp_path / "app.py").write_text(textwrap.dedent("""
        import auspex
        def predict(context):
            days = auspex.bars("BTCUSD", "1d", lookback=2)
            print(days, list(map(float, days.close)))
            try:
                auspex.bars("BTCUSD", "1h", start="2016-10-08T06:00:00+00:00", end=context.as_of)
            except auspex.BarsRefused as error:
                print(error.code, error)
    """))
    (tmp_path / "days").write_bytes(_frame.encode({}, [("BTCUSD", "1d", {name: [values[0], values[1]] for name, values in columns().items()})]))
    refused = {"refused": {"code": "too_many_bars", "message": "ask for less"}}
    done = run_as_in_the_sandbox(
        tmp_path, tmp_path, {"entry_point": "app:predict"}, header(), [({"bars": True, "id": 1}, tmp_path / "days"), ({**refused, "id": 2}, None)])
    assert done.stdout == f"Bars('BTCUSD', '1d', 2 bars) {columns()['close'][:2]}\ntoo_many_bars ask for less\n"
    hours = {"instrument": "BTCUSD", "interval": "1h", "start": 1475906400000000, "end": AS_OF}
    assert done.questions == [{"bars": {"instrument": "BTCUSD", "interval": "1d", "lookback": 2}, "id": 1}, {"bars": hours, "id": 2}]


@pytest.mark.parametrize("interval, number", [("1d", 2), ("1d", None), ("1h", 1)])
def test_the_answer_to_another_question_ends_the_channel(tmp_path, interval, number):
    (tmp_path / "app.py").write_text(textwrap.dedent("""
        import auspex
        def predict(context):
            for _ in range(2):
                try: print(auspex.bars("BTCUSD", "1d", lookback=2))
                except auspex.BarsRefused as error: print(error.code)
    """))
    (tmp_path / "bars").write_bytes(_frame.encode({}, [("BTCUSD", interval, {name: values[:2] for name, values in columns().items()})]))
    wrong = {"bars": True} if number is None else {"bars": True, "id": number}
    done = run_as_in_the_sandbox(tmp_path, tmp_path, {"entry_point": "app:predict"}, header(), [(wrong, tmp_path / "bars")])
    assert done.stdout == "channel_closed\nchannel_closed\n"
    assert len(done.questions) == 1


def test_what_was_forked_cannot_take_an_answer(tmp_path):
    (tmp_path / "app.py").write_text(textwrap.dedent("""
        import os
        import auspex
        def predict(context):
            child = os.fork()
            if child == 0:
                try: auspex.bars("BTCUSD", "1d", lookback=2)
                except auspex.BarsRefused as error: print(error.code, flush=True)
                os._exit(0)
            os.waitpid(child, 0)
            print(len(auspex.bars("BTCUSD", "1d", lookback=2)))
    """))
    (tmp_path / "days").write_bytes(_frame.encode({}, [("BTCUSD", "1d", {name: values[:2] for name, values in columns().items()})]))
    done = run_as_in_the_sandbox(
        tmp_path, tmp_path, {"entry_point": "app:predict"}, header(), [({"bars": True, "id": 1}, tmp_path / "days")])
    assert done.stdout == "other_process\n2\n"
    assert len(done.questions) == 1


def test_what_interrupts_a_question_ends_the_channel(tmp_path):
    """The answer that comes later would be taken for that of the next question."""
    (tmp_path / "app.py").write_text(textwrap.dedent("""
        import auspex
        from auspex import _channel
        class Late(Exception): pass
        def predict(context):
            receive = _channel.Channel.receive
            def interrupted(self): raise Late()
            _channel.Channel.receive = interrupted
            try: auspex.bars("BTCUSD", "1d", lookback=2)
            except Late: print("late")
            _channel.Channel.receive = receive
            try: print(auspex.bars("BTCUSD", "1h", lookback=2))
            except auspex.BarsRefused as error: print(error.code)
    """))
    (tmp_path / "days").write_bytes(_frame.encode({}, [("BTCUSD", "1d", {name: values[:2] for name, values in columns().items()})]))
    done = run_as_in_the_sandbox(
        tmp_path, tmp_path, {"entry_point": "app:predict"}, header(), [({"bars": True, "id": 1}, tmp_path / "days")])
    assert done.stdout == "late\nchannel_closed\n"


def test_bars_cannot_be_asked_for_while_the_module_is_imported(tmp_path):
    (tmp_path / "app.py").write_text("from auspex import bars\nbars('BTCUSD', '1d')\n")
    run_as_in_the_sandbox(tmp_path, tmp_path, {"entry_point": "app:predict"}, header())
    assert "inside the function" in json.loads((tmp_path / "answer").read_text())["error"]["message"]


@pytest.mark.parametrize("line, code", [("import os; os._exit(9)", 9), ("import sys; sys.exit(3)", 0)])
def test_path_files_of_packages_run_after_the_limits_and_the_mark(tmp_path, line, code):
    """What a package's path file breaks is the code's fault: the executor has seen the mark by then, and the limits hold."""
    (tmp_path / "app").mkdir()
    (tmp_path / "app" / "app.py").write_text("def predict(context): pass\n")
    (tmp_path / "site").mkdir()
    seen = f"import resource; print(resource.getrlimit(resource.RLIMIT_NPROC)[0], flush=True); {line}"
    (tmp_path / "site" / "evil.pth").write_text(seen + "\n")
    known = {"entry_point": "app:predict", "packages": str(tmp_path / "site"), "limits": {"processes": 61}}
    done = run_as_in_the_sandbox(tmp_path, tmp_path / "app", known, header())
    assert (done.returncode, done.stdout.splitlines()[:1]) == (code, ["61"]), done
    answer = (tmp_path / "answer").read_text()
    assert answer.startswith("\n")
    if code == 0:
        assert json.loads(answer)["error"]["kind"] == "exception"


def test_the_decorator_only_marks():
    @signal
    def predict(context):
        return context

    assert predict(5) == 5 and predict.__auspex_signal__
    assert _runner.RESULT_DESCRIPTOR == 3
