import Contracts

/// Compiles what was installed, and keeps the byte code with the unpacked wheels from which it was linked.
///
/// Compiling is nine tenths of a build whose wheels are here already. The next environment that links the same wheel gets its byte code with it:
/// the files are the same ones, so their times say that it still holds. Only what is new is compiled, by several processes at once.
///
/// Environments of other accounts link the same wheels, and a wheel may bring files over those of another. So byte code belongs to a wheel only
/// beside a source that is that wheel's own file, and what else is found in the environment is removed before anything is compiled: what is
/// there afterwards is a wheel's own, or was made here.
enum ByteCode {
    /// For `python -c`, with the folder of downloads, the folder of packages and the number of processes.
    static let program = """
        import compileall, os, stat, sys
        cache, site, width = sys.argv[1], sys.argv[2], int(sys.argv[3])
        ending = "." + sys.implementation.cache_tag + ".pyc"

        def number(path):
            # Of a file itself: what a link leads to is nobody's.
            try: found = os.lstat(path)
            except OSError: return None
            return found.st_ino if stat.S_ISREG(found.st_mode) else None

        def is_same(one, other):
            one = number(one)
            return one is not None and one == number(other)

        def own_sources():
            # Every source of the environment that is the very file of an unpacked wheel, with its place there.
            unpacked = cache + "/archive-v0"
            for wheel in os.listdir(unpacked) if os.path.isdir(unpacked) else []:
                wheel = unpacked + "/" + wheel
                names = os.listdir(wheel) if os.path.isdir(wheel) else []
                infos = [name + "/METADATA" for name in names if name.endswith(".dist-info")]
                if not any(is_same(wheel + "/" + info, site + "/" + info) for info in infos): continue
                for folder, _, names in os.walk(wheel):
                    place = site + folder[len(wheel):]
                    for name in names:
                        if name.endswith(".py") and is_same(folder + "/" + name, place + "/" + name): yield place, folder, name[:-3]

        own = list(own_sources())
        trusted = set()
        for place, folder, stem in own:
            made = place + "/__pycache__/" + stem + ending
            if is_same(made, folder + "/__pycache__/" + stem + ending): trusted.add(made)
        for folder, _, names in os.walk(site):
            if os.path.basename(folder) != "__pycache__": continue
            for name in names:
                if name.endswith(".pyc") and folder + "/" + name not in trusted: os.unlink(folder + "/" + name)

        sources = sorted(os.path.join(folder, name) for folder, _, names in os.walk(site) for name in names if name.endswith(".py"))
        children = []
        for child_number in range(width):
            child = os.fork()
            if child == 0:
                code = 1
                try:
                    # Sources that do not compile (of another Python, say) are no fault before they are imported.
                    for path in sources[child_number::width]: compileall.compile_file(path, quiet=2)
                    code = 0
                finally:
                    os._exit(code)
            children.append(child)
        failed = [child for child in children if os.waitpid(child, 0)[1] != 0]
        if failed: sys.exit("byte code could not be compiled")

        kept = 0
        for place, folder, stem in own:
            made, ours = place + "/__pycache__/" + stem + ending, folder + "/__pycache__/" + stem + ending
            new = number(made)
            if new is None or new == number(ours): continue
            os.makedirs(folder + "/__pycache__", exist_ok=True)
            # In one step, whoever else builds with the same wheel now.
            part = "%s.%d" % (ours, os.getpid())
            if os.path.lexists(part): os.unlink(part)
            os.link(made, part)
            os.rename(part, ours)
            kept += 1
        print("Byte code of %d files, %d of them new" % (len(sources), kept))
        """
}
