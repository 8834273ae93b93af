import Contracts
import Cryptography
import Testing

@Suite("SHA-256")
struct SHA256Tests {
    /// FIPS 180-4 examples.
    @Test(arguments: [
        ("", "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"),
        ("abc", "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"),
        ("abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq", "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1"),
    ])
    func publishedVectors(text: String, hex: String) {
        #expect(SHA256.digest(utf8: text).hex == hex)
        #expect(SHA256.digest(Array(text.utf8)).hex == hex)
    }

    @Test func millionLettersInUnevenPieces() {
        var hasher = SHA256.Hasher()
        var left = 1_000_000
        var piece = 1
        while left > 0 {
            let taken = min(piece, left)
            hasher.update([UInt8](repeating: UInt8(ascii: "a"), count: taken))
            left -= taken
            piece = piece % 997 + 13
        }
        #expect(hasher.finalize().hex == "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0")
    }

    @Test func aCopyForksTheHash() {
        var first = SHA256.Hasher()
        first.update("ab".utf8)
        var second = first
        first.update("c".utf8)
        second.update("d".utf8)
        #expect(first.finalize() == SHA256.digest(utf8: "abc"))
        #expect(second.finalize() == SHA256.digest(utf8: "abd"))
        first.update("!".utf8)
        #expect(first.finalize() == SHA256.digest(utf8: "abc!"))
    }

    @Test func lazySequencesAreRead() {
        #expect(SHA256.digest((0..<3).lazy.map { UInt8(97 + $0) }) == SHA256.digest(utf8: "abc"))
    }
}
