import Cryptography
import Testing

@Suite("Encodings and random texts")
struct EncodingTests {
    /// RFC 4648 section 10, without padding.
    @Test(arguments: [("", ""), ("f", "Zg"), ("fo", "Zm8"), ("foo", "Zm9v"), ("foob", "Zm9vYg"), ("fooba", "Zm9vYmE"), ("foobar", "Zm9vYmFy")])
    func base64URLVectors(plain: String, encoded: String) {
        #expect(Base64URL.encode(Array(plain.utf8)) == encoded)
        #expect(Base64URL.decode(encoded) == Array(plain.utf8))
    }

    @Test func base64URLAlphabet() {
        #expect(Base64URL.encode([0xfb, 0xff]) == "-_8")
        #expect(Base64URL.decode("-_8") == [0xfb, 0xff])
    }

    /// Padding, the other alphabet, an impossible length, and stray bits: each would give one value a second spelling.
    @Test(arguments: ["Zg==", "+/8", "Z", "Zh", "Zm9", "Z g", "Zg\n"])
    func base64URLRefusals(text: String) {
        #expect(Base64URL.decode(text) == nil)
    }

    @Test func randomTextsHaveTheirLengthAndDiffer() {
        #expect(RandomToken.bytes(0).isEmpty)
        #expect(RandomToken.bytes(13).count == 13)
        let texts = Set((0..<200).map { _ in RandomToken.base62(24) })
        #expect(texts.count == 200)
        #expect(texts.allSatisfy { $0.utf8.count == 24 })
        let characters = Set(RandomToken.base62(20_000))
        #expect(characters.count == 62)
    }

    @Test func constantTimeEquality() {
        #expect(constantTimeEquals([1, 2, 3], [1, 2, 3]))
        #expect(!constantTimeEquals([1, 2, 3], [1, 2, 4]))
        #expect(!constantTimeEquals([1, 2, 3], [1, 2]))
        #expect(constantTimeEquals("", ""))
        #expect(!constantTimeEquals("a", "b"))
    }
}
