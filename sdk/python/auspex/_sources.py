"""The author's modules in the sandbox, compiled without ``compile``: its first call makes the types of the syntax tree, which takes longer than a plain
run's own code. Nothing of a run is kept, so there is no byte code either.

``exec`` of a text compiles as well, and makes no such types. A profiler hears of the module's code before the first of its instructions is executed; there it
is taken and the call is given up. The code is the same, but for the file's name, which is set afterwards.
"""

import sys


def use(folder):
    """From now on modules of the folder are compiled so, where Python has what that needs."""
    try:
        from _frozen_importlib_external import ExtensionFileLoader, FileFinder, SourceFileLoader, SourcelessFileLoader
        from _imp import _fix_co_filename, extension_suffixes
    except ImportError:
        return
    if sys.implementation.name != "cpython":
        return

    class Taken(BaseException):
        """The code is known."""

    def code_of(source, path):
        found = []

        def hear(frame, event, argument):
            if event == "call":
                sys.setprofile(None)
                found.append(frame.f_code)
                raise Taken

        sys.setprofile(hear)
        try:
            exec(source, {})
        except Taken:
            pass
        finally:
            sys.setprofile(None)
        if not found:
            raise ValueError("nobody said which code is executed")
        _fix_co_filename(found[0], path)
        return found[0]

    class Loader(SourceFileLoader):
        """Loads one of them."""

        def source_to_code(self, data, path, *, _optimize=-1):
            if isinstance(data, bytes) and _optimize == -1 and sys.getprofile() is None:
                try:
                    return code_of(data, path)
                except (SyntaxError, ValueError):
                    # Said again below, with the name of the file.
                    pass
            return super().source_to_code(data, path, _optimize=_optimize)

    # As Python's own finder of a folder, but for the loader of sources.
    sys.path_importer_cache[folder] = FileFinder(
        folder, (ExtensionFileLoader, extension_suffixes()), (Loader, [".py"]), (SourcelessFileLoader, [".pyc"]))
