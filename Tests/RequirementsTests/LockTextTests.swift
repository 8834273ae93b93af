import Testing

@testable import Requirements

/// A lock is exact versions with hashes; whatever an installer could take for an order is none.
@Suite struct LockTextTests {
    private static let hash = "    --hash=sha256:" + String(repeating: "0a", count: 32)

    @Test func whatTheInstallerWritesIsALock() {
        #expect(LockText.isPlain("numpy==2.1.0 \\\n\(Self.hash) \\\n\(Self.hash)\nscikit-learn==1.5.0rc1 \\\n\(Self.hash)\n"))
        #expect(LockText.isPlain("tomli==2.0.1 ; python_version < '3.11' \\\n\(Self.hash)\n"))
        #expect(LockText.isPlain("torch==2.1.0+cpu \\\n\(Self.hash)\n"))
        #expect(LockText.isPlain(""), "nothing to install is a lock as well")
    }

    @Test(arguments: [
        "numpy==2.1.0\n", "numpy==2.1.0 \\\n", "numpy>=2.1.0 \\\nHASH\n", "numpy==2.1.0,<3 \\\nHASH\n", "numpy==2.* \\\nHASH\n", "numpy \\\nHASH\n",
        "numpy ; os_name == 'posix' \\\nHASH\n",
        "HASH\n    --hash=md5:00\n", "numpy==1 \\\n    --hash=sha256:00\n", "-r other.txt\n", "--index-url https://example.org\n",
        "numpy==1 \\\nHASH\n--index-url https://example.org\n", "numpy==1 \\\nHASH --index-url https://example.org\n",
        "numpy @ https://example.org/numpy.whl \\\nHASH\n", "numpy==1 \\\nHASH\n# a comment\n", "numpy==1 \\\nHASH\r\n-e .\n", "\u{0}",
    ])
    func nothingElseIs(text: String) {
        #expect(!LockText.isPlain(text.replacing("HASH", with: Self.hash)))
    }

    @Test func aLockIsBounded() {
        let line = "numpy==2.1.0 \\\n\(Self.hash)\n"
        #expect(!LockText.isPlain(String(repeating: line, count: LockText.maximumBytes / line.utf8.count + 1)))
    }
}
