"""The modules of a run in one file, made where Auspex runs: to look for nine modules, open them and check them takes as long as a plain run's own code.

``write`` makes the file with the Python that is to read it: this module, and all by their names. In the sandbox this one is executed first, and its
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
                codes[name] = compile(source.read(), f"{inside}/{_PACKAGE}/{file}", "exec", dont_inherit=True)
    # By the number of this Python's byte code: what another one wrote is not read.
    with open(f"{folder}/{importlib.util.MAGIC_NUMBER.hex()}.modules", "wb") as target:
        target.write(marshal.dumps((codes.pop(f"{_PACKAGE}._bundled"), codes)))


def use(codes):
    """From now on the modules are found among these."""
    # The part of ``importlib`` that is built in.
    from _frozen_importlib import ModuleSpec

    class Finder:
        """Finds and loads them."""

        @staticmethod
        def find_spec(name, path=None, target=None):
            code = codes.get(name)
            if code is None:
                return None
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
