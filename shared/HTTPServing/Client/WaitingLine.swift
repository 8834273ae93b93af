internal import ServiceRuntime

/// Callers of one loop that wait, in order, for what somebody else gives; each leaves by itself when it is cancelled or its time is over.
///
/// What was given belongs to the caller from then on, also when it was cancelled meanwhile: a caller that gets a value has to see to it.
/// Unchecked because every member is touched on the loop's thread only.
final class WaitingLine<Value: Sendable>: @unchecked Sendable {
    private struct Waiter {
        let number: UInt64
        let continuation: CheckedContinuation<Value, any Error>
        let timer: LoopTimer
    }

    private let loop: EventLoop
    private var waiters: [Waiter] = []
    private var lastNumber: UInt64 = 0

    init(loop: EventLoop) { self.loop = loop }

    var count: Int { waiters.count }

    /// What `atOnce` gives, or else what comes at the end of the line; throws `CancellationError`, or `lateness` after `limit`. Call it on the loop.
    ///
    /// `atOnce` is asked in the same turn of the loop in which the caller joins the line: nothing that is given in between can be missed.
    func wait(
        atMost limit: Duration,
        orThrow lateness: HTTPClientError,
        atOnce: () throws(HTTPClientError) -> Value?
    ) async throws -> Value {
        loop.checkIsolated()
        lastNumber += 1
        let number = lastNumber
        return try await withTaskCancellationHandler {
            try await withCheckedThrowingContinuation { continuation in
                // A cancel that came before there was a place in the line found nothing to remove.
                guard !Task.isCancelled else { return continuation.resume(throwing: CancellationError()) }
                do throws(HTTPClientError) {
                    if let value = try atOnce() { return continuation.resume(returning: value) }
                } catch {
                    return continuation.resume(throwing: error)
                }
                let timer = loop.timer(after: limit) { [self] in leave(number, lateness) }
                waiters.append(Waiter(number: number, continuation: continuation, timer: timer))
            }
        } onCancel: {
            loop.execute { [self] in leave(number, CancellationError()) }
        }
    }

    /// Gives to who has waited longest; false when nobody waits.
    func give(_ value: Value) -> Bool {
        guard !waiters.isEmpty else { return false }
        let first = waiters.removeFirst()
        first.timer.cancel()
        first.continuation.resume(returning: value)
        return true
    }

    /// Gives the same to all who wait.
    func giveAll(_ result: Result<Value, any Error>) {
        let served = waiters
        waiters = []
        for waiter in served {
            waiter.timer.cancel()
            waiter.continuation.resume(with: result)
        }
    }

    private func leave(_ number: UInt64, _ error: any Error) {
        // Not there any more: it was served first.
        guard let index = waiters.firstIndex(where: { $0.number == number }) else { return }
        let waiter = waiters.remove(at: index)
        waiter.timer.cancel()
        waiter.continuation.resume(throwing: error)
    }
}
