"""The same contract on the author's own machine: runs, checks, and what is shown of strangers' text."""

import json
import textwrap

import pytest

from auspex import _requirements, cli
from auspex._job_logs import LogEvent
from auspex._terminal import plain

APP = """
    import random
    from auspex import Prediction, signal
    @signal
    def predict(context):
        print("as of", context.as_of_microseconds, len(context.bars()))
        return Prediction({value})
"""
MANIFEST = """
    name = "At home"
    [schedule]
    kind = "interval"
    seconds = 60
    [[inputs]]
    instrument = "BTCUSD"
    interval = "1m"
    lookback = 3
    [output]
    kind = "price"
    instrument = "BTCUSD"
    horizon_seconds = 60
"""


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "app.py").write_text(textwrap.dedent(APP).format(value="context.bars().close[-1]"))
    (tmp_path / "auspex.toml").write_text(textwrap.dedent(MANIFEST))
    (tmp_path / "requirements.txt").write_text("numpy>=1.26\n")
    return tmp_path


def run(*arguments):
    return cli.main([str(argument) for argument in arguments])


def test_no_bar_is_given_that_had_not_ended_at_as_of(folder, capsys, tmp_path):
    bars = tmp_path / "bars.csv"
    lines = [f"2016-10-08T12:0{minute}:00Z,{600 + minute},{600 + minute},{600 + minute},{600 + minute},1" for minute in range(6)]
    bars.write_text("time,open,high,low,close,volume\n" + "\n".join(lines) + "\n")
    assert run("run", folder, "--bars", bars, "--as-of", "2016-10-08T12:04:30Z", "--json") == 0
    answer = json.loads(capsys.readouterr().out)
    assert answer["rows"][0]["value"] == "603", "the bar of 12:03 is the last that had ended"
    assert answer["rows"][0]["target_from"] == "2016-10-08T12:04:30.000000Z"
    assert run("run", folder, "--as-of", "soon") == 2


def test_the_same_bars_give_the_same_rows_or_it_is_said(folder, capsys):
    assert run("run", folder, "--repeat", 3) == 0
    (folder / "app.py").write_text(textwrap.dedent(APP).format(value="random.random()"))
    assert run("run", folder, "--repeat", 3) == 1
    assert "gave other rows" in capsys.readouterr().err


def test_declared_parameters_may_differ_from_run_to_run(folder, capsys):
    (folder / "auspex.toml").write_text(
        textwrap.dedent(MANIFEST) + '[parameters]\nplain = 1\n[parameters.threshold]\ntype = "number"\ndefault = 0.5\nminimum = 0\nmaximum = 1\n')
    (folder / "app.py").write_text(textwrap.dedent(APP).format(value='context.parameters["threshold"] + context.parameters["plain"]'))

    def value(*arguments):
        assert run("run", folder, "--json", *arguments) == 0
        return json.loads(capsys.readouterr().out)["rows"][0]["value"]

    assert value() == "1.5" and value("--set", "threshold=0.25") == "1.25"
    assert run("run", folder, "--set", "threshold=2") == 2 and run("run", folder, "--set", "plain=2") == 2
    assert "threshold must be at most 1" in capsys.readouterr().err
    text = (folder / "auspex.toml").read_text()
    (folder / "auspex.toml").write_text(text.replace("default = 0.5", 'default = "half"'))
    assert run("check", folder) == 1
    assert "parameters.threshold.default must be a number" in capsys.readouterr().err


def test_check_says_what_an_upload_would_be_refused_for(folder, capsys):
    assert run("check", folder) == 0
    (folder / "requirements.txt").write_text("numpy\n-r other.txt\n")
    (folder / "auspex.toml").write_text(textwrap.dedent(MANIFEST).replace("name =", 'entry_point = "app:forecast"\nname ='))
    assert run("check", folder) == 1
    said = capsys.readouterr().err
    assert "requirements.txt line 2: '-r' is an option" in said and "app.py defines no 'forecast'" in said
    (folder / "app.py").write_text("def predict(:\n")
    assert run("check", folder) == 1
    assert "app.py line 1" in capsys.readouterr().err


@pytest.mark.parametrize("change, words", [
    (('name = "At home"', f'name = "{"n" * 121}"'), "name must be a name of 1 to 120 characters"),
    (('name =', 'python = "two"\nname ='), "python must be a version"),
    (('name =', 'deadline_seconds = 86401\nname ='), "deadline_seconds must be at most 86400"),
    (("horizon_seconds = 60", "horizon_seconds = 31622401"), "output.horizon_seconds must be at most 31622400"),
    (("horizon_seconds = 60", "horizon_seconds = 60\nmaximum_rows = 1001"), "output.maximum_rows must be at most 1000"),
    (("horizon_seconds = 60", f'horizon_seconds = 60\n[parameters]\nlong = "{"x" * 8192}"'), "parameters has at most 8192 bytes"),
    (("lookback = 3", "lookback = 50001"), "lookback must be at most 50000"),
])
def test_check_has_the_bounds_of_the_platform(folder, capsys, change, words):
    (folder / "auspex.toml").write_text(textwrap.dedent(MANIFEST).replace(*change))
    assert run("check", folder) == 1
    assert words in capsys.readouterr().err


@pytest.mark.parametrize("text", [
    "numpy", "", "# nothing\n\n   \n", "NumPy >= 1.26 , < 3  # fine\r\npandas==2.*", "scikit_learn[Tests, alldeps]~=1.4",
    "tomli ; python_version < \"3.11\" and (os_name == 'posix')", "zope.interface!=5.0.0", "torch==2.1.0+cpu",
    "# Größe und 中文 dürfen in Kommentaren stehen\nnumpy",
])
def test_plain_requirements_are_accepted(text):
    assert _requirements.faults(text) == []


@pytest.mark.parametrize("text, line, words", [
    ("-r other.txt", 1, "'-r' is an option"), ("numpy\n--index-url https://example.org/simple", 2, "'--index-url' is an option"),
    ("-e .", 1, "'-e' is an option"), ("--find-links=/etc", 1, "'--find-links' is an option"),
    ("numpy @ https://example.org/numpy.whl", 1, "from an address"), ("https://example.org/numpy.whl", 1, "an address is not accepted"),
    ("git+https://example.org/x", 1, "an address is not accepted"), ("file:///etc/passwd", 1, "an address is not accepted"),
    ("./local", 1, "a path is not accepted"), ("/etc/passwd", 1, "a path is not accepted"), ("../up", 1, "a path is not accepted"),
    ("~/x", 1, "a path is not accepted"), ("numpy --hash=sha256:00", 1, "options after a package"), ("numpy \\\n==1.0", 1, "continued lines"),
    ("numpy===1.0", 1, "is no version condition"), ("numpy==", 1, "has no version"), ("numpy==1.*.2", 1, "'*' may only end"),
    ("numpy>=1.*", 1, "'*' may only end"), ("numpy 1.0", 1, "is no version condition"), ("numpy>=1 <2", 1, "separate several versions by commas"),
    ("numpy[", 1, "does not begin with a package's name"), ("numpy[a", 1, "do not end with ']'"), ("num\0py", 1, "plain ASCII"),
    ("nümpy", 1, "plain ASCII"), ("numpy; os.system('x')", 1, "not a word of markers"), ("numpy; (python_version < '3'", 1, "not complete"),
    ("${HOME}", 1, "does not begin with a package's name"), ("$(id)", 1, "does not begin with a package's name"),
])
def test_everything_else_is_refused_with_its_line(text, line, words):
    found = _requirements.faults(text)
    assert found and found[0].line == line and words in found[0].reason


def test_what_code_prints_cannot_speak_to_the_terminal(folder, capsys):
    (folder / "app.py").write_text(textwrap.dedent(APP).format(value="1").replace('print("as of"', 'print("\\x1b[2J\\x1b]0;title\\x07\\u202egolf"'))
    assert run("run", folder) == 0
    shown = capsys.readouterr().out
    assert "\x1b" not in shown and "\x07" not in shown and "\u202e" not in shown
    assert r"\x1b[2J\x1b]0;title\x07\u202egolf" in shown


@pytest.mark.parametrize("text, shown", [("a\r\nb", "a\nb"), ("50 %\rdone", "50 %\\x0ddone"), ("\x9b31m", "\\x9b31m"), ("größer 中文", "größer 中文"), ("\ud800", "\\ud800")])
def test_plain_text(text, shown):
    assert plain(text) == shown


def test_following_a_log_shows_whole_lines_and_tells_attempts_apart(capsys):
    class Double:
        def follow_log(self, job_id):
            yield LogEvent(1, "one\ntw")
            yield LogEvent(1, "o\n")
            yield LogEvent(2, "again\n\x1b[2J", left_out=7)
            yield LogEvent(2, state="failed", failure_kind="exception", error_message="ValueError: no\nmore")

    cli._follow(Double(), "j1")
    assert capsys.readouterr().out.splitlines() == [
        "run j1", "  | one", "  | two", "run j1, attempt 2", "  | [… 7 bytes left out …]", "  | again", r"  | \x1b[2J", "failed, exception",
        "  ! ValueError: no"]


def test_more_bars_at_home_by_the_rules_of_the_sandbox(folder, capsys, tmp_path):
    bars = tmp_path / "bars.csv"
    lines = [f"2016-10-08T12:0{minute}:00Z,{600 + minute},{610 + minute},{590 + minute},{600 + minute},1" for minute in range(8)]
    bars.write_text("time,open,high,low,close,volume\n" + "\n".join(lines) + "\n")
    (folder / "app.py").write_text(textwrap.dedent("""
        import auspex
        def attempt(**question):
            try: return auspex.bars(**question)
            except auspex.BarsRefused as error: return error.code
        def predict(context):
            whole = auspex.bars("BTCUSD", "2m", lookback=9)
            print(*(list(map(float, getattr(whole, name))) for name in ("close", "high", "volume")))
            print(list(map(float, auspex.bars("BTCUSD", "1m", start="2016-10-08T12:02:00+00:00", end="2016-10-08T12:04:00+00:00").close)))
            print(attempt(instrument="ETHUSD", interval="1m"), attempt(instrument="BTCUSD", interval="7s"))
            print(attempt(instrument="BTCUSD", interval="1m", end=context.as_of_microseconds + 1))
            return auspex.Prediction(1)
    """))
    assert run("run", folder, "--bars", bars, "--as-of", "2016-10-08T12:05:30Z", "--json") == 0
    log = json.loads(capsys.readouterr().out)["log"].splitlines()
    assert log == ["[601.0, 603.0] [611.0, 613.0] [2.0, 2.0]", "[602.0, 603.0]", "unknown_instrument refused", "after_as_of"]
    assert run("run", folder, "--json") == 0, "made-up bars answer as well"
