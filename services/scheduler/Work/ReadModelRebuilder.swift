import Contracts
import HTTPServing
import ServiceRuntime

/// Asks signals once, after the start, for all published signals, so that schedules are right even when events were lost for good.
final class ReadModelRebuilder: Component {
    let name = "read-model"

    /// What signals says: the data of the event, and the version under which it was said.
    struct Published: Decodable, Sendable {
        struct Item: Decodable, Sendable {
            let event: SignalPublished
            let subjectVersion: Int64

            private enum CodingKeys: CodingKey { case subjectVersion }

            init(from decoder: any Decoder) throws {
                event = try SignalPublished(from: decoder)
                subjectVersion = try decoder.container(keyedBy: CodingKeys.self).decode(Int64.self, forKey: .subjectVersion)
            }
        }
        let signals: [Item]
    }

    private let store: any SchedulerStore
    private let fetch: @Sendable () async throws -> Published
    private let time: any TimeSource
    private let loop: EventLoop
    private let work = BackgroundTask()

    init(store: any SchedulerStore, time: any TimeSource, loop: EventLoop, fetch: @escaping @Sendable () async throws -> Published) {
        self.store = store
        self.time = time
        self.loop = loop
        self.fetch = fetch
    }

    func start() async throws {
        work.start(on: loop) { [self] in
            var wait = Duration.milliseconds(500)
            while !Task.isCancelled {
                if (try? await rebuild()) != nil { return }
                do { try await time.sleep(for: wait) } catch { return }
                wait = min(wait * 2, .seconds(30))
            }
        }
    }

    func stop() async {
        await work.stop()
    }

    /// Applies what signals says; what is known already changes nothing.
    func rebuild() async throws {
        for item in try await fetch().signals {
            try await store.transaction { transaction in
                _ = try await ScheduleKeeper.publish(item.event, subjectVersion: item.subjectVersion, now: time.now(), in: transaction)
            }
        }
    }
}
