import Contracts
import FoundationEssentials
import Glibc

/// What runs find at `/sdk`: the `auspex` package of the Python SDK, copied and byte-compiled once at start into one file for each Python.
///
/// Copied, because the run's user may not be able to read the place where Auspex is installed, and because a read-only folder without
/// byte code costs every run the compilation of every module. One file, because to find nine of them takes a plain run a millisecond.
struct AuthorRuntime: Sendable {
    /// The folder to mount at `/sdk`.
    let folder: String
    /// The folder to mount at `/sdk` for a conversion of a foreign table: no author's code shares it.
    let converterFolder: String
    /// What the converter needs, with the hashes of what may be installed.
    let converterLock: String

    /// The modules that a run needs; the rest of the SDK (clients, commands) has no business in a sandbox.
    static let modules = [
        "__init__.py", "author.py", "_bars.py", "_bundled.py", "_channel.py", "_frame.py", "_more_bars.py", "_rows.py", "_runner.py", "_wire.py",
    ]

    /// What turns foreign tables into text, and the lock of what it needs.
    static let converter = "_table_conversion.py"
    static let converterLockFile = "_table_conversion.lock"

    /// The program that starts a conversion, for `python -c`.
    static let conversionProgram = "import sys; sys.path.insert(0, '/sdk'); from _table_conversion import main; main()"

    /// The program that starts a run, for `python -c`: it is compiled each time, so it is short. The folder is for processes that the author's code starts.
    static let program = """
        import sys, gc, marshal, posix
        gc.disable()
        from _frozen_importlib_external import MAGIC_NUMBER
        file = posix.open('/sdk/' + MAGIC_NUMBER.hex() + '.modules', posix.O_RDONLY)
        bundled, codes = marshal.loads(posix.read(file, posix.fstat(file).st_size))
        posix.close(file)
        names = {}
        exec(bundled, names)
        names['use'](codes)
        sys.path.append('/sdk')
        from auspex._runner import main
        main()
        """

    /// Makes what that reads, with the Python that runs it.
    private static let bundling = "import sys; sys.path.insert(0, sys.argv[1]); from auspex._bundled import write; write(sys.argv[1], '/sdk')"

    /// Copies the modules from `source` (the folder that holds `auspex/`) below `root` and compiles them for each Python. Blocks.
    static func install(from source: String, below root: String, pythons: [String]) throws -> AuthorRuntime {
        let target = root + "/runner-\(getpid())"
        let (folder, converterFolder) = (target + "/sdk", target + "/converter")
        let package = folder + "/auspex"
        let files = FileManager.default
        FileTree.remove(target)
        try files.createDirectory(atPath: package, withIntermediateDirectories: true)
        for module in modules { try files.copyItem(atPath: "\(source)/auspex/\(module)", toPath: "\(package)/\(module)") }
        try files.createDirectory(atPath: converterFolder, withIntermediateDirectories: true)
        try files.copyItem(atPath: "\(source)/auspex/\(converter)", toPath: "\(converterFolder)/\(converter)")
        guard let lock = files.contents(atPath: "\(source)/auspex/\(converterLockFile)") else {
            throw SandboxError.refused("\(source)/auspex/\(converterLockFile) is not there")
        }
        for python in pythons {
            for arguments in [
                ["-ISB", "-c", bundling, folder],
                ["-I", "-m", "compileall", "-q", "--invalidation-mode", "unchecked-hash", target],
            ] {
                let compiled = try ChildProcess.run(path: python, arguments: arguments)
                guard compiled.exitCode == 0 else {
                    throw SandboxError.refused("\(python) cannot compile the SDK: \(compiled.output.prefix(utf8Bytes: 500))")
                }
            }
        }
        try FileTree.makeReadable(target)
        return AuthorRuntime(folder: folder, converterFolder: converterFolder, converterLock: String(decoding: lock, as: UTF8.self))
    }

    /// Removes the copies of executors that were killed. Blocks.
    static func removeOrphans(below root: String) {
        for name in (try? FileManager.default.contentsOfDirectory(atPath: root)) ?? [] where name.hasPrefix("runner-") {
            guard let pid = pid_t(name.dropFirst("runner-".count)), kill(pid, 0) != 0, errno == ESRCH else { continue }
            FileTree.remove("\(root)/\(name)")
        }
    }

    /// Removes this process' copy. Blocks.
    static func removeOwnCopy(below root: String) {
        FileTree.remove("\(root)/runner-\(getpid())")
    }

    /// Finds the folder that holds `auspex/_runner.py`: beside an installation or above a build folder.
    static func locate(from program: String) -> String? {
        var folder = program
        while let slash = folder.lastIndex(of: "/") {
            folder = String(folder[..<slash])
            for candidate in ["share/auspex/python", "sdk/python"] where access("\(folder)/\(candidate)/auspex/_runner.py", R_OK) == 0 {
                return "\(folder)/\(candidate)"
            }
        }
        return nil
    }
}
