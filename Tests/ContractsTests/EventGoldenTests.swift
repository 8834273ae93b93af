import Contracts
import Testing

@Suite struct EventGoldenTests {
    static let eventTypes = EventCatalogue.all.map { $0.eventType }

    @Test func everyEventTypeIsRegisteredOnce() {
        #expect(Set(Self.eventTypes).count == Self.eventTypes.count)
        for type in Self.eventTypes {
            let parts = type.split(separator: ".")
            #expect(parts.count == 4 && parts.last?.first == "v", "\(type) is not service.subject.what.vN")
            #expect(EventCatalogue.body(ofType: type)?.eventType == type)
        }
        #expect(EventCatalogue.body(ofType: "auth.key.changed.v2") == nil)
    }

    @Test func everyEventHasASampleAndEverySampleAnEvent() throws {
        let samples = try GoldenFolder.names().filter { !$0.hasPrefix("call.") }
        #expect(samples == Self.eventTypes.sorted())
    }

    @Test(arguments: eventTypes) func readingAndWritingGivesTheSample(eventType: String) throws {
        let sample = try GoldenFolder.sample(eventType)
        let envelope = try Envelope(decoding: WireJSON.encode(sample))
        #expect(envelope.type == eventType)
        let type = try #require(EventCatalogue.body(ofType: eventType))
        #expect(try rewritten(envelope, as: type) == sample)
    }

    @Test(arguments: eventTypes) func fieldsFromANewerSenderAreIgnored(eventType: String) throws {
        let sample = try GoldenFolder.sample(eventType)
        let envelope = try WireJSON.decode(Envelope.self, from: addingUnknownMembers(to: sample))
        let type = try #require(EventCatalogue.body(ofType: eventType))
        if eventType == SignalPublished.eventType {
            // The author's parameters are data, not fields: what is added there is kept.
            #expect(try envelope.body(as: SignalPublished.self).manifest.name == "Minute direction")
        } else if eventType == JobCompleted.eventType {
            #expect(try envelope.body(as: JobCompleted.self).specSummary?.deadlineSeconds == 60)
        } else {
            #expect(try rewritten(envelope, as: type) == sample)
        }
    }

    @Test(arguments: eventTypes) func aMissingFieldIsNamed(eventType: String) throws {
        var members = try #require(try GoldenFolder.sample(eventType).object)
        members["subject_version"] = nil
        #expect {
            try WireJSON.decode(Envelope.self, from: .object(members))
        } throws: { error in
            guard case DecodingError.keyNotFound(let key, _) = error else { return false }
            return key.stringValue == "subject_version"
        }
    }

    private func rewritten<Body: EventBody>(_ envelope: Envelope, as type: Body.Type) throws -> JSONValue {
        let body = try envelope.body(as: type)
        #expect(body.subject == envelope.subject)
        let again = try Envelope(
            body,
            subjectVersion: envelope.subjectVersion,
            id: envelope.id,
            occurredAt: envelope.occurredAt,
            recordedAt: envelope.recordedAt,
            correlationID: envelope.correlationID,
            causationID: envelope.causationID,
            traceparent: envelope.traceparent
        )
        return try WireJSON.parse(try again.encoded())
    }

    private func addingUnknownMembers(to value: JSONValue) -> JSONValue {
        switch value {
        case .object(let members):
            // Objects keyed by data (`{"BTCUSD": …}`) have no fields, so nothing can be added to them.
            let isData = members.keys.contains { $0.contains(where: \.isUppercase) || $0 == "code" }
            var changed = members.mapValues(addingUnknownMembers)
            if !isData { changed["field_of_tomorrow"] = ["a": 1] }
            return .object(changed)
        case .array(let elements): return .array(elements.map(addingUnknownMembers))
        default: return value
        }
    }
}
