import Contracts
import HTTPServing
import Synchronization

/// The store in memory, for tests: one transaction at a time on a copy of everything, which is thrown away when the transaction throws.
final class InMemoryAuthStore: AuthStore {
    private let turn = TransactionTurn()
    private let committed = Mutex(InMemoryAuthState())

    /// Everything that was committed, for tests to look at.
    var state: InMemoryAuthState { committed.withLock { $0 } }

    func transaction<Outcome: Sendable>(_ body: @Sendable (any AuthTransaction) async throws -> Outcome) async throws -> Outcome {
        await turn.take()
        let transaction = InMemoryAuthTransaction(state: state)
        do {
            let outcome = try await body(transaction)
            committed.withLock { $0 = transaction.finished }
            await turn.give()
            return outcome
        } catch {
            await turn.give()
            throw error
        }
    }
}

/// Lets one transaction run and the others wait in line.
private actor TransactionTurn {
    private var isTaken = false
    private var waiting: [CheckedContinuation<Void, Never>] = []

    func take() async {
        if isTaken {
            await withCheckedContinuation { waiting.append($0) }
        } else {
            isTaken = true
        }
    }

    func give() {
        if waiting.isEmpty { isTaken = false } else { waiting.removeFirst().resume() }
    }
}

/// The rows of the store in memory.
struct InMemoryAuthState: Sendable {
    var accounts: [AccountID: Account] = [:]
    var users: [UserID: User] = [:]
    var sessions: [SessionID: Session] = [:]
    var refreshTokens: [SHA256Digest: RefreshToken] = [:]
    var keys: [APIKeyID: APIKey] = [:]
    var budgets: [APIKeyID: KeyBudget] = [:]
    var creditBlocks: [CreditBlockID: CreditBlock] = [:]
    var tokenKeys: [String: TokenKey] = [:]
    var throttles: [ThrottleSubject: ThrottleState] = [:]
    var loginPlaces: [LoginPlace: Timestamp] = [:]
    var events: [AnnouncedEvent] = []
    var audit: [AuditEntry] = []
    var answers: [IdempotentSlot: (answer: IdempotentAnswer, at: Timestamp)] = [:]
}

/// What an idempotent answer is found by.
struct IdempotentSlot: Sendable, Hashable {
    let accountID: AccountID?
    let route: String
    let key: String

    init(_ request: IdempotentRequest) {
        accountID = request.accountID
        route = request.route
        key = request.key
    }
}

/// An event as a store hands it on.
struct AnnouncedEvent: Sendable, Hashable {
    let type: String
    let subject: String
    let version: Int64
    let data: JSONValue
}
