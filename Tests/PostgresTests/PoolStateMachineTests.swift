import Testing

@testable import Postgres

struct PoolStateMachineTests {
    private final class Link {}
    private typealias Machine = PoolStateMachine<Link>

    @Test func theFirstCallerConnectsAndIsServed() {
        var machine = Machine(maximum: 2, maximumWaiters: 10)
        guard case .connect(let delay) = machine.lease(1) else { return #expect(Bool(false)) }
        #expect(delay == .zero)
        guard case .lendToWaiter(1, _) = machine.connected(Link(), now: 0) else { return #expect(Bool(false)) }
        #expect(machine.lent == 1 && machine.total == 1)
    }

    @Test func theTotalIsBounded() {
        var machine = Machine(maximum: 1, maximumWaiters: 1)
        _ = machine.lease(1)
        let link = Link()
        _ = machine.connected(link, now: 0)
        guard case .wait = machine.lease(2) else { return #expect(Bool(false)) }
        guard case .refuse = machine.lease(3) else { return #expect(Bool(false)) }
        guard case .lendToWaiter(2, let same) = machine.release(link, isClean: true, isClosed: false, now: 1) else { return #expect(Bool(false)) }
        #expect(same === link)
    }

    @Test func aDirtyConnectionIsPutRightBeforeItIsLent() {
        var machine = Machine(maximum: 1, maximumWaiters: 4)
        _ = machine.lease(1)
        let link = Link()
        _ = machine.connected(link, now: 0)
        _ = machine.lease(2)
        guard case .clean = machine.release(link, isClean: false, isClosed: false, now: 1) else { return #expect(Bool(false)) }
        guard case .lendToWaiter(2, _) = machine.cleaned(link, isUsable: true, now: 2) else { return #expect(Bool(false)) }
    }

    @Test func aLostConnectionIsReplacedForThoseWhoWait() {
        var machine = Machine(maximum: 1, maximumWaiters: 4)
        _ = machine.lease(1)
        let link = Link()
        _ = machine.connected(link, now: 0)
        _ = machine.lease(2)
        guard case .connect = machine.release(link, isClean: false, isClosed: true, now: 1) else { return #expect(Bool(false)) }
    }

    @Test func failuresBackOffAndASuccessForgetsThem() {
        var machine = Machine(maximum: 4, maximumWaiters: 4)
        _ = machine.lease(1)
        var delays: [Duration] = []
        for _ in 0..<9 { if case .connect(let delay) = machine.connectFailed() { delays.append(delay) } }
        #expect(delays.first == .milliseconds(100) && delays.last == .milliseconds(5000))
        #expect(zip(delays, delays.dropFirst()).allSatisfy { $0 <= $1 })
        _ = machine.connected(Link(), now: 0)
        guard case .connect(.zero) = machine.lease(2) else { return #expect(Bool(false)) }
    }

    @Test func whoHasGoneIsNotServed() {
        var machine = Machine(maximum: 1, maximumWaiters: 4)
        _ = machine.lease(1)
        let gone = machine.abandon(1)
        let again = machine.abandon(1)
        #expect(gone && !again)
        guard case .nothing = machine.connected(Link(), now: 0) else { return #expect(Bool(false)) }
        #expect(machine.idleCount == 1)
    }

    @Test func closingRefusesAndClosesWhatComesBack() {
        var machine = Machine(maximum: 2, maximumWaiters: 4)
        _ = machine.lease(1)
        let link = Link()
        _ = machine.connected(link, now: 0)
        _ = machine.close()
        guard case .refuse = machine.lease(2) else { return #expect(Bool(false)) }
        guard case .close(let returned) = machine.release(link, isClean: true, isClosed: false, now: 0) else { return #expect(Bool(false)) }
        #expect(returned === link && machine.total == 0)
    }

    @Test func staleConnectionsGoButOneStays() {
        var machine = Machine(maximum: 3, maximumWaiters: 4)
        for waiter in 1...3 { _ = machine.lease(UInt64(waiter)) }
        let links = [Link(), Link(), Link()]
        for link in links { _ = machine.connected(link, now: 0) }
        for (index, link) in links.enumerated() { _ = machine.release(link, isClean: true, isClosed: false, now: UInt64(index)) }
        #expect(machine.takeStale(idleSince: 100, keep: 1).count == 2)
        #expect(machine.total == 1)
    }
}
