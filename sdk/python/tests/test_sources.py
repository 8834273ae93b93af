"""The author's modules in the sandbox are compiled in a way of their own: what comes out must be what Python would have made."""

import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from auspex import _sources

SOURCE = Path(_sources.__file__)
MODULE = textwrap.dedent('''
    # -*- coding: latin-1 -*-
    """What it does."""
    from __future__ import annotations
    import sys
    assert sys.getprofile() is None and "Taken" not in globals()
    WORD = "caf\u00e9"
    def outer(a: WORD = 1):
        """Of a function."""
        def inner(): return [a for a in (lambda: (yield 1))()]
        return inner
    class Thing:
        def method(self): return __class__.__qualname__
    where = sys._getframe().f_code.co_filename
''').lstrip()


def python(program, *arguments, check=True):
    program = f"names = {{}}\nexec(open({str(SOURCE)!r}).read(), names)\nimport sys\n" + textwrap.dedent(program)
    return subprocess.run([sys.executable, "-ISB", "-c", program, *map(str, arguments)], check=check, capture_output=True, text=True)


def test_the_code_is_that_of_the_compiler(tmp_path):
    (tmp_path / "app.py").write_bytes(MODULE.encode("latin-1"))
    done = python("""
        folder = sys.argv[1]
        names["use"](folder)
        sys.path.insert(0, folder)
        import app, marshal
        loader = app.__loader__
        data = loader.get_data(app.__file__)
        assert type(loader).source_to_code is not type(loader).__mro__[1].source_to_code
        ours, pythons = loader.source_to_code(data, app.__file__), compile(data, app.__file__, "exec", dont_inherit=True)
        assert ours == pythons and marshal.dumps(ours) == marshal.dumps(pythons)
        print(app.where == app.__file__ == app.outer.__code__.co_filename, app.WORD.encode("unicode_escape").decode(), app.__doc__, app.Thing().method())
        print(sys.getprofile(), app.outer.__annotations__)
    """, tmp_path)
    assert done.stdout == "True caf\\xe9 What it does. Thing\nNone {'a': 'WORD'}\n"


@pytest.mark.parametrize("source, words", [
    (b"x = 1\ndef broken(:\n", "SyntaxError"), (b"x = 1\n\0", "null bytes"), (b"s = '\xff'\n", "app.py"), (b"  x = 1\n", "IndentationError"),
])
def test_what_cannot_be_compiled_is_told_with_its_file(tmp_path, source, words):
    (tmp_path / "app.py").write_bytes(source)
    program = "names['use'](sys.argv[1]); sys.path.insert(0, sys.argv[1]); import app"
    done = python(program, tmp_path, check=False)
    plain = python("sys.path.insert(0, sys.argv[1]); import app", tmp_path, check=False)
    assert words in done.stderr and done.returncode == 1
    assert done.stderr.splitlines()[-1] == plain.stderr.splitlines()[-1]


def test_an_empty_module_and_a_package_are_found(tmp_path):
    (tmp_path / "empty.py").write_text("")
    (tmp_path / "package").mkdir()
    (tmp_path / "package" / "__init__.py").write_text("from .part import value\n")
    (tmp_path / "package" / "part.py").write_text("value = 5\n")
    done = python("names['use'](sys.argv[1]); sys.path.insert(0, sys.argv[1]); import empty, package; print(package.value, empty.__file__)", tmp_path)
    assert done.stdout == f"5 {tmp_path}/empty.py\n"
