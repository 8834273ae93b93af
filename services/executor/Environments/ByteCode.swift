/// Compiles what was installed, and keeps the byte code with the unpacked wheels from which it was linked.
///
/// Compiling is nine tenths of a build whose wheels are here already. The next environment that links the same wheel gets its byte code with it:
/// the files are the same ones, so their times say that it still holds. Only what is new is compiled, by several processes at once.
enum ByteCode {
    /// For `python -c`, with the folder of downloads, the folder of packages and the number of processes.
    static let program = """
        import compileall, os, sys
        cache, site, width = sys.argv[1], sys.argv[2], int(sys.argv[3])
        sources = sorted(os.path.join(folder, name) for folder, _, names in os.walk(site) for name in names if name.endswith(".py"))
        children = []
        for number in range(width):
            child = os.fork()
            if child == 0:
                code = 1
                try:
                    # Sources that do not compile (of another Python, say) are no fault before they are imported.
                    for path in sources[number::width]: compileall.compile_file(path, quiet=2)
                    code = 0
                finally:
                    os._exit(code)
            children.append(child)
        failed = [child for child in children if os.waitpid(child, 0)[1] != 0]
        if failed: sys.exit("byte code could not be compiled")

        def number(path):
            try: return os.stat(path).st_ino
            except OSError: return None

        def keep(wheel):
            kept = 0
            for folder, _, names in os.walk(wheel):
                stems = {name[:-3] for name in names if name.endswith(".py")}
                made, ours = site + folder[len(wheel):] + "/__pycache__", folder + "/__pycache__"
                if not stems or not os.path.isdir(made): continue
                os.makedirs(ours, exist_ok=True)
                for name in os.listdir(made):
                    if not name.endswith(".pyc") or name.split(".")[0] not in stems: continue
                    new, old = number(made + "/" + name), number(ours + "/" + name)
                    if new == old: continue
                    if old is not None: os.unlink(ours + "/" + name)
                    os.link(made + "/" + name, ours + "/" + name)
                    kept += 1
            return kept

        kept, unpacked = 0, cache + "/archive-v0"
        for wheel in os.listdir(unpacked) if os.path.isdir(unpacked) else []:
            wheel = unpacked + "/" + wheel
            for name in os.listdir(wheel) if os.path.isdir(wheel) else []:
                if not name.endswith(".dist-info"): continue
                # The same file, and not only the same name: this wheel is the one that was linked.
                linked = number(site + "/" + name + "/METADATA")
                if linked is not None and linked == number(wheel + "/" + name + "/METADATA"): kept += keep(wheel)
        print("Byte code of %d files, %d of them new" % (len(sources), kept))
        """
}
