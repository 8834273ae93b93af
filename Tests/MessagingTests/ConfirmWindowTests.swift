import Testing

@testable import Messaging

@Suite struct ConfirmWindowTests {
    private func window(sent count: Int, limit: Int = 4) -> ConfirmWindow<Int> {
        var window = ConfirmWindow<Int>(limit: limit)
        for index in 0..<count { window.sent(index, messageID: "m\(index)", now: UInt64(index)) }
        return window
    }

    @Test func confirmsComeOneByOneOrManyAtOnceAndOutOfOrder() {
        var window = window(sent: 4)
        #expect(!window.hasRoom)
        #expect(window.settle(3, multiple: false, isConfirmed: true).map(\.ticket) == [2])
        #expect(window.hasRoom && window.oldestSentAt == 0)
        #expect(window.settle(2, multiple: true, isConfirmed: true).map(\.ticket) == [0, 1])
        #expect(window.oldestSentAt == 3)
        #expect(window.settle(4, multiple: true, isConfirmed: true).map(\.ticket) == [3])
        #expect(window.isEmpty && window.oldestSentAt == nil)
    }

    @Test func confirmsForNothingAreIgnored() {
        var window = window(sent: 1)
        #expect(window.settle(7, multiple: true, isConfirmed: true).isEmpty)
        #expect(window.settle(1, multiple: false, isConfirmed: true).count == 1)
        #expect(window.settle(1, multiple: false, isConfirmed: true).isEmpty)
    }

    @Test func aReturnedMessageIsUnroutableThoughItIsConfirmed() throws {
        var window = window(sent: 2)
        window.returned(messageID: "m1", reason: "312 NO_ROUTE")
        let settled = window.settle(2, multiple: true, isConfirmed: true)
        #expect(settled.map { $0.outcome.error?.code } == [nil, .unroutable])
    }

    @Test func aNegativeConfirmIsAFailure() {
        var window = window(sent: 1)
        #expect(window.settle(1, multiple: false, isConfirmed: false).first?.outcome.error?.code == .refused(replyCode: 0))
    }

    @Test func aLostChannelFailsAllAndCountsFromOneAgain() {
        var window = window(sent: 3)
        _ = window.settle(1, multiple: false, isConfirmed: true)
        let abandoned = window.abandon(BrokerError(.connectionLost))
        #expect(abandoned.map(\.ticket) == [1, 2] && abandoned.allSatisfy { $0.outcome.error?.code == .connectionLost })
        window.sent(9, messageID: "m9", now: 0)
        #expect(window.settle(1, multiple: false, isConfirmed: true).map(\.ticket) == [9])
    }
}
