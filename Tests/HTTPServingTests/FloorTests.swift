import Testing

@testable import HTTPServing

@Suite struct PercentCodingTests {
    @Test func decodesStrictly() {
        #expect(PercentCoding.decode("a%20b") == "a b")
        #expect(PercentCoding.decode("a%2") == nil)
        #expect(PercentCoding.decode("%zz") == nil)
        #expect(PercentCoding.decode("%00") == nil)
        #expect(PercentCoding.decode("%ff") == nil)
        #expect(PercentCoding.encode("a/b ü") == "a%2Fb%20%C3%BC")
    }
}
