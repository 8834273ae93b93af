"""The command line: four commands from an empty folder to a published signal, and the ledger check."""

import hashlib
import json
import subprocess
import sys
import urllib.parse
from pathlib import Path

import pytest
from platform_double import PlatformDouble

from auspex import cli
from auspex._project import LARGEST_PART, Manifest, Project, ProjectError


def run(*arguments):
    return cli.main([str(argument) for argument in arguments])


@pytest.fixture
def project(tmp_path, capsys):
    folder = tmp_path / "my-signal"
    assert run("init", folder, "--instrument", "EURUSD", "--interval", "1h") == 0
    capsys.readouterr()
    return folder


def test_init_makes_a_whole_project(project, capsys):
    assert sorted(path.name for path in project.iterdir()) == ["app.py", "auspex.toml", "requirements.txt"]
    manifest = Project(project).manifest
    assert manifest.name == "My signal" and manifest.inputs[0].instrument == "EURUSD" and manifest.output["horizon_seconds"] == 3600
    assert run("init", project) == 2
    assert "not empty" in capsys.readouterr().err
    assert run("init", project.parent / "other", "--interval", "often") == 1


def test_run_here(project, capsys):
    assert run("run", project) == 0
    out = capsys.readouterr().out
    assert "made-up bars of EURUSD" in out and "over 20 bars" in out and "row 0: EURUSD direction" in out


def test_run_as_a_program(project):
    command = [sys.executable, "-m", "auspex.cli", "run", "--json"]
    environment = {"PYTHONPATH": str(Path(cli.__file__).parent.parent), "PATH": "/usr/bin:/bin"}
    result = subprocess.run(command, cwd=project, capture_output=True, text=True, env=environment, check=False)
    assert result.returncode == 0, result.stderr
    answer = json.loads(result.stdout)
    assert answer["rows"][0]["instrument"] == "EURUSD" and "over 20 bars" in answer["log"]


def test_run_on_bars_of_ones_own(project, capsys, tmp_path):
    bars = tmp_path / "bars.csv"
    lines = ["time,open,high,low,close"] + [f"2017-01-02T{hour:02d}:00:00Z,1,1,1,{1 + hour / 1000}" for hour in range(24)]
    bars.write_text("\n".join(lines))
    assert run("run", project, "--bars", bars) == 0
    out = capsys.readouterr().out
    assert "as of 2017-01-03 00:00:00 UTC" in out and "EURUSD direction 1 for 2017-01-03T00:00:00.000000Z" in out
    assert run("run", project, "--bars", f"EURUSD={bars}") == 0
    bars.write_text("\n".join(lines[:3] + ["2017-01-02T01:00:00Z,1,1,1,1"]))
    assert run("run", project, "--bars", bars) == 1
    assert "line 4: the times do not rise" in capsys.readouterr().err
    bars.write_text("time,open,high,low,close\n2017-01-02T00:00:00Z,1,1,x,1\n")
    assert run("run", project, "--bars", bars) == 1
    assert "line 2" in capsys.readouterr().err
    assert run("run", project, "--bars", tmp_path / "none.csv") == 1


@pytest.mark.parametrize("code,kind,words", [
    ("def predict(context):\n    return 1\n", "invalid_output", "must return a Prediction"),
    ("from auspex import Prediction\ndef predict(context):\n    return Prediction(7)\n", "invalid_output", "row 0"),
    ("def predict(context):\n    1 / 0\n", "exception", "ZeroDivisionError"),
    ("import nosuchpackage\n", "exception", "pip install -r"),
    ("def other(context):\n    pass\n", "exception", "no function 'predict'"),
    ("def predict(context)\n", "exception", "SyntaxError"),
    ("import os\ndef predict(context):\n    os._exit(3)\n", "exception", "ended with code 3"),
    ("def predict(context):\n    exit(1)\n", "exception", "SystemExit"),
])
def test_faults_of_the_code(project, capsys, code, kind, words):
    (project / "app.py").write_text(code)
    assert run("run", project) == 1
    out = capsys.readouterr().out
    assert f"failed, {kind}:" in out and words in out


def test_a_run_that_does_not_end(project, capsys, monkeypatch):
    monkeypatch.setattr("auspex._project.TIME_LIMITS", {"small": 1})
    (project / "app.py").write_text("def predict(context):\n    print('begun', flush=True)\n    while True:\n        pass\n")
    assert run("run", project) == 1
    out = capsys.readouterr().out
    assert "time_limit" in out and "| begun" in out


@pytest.mark.parametrize("change,words", [
    ('name = ', 'nme ='), ("kind = \"direction\"", 'kind = "maybe"'), ("horizon_seconds = 3600", "horizon_seconds = 0"), ("lookback = 200", "lookback = true"),
    ("lookback = 200", "lookback = 50001"),
    ('interval = "1h"', 'interval = "hourly"'), ("[output]", "[outpt]"), ('class = "small"', 'class = "tiny"'), ("[parameters]", "[parameters"),
    ('entry_point = "app:predict"', 'entry_point = "app.py"'),
])
def test_faults_of_the_manifest_are_named(project, capsys, change, words):
    path = project / "auspex.toml"
    text = path.read_text()
    assert change in text
    path.write_text(text.replace(change, words, 1))
    assert run("run", project) == 1
    assert capsys.readouterr().err.startswith("auspex-sdk: ")


def test_manifest_defaults():
    manifest = Manifest.parse('name = "a"\n[schedule]\nkind = "interval"\nseconds = 60\n[output]\nkind = "price"\ninstrument = "X"\nhorizon_seconds = 5\n')
    assert (manifest.entry_point, manifest.python, manifest.resource_class, manifest.time_limit_seconds) == ("app:predict", "3.11", "small", 60)
    assert manifest.output["maximum_rows"] == 1 and manifest.inputs == () and manifest.parameters == {}


class Platform:
    """What `publish` and `logs` need of a platform."""

    def __init__(self):
        self.state = {"state": "completed", "result": {"rows": [{"row": 0, "instrument": "EURUSD", "kind": "direction", "value": "1", "target_from": "a", "target_to": "b"}]}}
        self.signals = 0
        self.published = None
        self.blobs = {}
        self.version = None

    def answer(self, request):
        method, path = request["method"], request["path"]
        if request["headers"].get("x-api-key") != "aus_key":
            return 401, {"code": "invalid_api_key", "detail": "There is no such API key."}
        if (method, path) == ("POST", "/api/signals"):
            self.signals += 1
            return 201, {"id": f"sig{self.signals}", "name": request["json"]["name"], "state": "draft"}
        if method == "PUT" and "/blobs/" in path:
            digest = path.rsplit("/", 1)[1]
            assert hashlib.sha256(request["body"]).hexdigest() == digest
            self.blobs[digest] = len(request["body"])
            return 200, {"sha256": digest, "bytes": len(request["body"])}
        if method == "POST" and path.endswith("/versions"):
            self.version = request["json"]
            if self.version["note"] == "bad":
                problems = [{"code": "bad_manifest", "field": "auspex.toml: name", "detail": "is missing"}, {"code": "x", "field": "app.py", "detail": "is odd"}]
                return 422, {"code": "bad_manifest", "detail": "auspex.toml: name: is missing.", "problems": problems}
            return 201, {"id": "v", "signal_id": "sig1", "number": 4, "sha256": "ab" * 32, "note": ""}
        if path.endswith("/dry-run"):
            return 202, {"id": "run", "version": 4, "state": "pending"}
        if "/dry-runs/" in path:
            return 200, {"id": "run", "version": 4, "log": "hello from the sandbox\n", "refusal": None, **self.state}
        if path.endswith("/publish"):
            self.published = request["json"]
            return 200, {"id": "sig1", "name": "n", "state": "published"}
        if path.startswith("/api/jobs?"):
            query = urllib.parse.parse_qs(path.split("?", 1)[1])
            assert query["signal_id"] == ["sig1"] and query["kind"] == ["signal_run,dry_run"]
            return 200, {"items": [
                {"job_id": "j2", "kind": "signal_run", "state": "failed", "failure_kind": "exception", "error_message": "ValueError: bad\nmore", "completed_at": "2026-01-01T00:00:02Z"},
                {"job_id": "j1", "kind": "signal_run", "state": "completed", "completed_at": "2026-01-01T00:00:01Z"}]}
        if path == "/api/jobs/j1/logs":
            return 200, {"job_id": "j1", "attempt": 1, "log": "all well\n", "truncated": False}
        if path == "/api/jobs/j2/logs":
            return 404, {"code": "not_found", "detail": "No log."}
        return 404, {"code": "no_such_route", "detail": path}


def test_publish_and_logs(project, capsys, monkeypatch):
    monkeypatch.setenv("AUSPEX_API_KEY", "aus_key")
    (project / "weights.bin").write_bytes(bytes([255, 0, 1]))
    (project / "large.bin").write_bytes(b"x" * (LARGEST_PART + 5))
    (project / ".hidden").write_text("secret")
    (project / "__pycache__").mkdir()
    (project / "__pycache__" / "app.pyc").write_bytes(b"0")
    platform = Platform()
    with PlatformDouble(platform.answer) as double:
        assert run("publish", project, "--url", double.url, "--note", "first") == 0
        out = capsys.readouterr().out
        assert "version 4: 5 files" in out and "| hello from the sandbox" in out and "row 0: EURUSD direction 1" in out and "published:" in out
        files = {item["path"]: item for item in platform.version["files"]}
        assert sorted(files) == ["app.py", "auspex.toml", "large.bin", "requirements.txt", "weights.bin"]
        assert files["weights.bin"]["content_base64"] == "/wAB"
        assert files["large.bin"]["parts"] == list(platform.blobs) and sorted(platform.blobs.values()) == [5, LARGEST_PART]
        assert platform.version["note"] == "first" and platform.published == {"version": 4}
        # Every fault of an upload is shown.
        assert run("publish", project, "--note", "bad") == 1
        assert "  app.py: is odd\n" in capsys.readouterr().err
        # The second time the folder knows its signal.
        assert run("publish", project, "--url", double.url) == 0
        assert platform.signals == 1
        saved = (project / ".auspex" / "project.json").read_text()
        assert "sig1" in saved and "aus_key" not in saved
        capsys.readouterr()
        assert run("logs", project) == 0
        out = capsys.readouterr().out
        assert out.index("all well") < out.index("signal_run failed") < out.index("ValueError: bad")
        assert "more" not in out


def test_what_fails_in_the_sandbox_is_not_published(project, capsys, monkeypatch):
    monkeypatch.setenv("AUSPEX_API_KEY", "aus_key")
    platform = Platform()
    with PlatformDouble(platform.answer) as double:
        platform.state = {"state": "failed", "failure_kind": "exception", "error_message": "ValueError: bad"}
        assert run("publish", project, "--url", double.url) == 1
        assert "failed, exception: ValueError: bad" in capsys.readouterr().out
        platform.state = {"state": "completed", "result": {"rows": []}, "refusal": {"row": 0, "reason": "no"}}
        assert run("publish", project, "--url", double.url) == 1
        assert "would be refused: row 0: no" in capsys.readouterr().out
        assert platform.published is None
        platform.state = {"state": "completed", "result": {"rows": []}}
        assert run("publish", project, "--url", double.url, "--try-only") == 0
        assert platform.published is None
        assert run("publish", project, "--url", double.url, "--no-try") == 0
        assert platform.published == {"version": 4}


def test_mistakes_are_one_clear_line(project, capsys, monkeypatch, tmp_path):
    monkeypatch.setattr(sys, "stdin", open("/dev/null", encoding="utf-8"))
    assert run("publish", project) == 2
    assert "AUSPEX_API_KEY" in capsys.readouterr().err
    assert run("logs", project) == 2
    capsys.readouterr()
    monkeypatch.setenv("AUSPEX_API_KEY", "aus_wrong")
    with PlatformDouble(Platform().answer) as double:
        assert run("publish", project, "--url", double.url) == 1
        assert capsys.readouterr().err == "auspex-sdk: There is no such API key. (invalid_api_key)\n"
    assert run("logs", project) == 2
    assert run("run", tmp_path) == 1
    assert "auspex-sdk init" in capsys.readouterr().err
    assert run("publish", project, "--url", "nonsense") == 2
    assert run() == 2


def test_links_and_too_many_files_are_refused(project):
    (project / "link").symlink_to("/etc/passwd")
    with pytest.raises(ProjectError, match="link"):
        Project(project).files()
    (project / "link").unlink()
    for number in range(101):
        (project / f"f{number}").write_text("")
    with pytest.raises(ProjectError, match="100 files"):
        Project(project).files()


def test_verify_ledger(tmp_path, capsys):
    from test_ledger import jwks, ledger

    good, bad, keys = tmp_path / "good.json", tmp_path / "bad.json", tmp_path / "keys.json"
    document = ledger()
    good.write_text(json.dumps(document))
    document["rows"][2]["payload"] += " "
    bad.write_text(json.dumps(document))
    keys.write_text(json.dumps(jwks()))
    assert run("verify-ledger", good) == 0
    assert run("verify-ledger", good, "--keys", keys) == 0
    assert "2 signatures checked" in capsys.readouterr().out
    assert run("verify-ledger", bad) == 1
    assert "first bad row 3: payload" in capsys.readouterr().out
    for text in ("", "[]", "{}", '{"signal_id": 3}'):
        bad.write_text(text)
        assert run("verify-ledger", bad) == 2
    assert run("verify-ledger", tmp_path / "none.json") == 1


def test_what_others_printed_is_shown_and_not_obeyed(capsys):
    cli._show_log("\x1b[2J\x1b]0;owned\x07 all is well\n\u202egnp.exe \u200b\x9b31m\tend\n")
    shown = capsys.readouterr().out
    assert shown == "  | \\x1b[2J\\x1b]0;owned\\x07 all is well\n  | \\u202egnp.exe \\u200b\\x9b31m\tend\n"
