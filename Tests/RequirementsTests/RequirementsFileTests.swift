import Testing

@testable import Requirements

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
        (
            "a==1!2.0\nb>=1.0rc1\nc==1.0.post1.dev2\nd==v1.0\ne>=1.0-1\nf==1.0a\ng==2024.1",
            "a==1!2.0\nb>=1.0rc1\nc==1.0.post1.dev2\nd==v1.0\ne>=1.0-1\nf==1.0a\ng==2024.1\n"
        ),
        (
            "x ; 'linux' in sys_platform or os_name not in 'nt' and (python_version >= '3.9')",
            "x ; 'linux' in sys_platform or os_name not in 'nt' and ( python_version >= '3.9' )\n"
        ),
        ("numpy<2\nnumpy>=1 ; os_name == 'posix'", "numpy<2\nnumpy>=1 ; os_name == 'posix'\n"),
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
        ("${HOME}", 1, "variables are not accepted"),
        ("$(id)", 1, "variables are not accepted"),
        ("numpy==${VERSION}", 1, "variables are not accepted"),
        ("%TEMP%", 1, "variables are not accepted"),
        ("--requirement other.txt", 1, "'--requirement' is an option"),
        ("--constraint=c.txt", 1, "'--constraint' is an option"),
        ("--extra-index-url https://example.org", 1, "'--extra-index-url' is an option"),
        ("--trusted-host example.org", 1, "is an option"),
        ("--config-settings x", 1, "is an option"),
        ("hg+ssh://example.org/x", 1, "an address is not accepted"),
        ("numpy@file:///etc/passwd", 1, "from an address"),
        ("file:etc", 1, "an address is not accepted"),
        ("numpy; python_version @ '3'", 1, "not a word of markers"),
        ("C:\\x", 1, "is no version condition"),
        ("numpy\u{202E}", 1, "plain ASCII"),
        ("ｎumpy", 1, "plain ASCII"),
        ("numpy\u{301}", 1, "plain ASCII"),
        ("numpy\u{200B}==1", 1, "plain ASCII"),
        ("numpy #\u{301} x", 1, "plain ASCII"),
        ("# fine\u{2028}-r other.txt", 2, "is an option"),
        ("# fine\u{B}-r other.txt", 2, "is an option"),
        ("numpy==banana", 1, "no version"),
        ("numpy==1..2", 1, "this is no version"),
        ("numpy==1.2.", 1, "this is no version"),
        ("numpy==1.2x", 1, "this is no version"),
        ("numpy==1!", 1, "this is no version"),
        ("numpy>=1.0+cpu", 1, "a local version"),
        ("numpy==1.0+", 1, "this is no version"),
        ("numpy~=2", 1, "two numbers or more"),
        ("numpy; python_version", 1, "no condition"),
        ("numpy; python_version '3'", 1, "no condition"),
        ("numpy; python_version < '3' and", 1, "no condition"),
        ("numpy; and", 1, "no condition"),
        ("numpy; ()", 1, "no condition"),
        ("numpy; python_version not '3'", 1, "no condition"),
        ("numpy; python_version < '3' os_name == 'x'", 1, "no condition"),
        ("numpy; python_version < '3'; os_name == 'x'", 1, "not a word of markers"),
    ])
    func everythingElseIsRefusedWithItsLine(text: String, line: Int, words: String) {
        #expect {
            _ = try RequirementsFile(parsing: text)
        } throws: { error in
            guard let problem = error as? RequirementsFile.Problem else { return false }
            return problem.line == line && problem.reason.contains(words)
        }
    }

    @Test func everyBadLineIsToldAtOnce() {
        let problems = RequirementsFile.problems(in: "numpy\n-r x\npandas\n./y\n")
        #expect(problems.map(\.line) == [2, 4])
        #expect(RequirementsFile.problems(in: "numpy\npandas").isEmpty)
    }

    @Test func boundsAreNamed() {
        let many = (0...200).map { "package\($0)" }.joined(separator: "\n")
        #expect(throws: RequirementsFile.Problem(reason: "it has 201 requirements, but may have 200")) { try RequirementsFile(parsing: many) }
        #expect(throws: RequirementsFile.Problem.self) { try RequirementsFile(parsing: String(repeating: "#", count: 70_000)) }
        #expect(throws: RequirementsFile.Problem.self) { try RequirementsFile(parsing: "a" + String(repeating: "b", count: 600)) }
    }
}
