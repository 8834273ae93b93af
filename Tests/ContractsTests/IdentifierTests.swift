import Contracts
import FoundationEssentials
import Testing

@Suite struct IdentifierTests {
    @Test func aFreshIDHasTheBitsOfVersion7() throws {
        let before = Timestamp.now()
        let id = JobID.make()
        let bytes = id.bytes
        #expect(bytes[6] >> 4 == 7 && bytes[8] >> 6 == 2)
        let moment = try #require(UUIDv7.moment(of: id.uuid))
        #expect(abs(moment.microseconds - before.microseconds) < 2_000_000)
        #expect(UUIDv7.moment(of: UUID()) == nil)
    }

    @Test func laterIDsSortLater() {
        let ids = [UInt64](0..<1_000).map {
            EventID(uuid: UUIDv7.make(nanosecondsSince1970: 1_475_928_060_000_000_000 + $0 * 250, random: .random(in: 0 ... .max)))
        }
        #expect(ids == ids.sorted())
        #expect(Set(ids).count == 1_000)
    }

    @Test func theExampleOfTheStandardIsMade() {
        // RFC 9562, appendix A.6: 2022-02-22 14:22:22.00 -05:00.
        let id = ID<JobTag>(uuid: UUIDv7.make(nanosecondsSince1970: 1_645_557_742_000_000_000, random: 0))
        #expect(id.description == "017f22e2-79b0-7000-8000-000000000000")
    }

    @Test func textIsLowerCaseAndReadInEitherCase() throws {
        let text = "01920000-abcd-7000-8000-00000000000f"
        let id = try #require(JobID(text))
        #expect(id.description == text && JobID(text.uppercased()) == id)
        #expect(try WireJSON.encode([id]) == Array("[\"\(text)\"]".utf8))
        for bad in ["", "x", String(text.dropLast()), text + "0", text.replacing("-", with: ""), "g" + text.dropFirst()] {
            #expect(JobID(bad) == nil)
        }
    }

    @Test func digestsAreThirtyTwoBytes() throws {
        let hex = String(repeating: "0f", count: 32)
        let digest = try #require(SHA256Digest(hex: hex))
        #expect(digest.hex == hex && digest.bytes.count == 32 && SHA256Digest(hex: hex.uppercased()) == digest)
        #expect(SHA256Digest(bytes: [1, 2, 3]) == nil)
        for bad in ["", String(hex.dropLast()), hex + "00", String(hex.dropLast()) + "g"] { #expect(SHA256Digest(hex: bad) == nil) }
    }
}
