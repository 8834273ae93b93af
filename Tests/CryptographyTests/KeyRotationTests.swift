import Contracts
import Cryptography
import Testing

@Suite("Key rotation")
struct KeyRotationTests {
    let rotation = KeyRotation(publishLeadSeconds: 600, signingPeriodSeconds: 10_000, verifyingPeriodSeconds: 960)
    let start = Timestamp(seconds: 1_800_000_000)

    func entry(_ keyID: String, _ state: SigningKeyState, age: Int64, at now: Timestamp) -> KeyRotation.Entry {
        KeyRotation.Entry(keyID: keyID, state: state, since: now - .seconds(age))
    }

    @Test func theFirstKeySignsAtOnce() {
        #expect(rotation.steps(for: [], now: start) == [.create(.signing)])
        #expect(rotation.steps(for: [entry("a", .gone, age: 9, at: start)], now: start) == [.create(.signing)])
    }

    @Test func aYoungKeyIsLeftAlone() {
        #expect(rotation.steps(for: [entry("a", .signing, age: 9_999, at: start)], now: start).isEmpty)
    }

    @Test func aSuccessorIsPublishedThenSigns() {
        #expect(rotation.steps(for: [entry("a", .signing, age: 10_000, at: start)], now: start) == [.create(.published)])
        let waiting = [entry("a", .signing, age: 10_599, at: start), entry("b", .published, age: 599, at: start)]
        #expect(rotation.steps(for: waiting, now: start).isEmpty)
        let due = [entry("a", .signing, age: 10_600, at: start), entry("b", .published, age: 600, at: start)]
        #expect(rotation.steps(for: due, now: start) == [.move(keyID: "a", to: .verifying), .move(keyID: "b", to: .signing)])
    }

    @Test func anOldKeyLeavesWhenItsLastTokenHasEnded() {
        let early = [entry("a", .verifying, age: 959, at: start), entry("b", .signing, age: 959, at: start)]
        #expect(rotation.steps(for: early, now: start).isEmpty)
        let due = [entry("a", .verifying, age: 960, at: start), entry("b", .signing, age: 960, at: start)]
        #expect(rotation.steps(for: due, now: start) == [.move(keyID: "a", to: .gone)])
    }

    @Test func aRotationOnDemandPublishesOnce() {
        #expect(rotation.steps(for: [entry("a", .signing, age: 5, at: start)], now: start, rotateNow: true) == [.create(.published)])
        let already = [entry("a", .signing, age: 5, at: start), entry("b", .published, age: 5, at: start)]
        #expect(rotation.steps(for: already, now: start, rotateNow: true).isEmpty)
    }

    @Test func aPublishedKeySignsWhenNothingElseCan() {
        #expect(rotation.steps(for: [entry("b", .published, age: 1, at: start)], now: start) == [.move(keyID: "b", to: .signing)])
    }

    /// Whatever the moments at which the rule runs, there is one signing key, and none signs before every cache can have it.
    @Test func aLongLife() {
        var keys: [KeyRotation.Entry] = []
        var now = start
        var made = 0
        for round in 0..<400 {
            for step in rotation.steps(for: keys, now: now) {
                switch step {
                case .create(let state):
                    made += 1
                    keys.append(KeyRotation.Entry(keyID: "key \(made)", state: state, since: now))
                case .move(let keyID, let state):
                    guard let index = keys.firstIndex(where: { $0.keyID == keyID }) else {
                        Issue.record("moved an unknown key")
                        return
                    }
                    if state == .signing { #expect(now >= keys[index].since + .seconds(600)) }
                    if state == .gone { #expect(now >= keys[index].since + .seconds(960)) }
                    keys[index] = KeyRotation.Entry(keyID: keyID, state: state, since: now)
                }
            }
            #expect(keys.filter { $0.state == .signing }.count == 1)
            now = now + .seconds(Int64(37 + round % 11 * 100))
        }
        #expect(made > 10)
        #expect(keys.filter(\.state.isListed).count <= 3)
    }
}
