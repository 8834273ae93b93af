import Contracts
import Cryptography
import Requirements
import Testing

@testable import signals

@Suite("Project files and versions")
struct ProjectTests {
    func file(_ path: String, _ text: String = "x", bytes: Int = 1) -> ProjectFile {
        ProjectFile(path: path, sha256: SHA256.digest(utf8: text), bytes: bytes)
    }

    @Test(
        "Paths that lead out of the folder or hide are refused",
        arguments: [
            "", "/etc/passwd", "../app.py", "a/../b", "a//b", "a/", ".env", "a/.git/x", "-rf", "a b", "a\u{0}b", "ä.py", "a\\b",
            String(repeating: "x", count: 201),
        ]
    )
    func badPaths(path: String) {
        #expect(ProjectRules.pathFault(path) != nil)
    }

    @Test("Ordinary paths pass", arguments: ["app.py", "models/weights-1.bin", "a/b/c/d.parquet", "__init__.py"])
    func goodPaths(path: String) {
        #expect(ProjectRules.pathFault(path) == nil)
    }

    @Test("A set of files is judged as a whole")
    func sets() {
        let base = [file("app.py"), file("auspex.toml")]
        #expect(ProjectRules.problems(in: base).isEmpty)
        #expect(ProjectRules.problems(in: [file("app.py")]).map(\.code) == ["missing_file"])
        #expect(ProjectRules.problems(in: base + [file("APP.py")]).map(\.code) == ["duplicate_path"])
        #expect(ProjectRules.problems(in: base + [file("lib"), file("lib/a.py")]).map(\.code) == ["bad_path"])
        #expect(ProjectRules.problems(in: base + [file("a/b/c.py"), file("A/b")]).map(\.code) == ["bad_path"])
        #expect(ProjectRules.problems(in: base + [file("w.bin", bytes: ProjectLimits.totalBytes)]).map(\.code) == ["project_too_large"])
        #expect(ProjectRules.problems(in: base + [file("requirements.txt", bytes: ProjectLimits.textBytes + 1)]).map(\.code) == ["file_too_large"])
    }

    @Test("Requirements may only name packages")
    func requirements() {
        let good = """
            # numbers
            numpy==1.26.4
            pandas>=2,<3   # frames
            scikit-learn[extra]~=1.5 ; python_version < "3.12"

            typing_extensions
            """
        #expect(RequirementsFile.problems(in: good).isEmpty)
        let bad = [
            "-r other.txt", "--index-url http://x", "numpy @ https://x/y.whl", "./local", "git+https://x", "numpy evil", "$(x)", "-e .",
            "numpy==1.26.4 --hash=sha256:abc",
        ]
        for line in bad { #expect(RequirementsFile.problems(in: "numpy\n" + line).map(\.line) == [2], "\(line)") }
    }

    @Test("A version's hash knows order from content")
    func hash() {
        let first = VersionHash.digest(files: [file("a"), file("b", "y")], manifestJSON: [1])
        #expect(first == VersionHash.digest(files: [file("b", "y"), file("a")], manifestJSON: [1]))
        #expect(first != VersionHash.digest(files: [file("a", "y"), file("b")], manifestJSON: [1]))
        #expect(first != VersionHash.digest(files: [file("a"), file("b", "y")], manifestJSON: [2]))
    }

    @Test("Differences by file and by manifest key")
    func difference() {
        let changes = VersionDiff.fileChanges(from: [file("a"), file("b"), file("c")], to: [file("a"), file("b", "new"), file("d")])
        #expect(changes.map { "\($0.change.rawValue) \($0.path)" } == ["changed b", "removed c", "added d"])
        let fields = VersionDiff.manifestChanges(
            from: ["output": ["kind": "direction", "horizon_seconds": 60], "name": "x"],
            to: ["output": ["kind": "price", "horizon_seconds": 60], "python": "3.12"]
        )
        #expect(fields.map(\.field) == ["name", "output.kind", "python"])
    }

    @Test("Hunks are those of diff -u")
    func unified() {
        let old = (1...12).map { "line \($0)" }.joined(separator: "\n") + "\n"
        let new = old.replacing("line 2\n", with: "line two\n").replacing("line 11\n", with: "")
        let expected = """
            @@ -1,5 +1,5 @@
             line 1
            -line 2
            +line two
             line 3
             line 4
             line 5
            @@ -8,5 +8,4 @@
             line 8
             line 9
             line 10
            -line 11
             line 12

            """
        #expect(UnifiedDiff.text(from: old, to: new) == expected)
        #expect(UnifiedDiff.text(from: old, to: old) == "")
        #expect(UnifiedDiff.text(from: "", to: "a\nb\n") == "@@ -0,0 +1,2 @@\n+a\n+b\n")
        #expect(UnifiedDiff.text(from: String(repeating: "x\n", count: 6_000), to: "") == nil)
    }
}
