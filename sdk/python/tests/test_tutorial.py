"""docs/providers.md is a tutorial that runs: its code and its manifest are what this test runs."""

import re
from pathlib import Path

import pytest

from auspex import cli

TUTORIAL = Path(__file__).parents[3] / "docs" / "providers.md"


@pytest.fixture
def folder(tmp_path):
    blocks = re.findall(r"^```(python|toml)\n(.*?)^```$", TUTORIAL.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
    code = [text for kind, text in blocks if kind == "python"]
    manifest = [text for kind, text in blocks if kind == "toml"]
    assert code and len(manifest) >= 2
    (tmp_path / "app.py").write_text(code[0], encoding="utf-8")
    (tmp_path / "auspex.toml").write_text("\n".join(manifest[:2]), encoding="utf-8")
    (tmp_path / "requirements.txt").write_text("")
    return tmp_path


def test_the_tutorial_runs(folder, capsys):
    assert cli.main(["check", str(folder)]) == 0
    assert cli.main(["run", str(folder), "--repeat", "2", "--set", "threshold=0.2"]) == 0
    assert "BTCUSD direction" in capsys.readouterr().out
    assert cli.main(["run", str(folder), "--set", "threshold=2"]) == 2
