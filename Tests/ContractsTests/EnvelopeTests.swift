import Contracts
import Testing

@Suite struct EnvelopeTests {
    private func unpublished(reasonLength: Int) throws -> Envelope {
        let body = SignalUnpublished(signalID: .make(), accountID: .make(), reason: String(repeating: "x", count: reasonLength))
        let moment = Timestamp(seconds: 1_475_928_060)
        return try Envelope(body, subjectVersion: 1, occurredAt: moment, recordedAt: moment)
    }

    @Test func anEventOf64KiBTravelsAndOneByteMoreDoesNot() throws {
        let overhead = try unpublished(reasonLength: 0).encoded().count
        let largest = try unpublished(reasonLength: Envelope.maximumBytes - overhead)
        let bytes = try largest.encoded()
        #expect(bytes.count == 65_536)
        #expect(try Envelope(decoding: bytes) == largest)
        let tooLarge = try unpublished(reasonLength: Envelope.maximumBytes - overhead + 1)
        #expect(throws: EnvelopeError.tooLarge(type: "signals.signal.unpublished.v1", bytes: 65_537)) { try tooLarge.encoded() }
        #expect(throws: EnvelopeError.self) { try Envelope(decoding: [UInt8](repeating: 32, count: 65_537)) }
    }

    @Test func theBodyNamesTypeSubjectAndProducer() throws {
        let envelope = try unpublished(reasonLength: 3)
        #expect(envelope.type == "signals.signal.unpublished.v1" && envelope.producer == "signals")
        #expect(envelope.subject == (try envelope.body(as: SignalUnpublished.self)).signalID.description)
        #expect(throws: DecodingError.self) { try envelope.body(as: BarsRevised.self) }
    }

    @Test func absentFieldsAreLeftOut() throws {
        let text = String(decoding: try unpublished(reasonLength: 0).encoded(), as: UTF8.self)
        #expect(!text.contains("correlation_id") && !text.contains("null"))
    }
}
