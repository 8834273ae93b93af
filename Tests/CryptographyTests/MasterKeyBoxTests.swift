import Cryptography
import Testing

@Suite("Master key box")
struct MasterKeyBoxTests {
    let secret = Array("a private key".utf8)

    @Test func aSecretSurvives() throws {
        let file = MasterKeyFile.generate()
        let box = MasterKeyBox(file)
        let sealed = try box.seal(secret, context: "row 1")
        #expect(!sealed.indices.contains { sealed[$0...].starts(with: secret) })
        #expect(try sealed != box.seal(secret, context: "row 1"))
        #expect(try MasterKeyBox(MasterKeyFile(text: file.text)).open(sealed, context: "row 1") == secret)
        #expect(try box.open(box.seal([], context: ""), context: "").isEmpty)
    }

    @Test func changedBytesAndOtherContextsAreRefused() throws {
        let box = MasterKeyBox(.generate())
        let sealed = try box.seal(secret, context: "row 1")
        #expect(throws: CryptographyError.sealBroken) { try box.open(sealed, context: "row 2") }
        for position in sealed.indices {
            var changed = sealed
            changed[position] ^= 1
            #expect(throws: CryptographyError.self) { try box.open(changed, context: "row 1") }
        }
        #expect(throws: CryptographyError.sealBroken) { try box.open(Array(sealed.prefix(20)), context: "row 1") }
        #expect(throws: CryptographyError.sealBroken) { try MasterKeyBox(.generate()).open(sealed, context: "row 1") }
    }

    @Test func aNewVersionSealsAndTheOldStillOpens() throws {
        let old = MasterKeyFile.generate()
        let new = old.addingVersion()
        let sealed = try MasterKeyBox(old).seal(secret, context: "row")
        let box = MasterKeyBox(try MasterKeyFile(text: new.text))
        #expect(box.currentVersion == 2)
        #expect(try box.open(sealed, context: "row") == secret)
        let rewrapped = try #require(try box.rewrap(sealed, context: "row"))
        #expect(MasterKeyBox.version(of: rewrapped) == 2)
        #expect(try box.open(rewrapped, context: "row") == secret)
        #expect(try box.rewrap(rewrapped, context: "row") == nil)
        #expect(throws: CryptographyError.unknownMasterKeyVersion(2)) { try MasterKeyBox(old).open(rewrapped, context: "row") }
    }

    @Test(arguments: [
        ("", 1), ("# only a comment\n", 2), ("auspex-master-key 1 abcd", 1), ("auspex-master-key 0 \(String(repeating: "a", count: 64))", 1),
        ("auspex-master-key 1 \(String(repeating: "g", count: 64))", 1),
        ("auspex-master-key 1 \(String(repeating: "a", count: 64))\nauspex-master-key 1 \(String(repeating: "b", count: 64))", 2),
    ])
    func malformedFilesNameTheirLine(text: String, line: Int) {
        #expect(throws: CryptographyError.malformedMasterKeyFile(line: line)) { try MasterKeyFile(text: text) }
    }
}
