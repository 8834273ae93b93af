import Contracts
import Testing

@testable import signals

@Suite("Entitlement")
struct EntitlementTests {
    let owner = AccountID.make()
    let signal = SignalID.make()

    func decide(_ state: SignalState, _ caller: Caller, subscribed: Bool = false) -> Entitlement {
        Entitlement.toPredictions(signalID: signal, owner: owner, state: state, caller: caller, isSubscribed: subscribed)
    }

    func person(_ account: AccountID = .make(), roles: Set<String> = [Role.subscriber]) -> Caller {
        Caller(accountID: account, roles: roles, scopes: nil)
    }
    func key(_ scopes: Set<String>, account: AccountID = .make()) -> Caller { Caller(accountID: account, roles: [], scopes: scopes) }

    @Test("Foreign drafts and withdrawn signals do not exist, but for those who are subscribed")
    func hidden() {
        for state in [SignalState.draft, .unpublished, .deleted] {
            #expect(decide(state, person()) == .hidden)
            #expect(decide(state, key(["predictions:read"])) == .hidden)
        }
        for state in [SignalState.unpublished, .deleted] {
            #expect(decide(state, person(), subscribed: true) == .granted)
            #expect(decide(state, key([]), subscribed: true) == .insufficientScope)
            #expect(decide(state, person(owner)) == .granted)
        }
    }

    @Test("What was recorded can be verified by everybody, whatever became of the signal")
    func verifiable() {
        for state in SignalState.allCases {
            #expect(Entitlement.mayVerify(owner: owner, state: state, hasRows: true, caller: nil))
            #expect(Entitlement.mayVerify(owner: owner, state: state, hasRows: false, caller: nil) == (state == .published))
        }
        #expect(Entitlement.mayVerify(owner: owner, state: .draft, hasRows: false, caller: person(owner)))
    }

    @Test("Owners, administrators and subscribers read")
    func granted() {
        #expect(decide(.draft, person(owner)) == .granted)
        #expect(decide(.published, person(), subscribed: true) == .granted)
        #expect(decide(.unpublished, person(roles: [Role.admin])) == .granted)
        #expect(decide(.published, person()) == .notSubscribed)
    }

    @Test("A key reaches what its scopes say, no further than its account")
    func scopes() {
        #expect(decide(.published, key(["bars:read"]), subscribed: true) == .insufficientScope)
        #expect(decide(.published, key(["predictions:read"]), subscribed: true) == .granted)
        #expect(decide(.published, key(["predictions:read:\(signal)"]), subscribed: true) == .granted)
        #expect(decide(.published, key(["predictions:read:\(SignalID.make())"]), subscribed: true) == .insufficientScope)
        #expect(decide(.published, key(["predictions:read"])) == .notSubscribed)
        #expect(decide(.draft, Caller(accountID: .make(), roles: [Role.admin], scopes: ["predictions:read"])) == .hidden)
    }

    @Test("The signals that a key names")
    func named() {
        #expect(key(["predictions:read"]).signals(named: Scope.readPredictions) == nil)
        #expect(key(["predictions:read:\(signal)", "predictions:read:nonsense"]).signals(named: Scope.readPredictions) == [signal])
        #expect(key([]).signals(named: Scope.readPredictions) == [])
    }
}
