import Contracts
import ServiceRuntime
import Synchronization
import TestSupport
import Testing

@testable import HTTPServing

@Suite struct IdempotencyTests {
    /// A store in memory with transactions that are undone when their body throws.
    private final class Store: IdempotencyStore {
        final class Transaction: Sendable {
            let writes = Mutex<[@Sendable (Store) -> Void]>([])
            let held = Mutex<[IdempotentRequest]>([])
        }

        private let answers = Mutex<[String: IdempotentAnswer]>([:])
        private let running = Mutex<Set<String>>([])
        let effects = Mutex(0)

        private func name(_ request: IdempotentRequest) -> String { "\(String(describing: request.accountID)) \(request.route) \(request.key)" }

        func withTransaction<T: Sendable>(_ body: @Sendable (Transaction) async throws -> T) async throws -> T {
            let transaction = Transaction()
            defer { for request in transaction.held.withLock({ $0 }) { running.withLock { _ = $0.remove(name(request)) } } }
            let value = try await body(transaction)
            for write in transaction.writes.withLock({ $0 }) { write(self) }
            return value
        }

        func claim(_ request: IdempotentRequest, in transaction: Transaction) async throws -> Bool {
            guard running.withLock({ $0.insert(name(request)).inserted }) else { return false }
            transaction.held.withLock { $0.append(request) }
            return true
        }

        func answer(to request: IdempotentRequest, in transaction: Transaction) async throws -> IdempotentAnswer? {
            answers.withLock { $0[name(request)] }
        }

        func store(_ answer: IdempotentAnswer, to request: IdempotentRequest, in transaction: Transaction) async throws {
            let name = name(request)
            transaction.writes.withLock { $0.append { store in store.answers.withLock { $0[name] = answer } } }
        }
    }

    private func request(_ key: String?, body: String = "{}", target: String = "/things") throws -> Request {
        try Request(method: .post, target: target, headers: key.map { [("Idempotency-Key", $0)] } ?? [], body: Array(body.utf8))
    }

    private func create(_ store: Store, _ request: Request) async throws -> Response {
        try await Idempotency(store: store).run(request) { transaction in
            transaction.writes.withLock { $0.append { store in store.effects.withLock { $0 += 1 } } }
            return .json(bytes: Array(#"{"secret":"s","id":"1"}"#.utf8), status: .created)
        }
    }

    @Test func theSameRequestTakesEffectOnce() async throws {
        let store = Store()
        let first = try await create(store, try request("k"))
        let second = try await create(store, try request("k"))
        #expect(store.effects.withLock { $0 } == 1)
        #expect(second.status == .created)
        #expect(second.bodyBytes == first.bodyBytes)
        #expect(second.headers["Idempotency-Replayed"] == "true")
        #expect(first.headers["Idempotency-Replayed"] == nil)
    }

    @Test func withoutAKeyAndOnOtherRoutesItRunsAnew() async throws {
        let store = Store()
        for key in [nil, nil, "a", "b"] { _ = try await create(store, try request(key)) }
        _ = try await create(store, try request("a", target: "/others"))
        #expect(store.effects.withLock { $0 } == 5)
    }

    @Test func anotherBodyIsRefused() async throws {
        let store = Store()
        _ = try await create(store, try request("k"))
        await #expect { try await create(store, try request("k", body: "{\"a\":1}")) } throws: {
            ($0 as? Problem)?.code == "idempotency_key_reused" && ($0 as? Problem)?.status == .unprocessable
        }
    }

    @Test func anEarlierAnswerIsGivenBeforeTheEffectIsThoughtOf() async throws {
        let store = Store()
        let idempotency = Idempotency(store: store)
        #expect(try await idempotency.earlierAnswer(to: request(nil)) == nil)
        #expect(try await idempotency.earlierAnswer(to: request("k")) == nil)
        let first = try await create(store, try request("k"))
        let earlier = try #require(await idempotency.earlierAnswer(to: request("k")))
        #expect(earlier.bodyBytes == first.bodyBytes && earlier.headers["Idempotency-Replayed"] == "true")
        await #expect { _ = try await idempotency.earlierAnswer(to: request("k", body: "[]")) } throws: {
            ($0 as? Problem)?.code == "idempotency_key_reused"
        }
        #expect(store.effects.withLock { $0 } == 1)
    }

    @Test func otherParametersAreAnotherRequest() async throws {
        let store = Store()
        let first = try await create(store, try request("k", target: "/things?filename=a.csv"))
        let again = try await create(store, try request("k", target: "/things?filename=a.csv"))
        #expect(first.bodyBytes == again.bodyBytes && store.effects.withLock { $0 } == 1)
        await #expect { try await create(store, try request("k", target: "/things?filename=b.csv")) } throws: {
            ($0 as? Problem)?.code == "idempotency_key_reused"
        }
    }

    @Test func aSecondRequestMeanwhileIsAConflict() async throws {
        let store = Store()
        let gate = Gate()
        let wanted = try request("k")
        let first = Task {
            try await Idempotency(store: store).run(wanted) { _ in
                try await gate.pass()
                return .noContent
            }
        }
        try await gate.entered.next()
        await #expect {
            try await Idempotency(store: store).run(wanted) { _ in throw Problem.notFound() }
        } throws: {
            ($0 as? Problem)?.code == "idempotent_request_running"
        }
        gate.open()
        #expect(try await first.value.status == .noContent)
    }

    @Test func aFailedEffectLeavesNothing() async throws {
        let store = Store()
        let wanted = try request("k")
        await #expect(throws: Problem.self) {
            try await Idempotency(store: store).run(wanted) { transaction in
                transaction.writes.withLock { $0.append { store in store.effects.withLock { $0 += 1 } } }
                throw Problem.conflict(detail: "taken")
            }
        }
        #expect(store.effects.withLock { $0 } == 0)
        #expect(try await create(store, wanted).status == .created)
    }

    @Test func secretsAreNotReplayed() async throws {
        let store = Store()
        let wanted = try request("k")
        func run() async throws -> Response {
            try await Idempotency(store: store).run(
                wanted,
                replay: { _ in .json(bytes: Array(#"{"code":"secret_already_shown","id":"1"}"#.utf8), status: .created) }
            ) { _ in .json(bytes: Array(#"{"secret":"s","id":"1"}"#.utf8), status: .created) }
        }
        #expect(String(decoding: try await run().bodyBytes, as: UTF8.self).contains("\"s\""))
        #expect(String(decoding: try await run().bodyBytes, as: UTF8.self) == #"{"code":"secret_already_shown","id":"1"}"#)
    }

    @Test(arguments: ["", "a b", "ü", String(repeating: "k", count: 256), "a\u{7f}"])
    func malformedKeysAreRefused(key: String) async throws {
        let wanted = try request(key)
        await #expect { try await create(Store(), wanted) } throws: { ($0 as? Problem)?.code == "invalid_idempotency_key" }
    }
}
