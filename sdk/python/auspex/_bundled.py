"""The modules of a run in one file, made where Auspex runs: to look for nine modules, open them and check them takes as long as a plain run's own code.

``write`` makes the file with the Python that is to read it: this module, and all by their names, without their docstrings. In the sandbox this one is executed first, and its
``use`` lets Python find the others. Beside the file they lie in their folder: for tracebacks, and for processes that the author's code starts.
"""

import sys

_PACKAGE = "auspex"


def write(folder, inside):
    """Compiles all modules of ``folder/auspex`` into one file of that folder, which will be seen as ``inside``."""
    import importlib.util
    import marshal
    import os

    codes = {}
    for file in sorted(os.listdir(f"{folder}/{_PACKAGE}")):
        stem, ending = os.path.splitext(file)
        if ending == ".py":
            name = _PACKAGE if stem == "__init__" else f"{_PACKAGE}.{stem}"
            with open(f"{folder}/{_PACKAGE}/{file}", "rb") as source:
                codes[name] = compile(source.read(), f"{inside}/{_PACKAGE}/{file}", "exec", dont_inherit=True, optimize=2)
    # By the number of this Python's byte code: what another one wrote is not read.
    with open(f"{folder}/{importlib.util.MAGIC_NUMBER.hex()}.modules", "wb") as target:
        target.write(marshal.dumps((codes.pop(f"{_PACKAGE}._bundled"), codes)))


def _extension(name, ModuleSpec, ExtensionFileLoader):
    """A compiled module of Python's own, at the place where it lies: to look for it in all folders takes as long as to load it. None elsewhere."""
    import _imp
    import posix

    for folder in sys.path:
        if folder.endswith("/lib-dynload"):
            path = f"{folder}/{name}{_imp.extension_suffixes()[0]}"
            try:
                posix.stat(path)
            except OSError:
                return None
            spec = ModuleSpec(name, ExtensionFileLoader(name, path), origin=path)
            spec.has_location = True
            return spec
    return None


def use(codes):
    """From now on the modules are found among these."""
    # The parts of ``importlib`` that are built in.
    from _frozen_importlib import ModuleSpec
    from _frozen_importlib_external import ExtensionFileLoader

    class Finder:
        """Finds and loads them."""

        @staticmethod
        def find_spec(name, path=None, target=None):
            code = codes.get(name)
            if code is None:
                return _extension(name, ModuleSpec, ExtensionFileLoader) if name == "_json" else None
            spec = ModuleSpec(name, Finder, origin=code.co_filename, is_package=name == _PACKAGE)
            spec.has_location = True
            if name == _PACKAGE:
                spec.submodule_search_locations.append(code.co_filename.rpartition("/")[0])
            return spec

        @staticmethod
        def create_module(spec):
            return None

        @staticmethod
        def exec_module(module):
            exec(codes[module.__spec__.name], module.__dict__)

    sys.meta_path.insert(0, Finder)
