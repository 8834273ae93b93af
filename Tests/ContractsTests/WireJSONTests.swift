import Contracts
import FoundationEssentials
import Testing

@Suite struct WireJSONTests {
    @Test(arguments: [
        ("attemptID", "attempt_id"), ("versionSHA256", "version_sha256"), ("sha256", "sha256"), ("URLPath", "url_path"),
        ("jobURLPath", "job_url_path"),
        ("attempt_id", "attempt_id"), ("stagesMs", "stages_ms"), ("id", "id"), ("ID", "id"), ("p95Ms", "p95_ms"), ("_private", "_private"),
    ])
    func namesTravelInSnakeCase(name: String, wire: String) {
        #expect(WireJSON.wireName(name) == wire)
    }

    struct Nested: Codable, Equatable {
        var someID: Int
        var byName: [String: Inner]
        var list: [Inner?]
        var free: JSONValue
        var flag: Bool?
        struct Inner: Codable, Equatable { var innerValue: Double }
    }

    @Test func nestedTypesRoundTripAndDictionaryKeysStay() throws {
        let value = Nested(
            someID: 1,
            byName: ["BTCUSD": .init(innerValue: 1.5)],
            list: [.init(innerValue: 0.1), nil],
            free: ["camelCase": [1, 2.50]],
            flag: nil
        )
        let bytes = try WireJSON.encode(value)
        #expect(
            String(decoding: bytes, as: UTF8.self)
                == #"{"by_name":{"BTCUSD":{"inner_value":1.5}},"free":{"camelCase":[1,2.5]},"list":[{"inner_value":0.1},null],"some_id":1}"#
        )
        #expect(try WireJSON.decode(Nested.self, from: bytes) == value)
    }

    @Test func numbersKeepTheirText() throws {
        let text = #"[0,-0,1.50,12345678901234567890.123456789,9223372036854775807,9223372036854775808,1e400,-1E-9,0.1]"#
        let value = try WireJSON.parse(Array(text.utf8))
        #expect(String(decoding: WireJSON.encode(value), as: UTF8.self) == text)
        #expect(value[4]?.integer == .max && value[5]?.integer == nil)
        #expect(value[3]?.decimal?.text == "12345678901234567890.123456789")
        #expect(value[7]?.decimal?.text == "-0.000000001")
        #expect(value[2]?.double == 1.5 && value[0]?.decimal == .zero)
        #expect(JSONNumber("1.5e3")?.decimal?.text == "1500" && JSONNumber("12.5e-3")?.decimal?.text == "0.0125")
        #expect(JSONNumber("1e200")?.decimal == nil && JSONNumber("01") == nil && JSONNumber("1 ") == nil && JSONNumber(Double.nan) == nil)
    }

    @Test func textOfAnyKindComesBack() throws {
        let text = "quote\" slash\\ / newline\n tab\t bell\u{07} é 漢 😀"
        let bytes = WireJSON.encode(.string(text))
        #expect(try WireJSON.parse(bytes) == .string(text))
        #expect(try WireJSON.parse(Array(#""\ud83d\ude00\u00e9\/\b\f""#.utf8)) == .string("😀é/\u{08}\u{0C}"))
    }

    @Test(arguments: [
        "", " ", "{", "[", "[1,]", "{\"a\":1,}", "{a:1}", "{\"a\" 1}", "nul", "tru", "01", "1.", ".5", "-", "1e", "+1", "NaN", "Infinity", "\"",
        "\"\n\"",
        "\"\\x\"", "\"\\ud800\"", "\"\\ud800x\"", "\"\\udc00\"", "\"\\u00zz\"", "\"\\u0000\"", "1 2", "{\"a\":1,\"a\":2}", "[1 2]", "'a'", "// c\n1",
    ])
    func whatIsNotJSONIsRefused(text: String) {
        #expect(throws: JSONSyntaxError.self) { try WireJSON.parse(Array(text.utf8)) }
    }

    @Test func bytesThatAreNotTextAreRefused() {
        #expect(throws: JSONSyntaxError.self) { try WireJSON.parse([0x22, 0xFF, 0x22]) }
        #expect(throws: JSONSyntaxError.self) { try WireJSON.parse([0x22, 0x5C, 0x6E, 0xC3, 0x22]) }
        #expect(throws: JSONSyntaxError.self) { try WireJSON.parse([UInt8](repeating: UInt8(ascii: "["), count: 100_000)) }
        let deepEnough = String(repeating: "[", count: 64) + String(repeating: "]", count: 64)
        #expect(throws: Never.self) { try WireJSON.parse(Array(deepEnough.utf8)) }
    }

    @Test(arguments: [
        (#"{"by_name":{},"list":[],"free":1}"#, "some_id"), (#"{"some_id":"1","by_name":{},"list":[],"free":1}"#, "some_id"),
        (#"{"some_id":1.5,"by_name":{},"list":[],"free":1}"#, "some_id"),
        (#"{"some_id":1,"by_name":{"A":{"inner_value":true}},"list":[],"free":1}"#, "by_name.A.inner_value"),
        (#"{"some_id":1,"by_name":{},"list":[{"inner_value":1},{}],"free":1}"#, "list.1.inner_value"),
        (#"{"some_id":null,"by_name":{},"list":[],"free":1}"#, "some_id"), (#"[]"#, ""),
    ])
    func errorsNameTheFieldAsItTravels(text: String, path: String) {
        #expect {
            try WireJSON.decode(Nested.self, from: Array(text.utf8))
        } throws: { error in
            let context: DecodingError.Context? =
                switch error as? DecodingError {
                case .keyNotFound(_, let context), .typeMismatch(_, let context), .valueNotFound(_, let context), .dataCorrupted(let context): context
                default: nil
                }
            return context?.codingPath.map(\.stringValue).joined(separator: ".") == path
        }
    }

    @Test func aReaderLearnsOfMembersThatNobodyAskedFor() throws {
        func unknown(_ text: String) throws -> String? {
            let reads = FieldReads()
            _ = try WireJSON.decode(Nested.self, from: try WireJSON.parse(Array(text.utf8)), telling: reads)
            return reads.firstUnknown()?.path
        }
        // What a dictionary or free JSON holds is data.
        #expect(try unknown(#"{"some_id":1,"by_name":{"anyName":{"inner_value":1}},"list":[],"free":{"what":"ever"}}"#) == nil)
        #expect(try unknown(#"{"some_id":1,"by_name":{},"list":[],"free":1,"someID":1}"#) == "someID")
        #expect(try unknown(#"{"some_id":1,"by_name":{},"list":[{"inner_value":1},{"inner_value":1,"extra":2}],"free":1}"#) == "list[1].extra")
        #expect(try unknown(#"{"some_id":1,"by_name":{"a":{"inner_value":1,"extra":2}},"list":[],"free":1}"#) == "by_name.a.extra")
    }

    /// Opens its object twice, each time for another half; what it writes last under a name counts.
    struct Halves: Codable, Equatable {
        var left = 1
        var right: [Int] = [2]

        init() {}

        init(from decoder: any Decoder) throws {
            left = try decoder.container(keyedBy: Name.self).decode(Int.self, forKey: .left)
            var list = try decoder.container(keyedBy: Name.self).nestedUnkeyedContainer(forKey: .right)
            right = []
            while !list.isAtEnd { right.append(try list.decode(Int.self)) }
        }

        func encode(to encoder: any Encoder) throws {
            var first = encoder.container(keyedBy: Name.self)
            try first.encode("replaced", forKey: .left)
            var list = first.nestedUnkeyedContainer(forKey: .right)
            var second = encoder.container(keyedBy: Name.self)
            try second.encode(left, forKey: .left)
            // After its place was taken.
            for number in right { try list.encode(number) }
        }

        enum Name: CodingKey { case left, right }
    }

    @Test func aTypeMayOpenItsObjectTwice() throws {
        let bytes = try WireJSON.encode(["halves": Halves()])
        #expect(String(decoding: bytes, as: UTF8.self) == #"{"halves":{"left":1,"right":[2]}}"#)
        #expect(try WireJSON.value(of: ["halves": Halves()]) == ["halves": ["left": 1, "right": [2]]])
        let reads = FieldReads()
        #expect(try WireJSON.decode([String: Halves].self, from: try WireJSON.parse(bytes), telling: reads) == ["halves": Halves()])
        #expect(reads.firstUnknown() == nil)
        let more: JSONValue = ["halves": ["left": 1, "right": [], "middle": 0]]
        let moreReads = FieldReads()
        _ = try WireJSON.decode([String: Halves].self, from: more, telling: moreReads)
        let unknown = moreReads.firstUnknown()
        #expect(unknown?.path == "halves.middle" && unknown?.known == ["left", "right"])
    }

    @Test func integersOutOfRangeAreRefused() {
        #expect(throws: DecodingError.self) { try WireJSON.decode([UInt8].self, from: Array("[256]".utf8)) }
        #expect(throws: DecodingError.self) { try WireJSON.decode([UInt8].self, from: Array("[-1]".utf8)) }
        #expect(throws: DecodingError.self) { try WireJSON.decode([Double].self, from: Array("[1e400]".utf8)) }
        #expect(throws: EncodingError.self) { try WireJSON.encode([Double.infinity]) }
        #expect(throws: Never.self) { try WireJSON.decode([UInt64].self, from: Array("[18446744073709551615]".utf8)) }
    }

    @Test func otherCodersUnderstandTheValueToo() throws {
        let value: JSONValue = ["a": [1, 2.5, nil, true, "x"], "b": [:]]
        let data = try JSONEncoder().encode(value)
        #expect(try JSONDecoder().decode(JSONValue.self, from: data) == value)
    }
}
