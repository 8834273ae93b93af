import Cryptography
import Testing

@Suite("API key texts")
struct APIKeyTextTests {
    @Test func aMadeKeyParses() throws {
        let key = APIKeyText.make()
        #expect(key.text.utf8.count == APIKeyText.length)
        #expect(key.text.hasPrefix("aus_"))
        let parsed = try #require(APIKeyText(parsing: key.text))
        #expect(parsed == key)
        #expect(parsed.sha256 == SHA256.digest(utf8: key.text))
        #expect(key.prefix == String(key.text.prefix(8)))
        #expect(!"\(key)".contains(key.text.dropFirst(8)))
    }

    /// Pins the format for good: keys live in programs that nobody here can change.
    @Test func aKnownKey() {
        #expect(APIKeyText(parsing: Self.known) != nil)
    }
    static let known = "aus_0123456789abcdefghijABCDEFGHIJxyGjG98t"

    @Test func everySingleChangeIsNoticed() throws {
        let characters = Array(APIKeyText.make().text)
        for position in characters.indices {
            var changed = characters
            changed[position] = changed[position] == "x" ? "y" : "x"
            #expect(APIKeyText(parsing: String(changed)) == nil, "position \(position)")
        }
    }

    @Test(arguments: ["", "aus_", "aus_short", "xyz_00000000000000000000000000000000000000", "aus_0000000000000000000000000000000é00000"])
    func foreignTextsAreRefused(text: String) {
        #expect(APIKeyText(parsing: text) == nil)
    }
}
