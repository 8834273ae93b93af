import FoundationEssentials
import Glibc
import Testing

@testable import executor

/// Byte code that is kept with a wheel serves every account that links it: nothing may come there but what that wheel's own sources say.
@Suite struct ByteCodeTests {
    /// A folder of downloads with unpacked wheels, and what two accounts installed of them.
    private struct Disk {
        let root = SandboxFixture.temporaryFolder
        var downloads: String { root + "/downloads" }

        func unpack(_ wheel: String, _ files: [String: String]) throws {
            for (path, text) in files { try Self.write(text, "\(downloads)/archive-v0/\(wheel)/\(path)") }
        }

        /// Links wheels into an environment one after the other, as the installer does: a later one's file replaces that of an earlier one.
        func install(_ wheels: [String], into site: String) throws {
            for wheel in wheels {
                let folder = "\(downloads)/archive-v0/\(wheel)"
                for path in try FileManager.default.subpathsOfDirectory(atPath: folder) {
                    var found = stat()
                    guard lstat("\(folder)/\(path)", &found) == 0, found.st_mode & S_IFMT == S_IFREG else { continue }
                    let target = "\(root)/\(site)/\(path)"
                    try Self.makeFolder(of: target)
                    unlink(target)
                    guard link("\(folder)/\(path)", target) == 0 else { throw SandboxError.system(call: "link", code: errno) }
                }
            }
        }

        /// Compiles an environment; gives what was said.
        func compile(_ site: String) throws -> String {
            try python(["-c", ByteCode.program, downloads, "\(root)/\(site)", "2"])
        }

        /// What a program says that imports a module of an environment.
        func value(_ module: String, in site: String) throws -> String {
            try python(["-c", "import sys; sys.path.insert(0, sys.argv[1]); import \(module); print(\(module).value)", "\(root)/\(site)"])
        }

        func python(_ arguments: [String]) throws -> String {
            let ran = try ChildProcess.run(path: "/usr/bin/python3", arguments: ["-ISB"] + arguments)
            #expect(ran.exitCode == 0, "\(ran.output)")
            return ran.output
        }

        private static func makeFolder(of path: String) throws {
            try FileManager.default.createDirectory(atPath: String(path[..<path.lastIndex(of: "/")!]), withIntermediateDirectories: true)
        }

        static func write(_ text: String, _ path: String) throws {
            try makeFolder(of: path)
            try Data(text.utf8).write(to: URL(filePath: path))
            // The same second for all: the time in byte code tells nothing apart here.
            var times = [timeval(tv_sec: 1_600_000_000, tv_usec: 0), timeval(tv_sec: 1_600_000_000, tv_usec: 0)]
            utimes(path, &times)
        }
    }

    private static func withDisk(_ body: (Disk) throws -> Void) throws {
        let disk = Disk()
        defer { FileTree.remove(disk.root) }
        try disk.unpack("six", ["six.py": "value = 'good'\n", "pack/part.py": "value = 'good'\n", "six-1.0.dist-info/METADATA": "Name: six\n"])
        try body(disk)
    }

    @Test func aWheelThatBringsAnothersFileLeavesNothingWithIt() throws {
        try Self.withDisk { disk in
            let text = "value = 'evil'\n"
            try disk.unpack("evil", ["six.py": text, "pack/part.py": text, "evil-1.0.dist-info/METADATA": "Name: evil\n"])
            try disk.install(["six", "evil"], into: "one")
            _ = try disk.compile("one")
            #expect(try disk.value("six", in: "one") == "evil\n", "its own author gets what he asked for")
            try disk.install(["six"], into: "two")
            _ = try disk.compile("two")
            #expect(try disk.value("six", in: "two") == "good\n")
            #expect(try disk.value("pack.part", in: "two") == "good\n")
        }
    }

    @Test func byteCodeThatAWheelBringsIsNotBelieved() throws {
        try Self.withDisk { disk in
            // Made of another source of the same length and time, so that it looks as if it held; and once more of a kind that nobody checks.
            for (name, mode) in [("timed", "TIMESTAMP"), ("unchecked", "UNCHECKED_HASH")] {
                let source = disk.root + "/made/six.py"
                try Disk.write("value = 'evil'\n", source)
                let place = try disk.python([
                    "-c",
                    "import os, py_compile, sys; made = py_compile.compile(sys.argv[1], invalidation_mode=py_compile.PycInvalidationMode.\(mode)); "
                        + "folder = sys.argv[2] + '/__pycache__'; os.makedirs(folder); os.rename(made, folder + '/' + os.path.basename(made))",
                    source, "\(disk.downloads)/archive-v0/\(name)",
                ])
                #expect(place.isEmpty)
                try disk.unpack(name, ["\(name)-1.0.dist-info/METADATA": "Name: \(name)\n"])
                try disk.install(["six", name], into: "of-" + name)
                _ = try disk.compile("of-" + name)
                #expect(try disk.value("six", in: "of-" + name) == "good\n")
            }
            try disk.install(["six"], into: "other")
            _ = try disk.compile("other")
            #expect(try disk.value("six", in: "other") == "good\n")
        }
    }

    @Test func whatAWheelsOwnSourcesSayIsKept() throws {
        try Self.withDisk { disk in
            try disk.install(["six"], into: "one")
            #expect(try disk.compile("one") == "Byte code of 2 files, 2 of them new\n")
            try disk.install(["six"], into: "two")
            #expect(try disk.compile("two") == "Byte code of 2 files, 0 of them new\n")
            #expect(try disk.value("pack.part", in: "two") == "good\n")
        }
    }
}
