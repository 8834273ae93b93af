import Testing

@testable import executor

/// A requirements file is understood whole or refused with its line.
@Suite struct RequirementsFileTests {
    @Test(arguments: [
        ("numpy", "numpy\n"),
        ("", ""),
        ("# nothing\n\n   \n", ""),
        ("NumPy >= 1.26 , < 3  # fine\r\npandas==2.*", "numpy<3,>=1.26\npandas==2.*\n"),
        ("scikit_learn[Tests, alldeps]~=1.4", "scikit-learn[alldeps,tests]~=1.4\n"),
        ("numpy\nnumpy\nNUMPY", "numpy\n"),
        ("tomli ; python_version < \"3.11\" and (os_name == 'posix')", "tomli ; python_version < '3.11' and ( os_name == 'posix' )\n"),
        ("zope.interface!=5.0.0", "zope-interface!=5.0.0\n"),
        ("torch==2.1.0+cpu", "torch==2.1.0+cpu\n"),
        ("# Größe und 中文 dürfen in Kommentaren stehen\nnumpy", "numpy\n"),
    ])
    func plainLinesAreAccepted(text: String, canonical: String) throws {
        #expect(try RequirementsFile(parsing: text).text == canonical)
    }

    @Test(arguments: [
        ("-r other.txt", 1, "'-r' is an option"),
        ("numpy\n--index-url https://example.org/simple", 2, "'--index-url' is an option"),
        ("-e .", 1, "'-e' is an option"),
        ("-c/etc/passwd", 1, "is an option"),
        ("--find-links=/etc", 1, "'--find-links' is an option"),
        ("numpy @ https://example.org/numpy.whl", 1, "from an address"),
        ("https://example.org/numpy.whl", 1, "an address is not accepted"),
        ("git+https://example.org/x", 1, "an address is not accepted"),
        ("file:///etc/passwd", 1, "an address is not accepted"),
        ("./local", 1, "a path is not accepted"),
        ("/etc/passwd", 1, "a path is not accepted"),
        ("../up", 1, "a path is not accepted"),
        ("~/x", 1, "a path is not accepted"),
        ("numpy --hash=sha256:00", 1, "options after a package"),
        ("numpy \\\n==1.0", 1, "continued lines"),
        ("numpy===1.0", 1, "is no version condition"),
        ("numpy==", 1, "has no version"),
        ("numpy==1.*.2", 1, "'*' may only end"),
        ("numpy>=1.*", 1, "'*' may only end"),
        ("numpy 1.0", 1, "is no version condition"),
        ("numpy>=1 <2", 1, "separate several versions by commas"),
        ("numpy[", 1, "does not begin with a package's name"),
        ("numpy[a", 1, "do not end with ']'"),
        ("num\u{0}py", 1, "plain ASCII"),
        ("nümpy", 1, "plain ASCII"),
        ("numpy; os.system('x')", 1, "not a word of markers"),
        ("numpy; (python_version < '3'", 1, "not complete"),
        ("${HOME}", 1, "does not begin with a package's name"),
        ("$(id)", 1, "does not begin with a package's name"),
    ])
    func everythingElseIsRefusedWithItsLine(text: String, line: Int, words: String) {
        #expect {
            _ = try RequirementsFile(parsing: text)
        } throws: { error in
            guard let problem = error as? RequirementsFile.Problem else { return false }
            return problem.line == line && problem.reason.contains(words)
        }
    }

    @Test func boundsAreNamed() {
        let many = (0...200).map { "package\($0)" }.joined(separator: "\n")
        #expect(throws: RequirementsFile.Problem(reason: "it has 201 requirements, but may have 200")) { try RequirementsFile(parsing: many) }
        #expect(throws: RequirementsFile.Problem.self) { try RequirementsFile(parsing: String(repeating: "#", count: 70_000)) }
        #expect(throws: RequirementsFile.Problem.self) { try RequirementsFile(parsing: "a" + String(repeating: "b", count: 600)) }
    }
}
