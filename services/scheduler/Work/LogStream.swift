import Contracts
import HTTPServing

/// Sends what a job prints to one listener, from where it left off until the job has ended.
struct LogStream: Sendable {
    let news: LogNews

    private struct Piece: Encodable {
        let attempt: Int
        let attemptID: AttemptID?
        let offset: Int64
        let text: String
        /// How many bytes before this piece nobody kept.
        let leftOut: Int64?
    }

    private struct End: Encodable {
        let state: JobState
        let attempt: Int
        let failureKind: FailureKind?
        let errorMessage: String?
        let truncated: Bool
    }

    /// Serves until the job has ended, the client goes, or `refusal` says why it may listen no longer.
    func serve(_ stream: EventStream, _ id: JobID, after place: LogPlace?, refusal: @Sendable () async -> String?) async throws {
        let (number, wakeups) = await news.follow(id)
        do {
            var place = place
            var turns = wakeups.makeAsyncIterator()
            while !Task.isCancelled {
                if let reason = await refusal() {
                    stream.end(reason)
                    break
                }
                let reading = try await news.reads.reading(of: id, after: place)
                guard let job = reading.job, try await send(stream, reading.logs, &place) else { break }
                if job.state.isTerminal {
                    let end = End(
                        state: job.state,
                        attempt: job.attempt,
                        failureKind: job.failureKind,
                        errorMessage: job.errorMessage,
                        truncated: reading.isTruncated
                    )
                    _ = await stream.send(id: place?.description, event: "end", data: String(decoding: try WireJSON.encode(end), as: UTF8.self))
                    break
                }
                guard await turns.next() != nil else { break }
            }
        } catch {
            await news.leave(id, number)
            throw error
        }
        await news.leave(id, number)
    }

    /// Sends what lies behind a place; false when the client has gone.
    private func send(_ stream: EventStream, _ logs: [AttemptLog], _ place: inout LogPlace?) async throws -> Bool {
        for log in logs {
            let attemptID = log.placeID
            var at = place?.attemptID == attemptID ? place?.offset ?? 0 : 0
            for piece in log.pieces(after: at) {
                let gap = piece.offset - at
                let data = Piece(attempt: log.attempt, attemptID: log.attemptID, offset: piece.offset, text: piece.text, leftOut: gap > 0 ? gap : nil)
                at = piece.end
                let next = LogPlace(attemptID: attemptID, offset: at)
                guard await stream.send(id: next.description, event: "log", data: String(decoding: try WireJSON.encode(data), as: UTF8.self)) else {
                    return false
                }
                place = next
            }
        }
        return true
    }
}
