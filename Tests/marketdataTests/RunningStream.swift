import TestSupport

@testable import marketdata

/// A source's stream that runs, with its events as they come, and what it runs against.
struct RunningStream<Bench: Sendable>: Sendable {
    let bench: Bench
    let stream: any SourceStream
    let events = TestSignal<SourceEvent>()

    /// Lends a stream while it runs.
    func run(_ body: @escaping @Sendable (Self) async throws -> Void) async throws {
        try await withThrowingTaskGroup(of: Void.self) { group in
            group.addTask { await stream.run() }
            group.addTask { for await event in stream.events { events.signal(event) } }
            group.addTask { try await body(self) }
            // The stream works until it is cancelled: the body is the first to end.
            try await group.next()
            group.cancelAll()
            try await group.waitForAll()
        }
    }

    func next() async throws -> SourceEvent { try await events.next() }
}
