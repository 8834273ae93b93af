public import ServiceRuntime

/// `SERVICE dead …`: what an operator does about messages that nobody could handle.
public enum DeadCommand {
    static let usage = """
        dead list                              how many messages each consumer gave up on
        dead show CONSUMER [LIMIT]             the oldest of them, with their reasons; they stay
        dead replay CONSUMER (ID... | --all)   puts them back, with all tries before them
        dead drop CONSUMER (ID... | --all)     deletes them for good
        """

    /// The subcommand of a service with these consumers.
    public static func subcommand<Settings>(
        service: String,
        consumers: [String],
        brokerURL: @escaping @Sendable (Settings) -> String
    ) -> Subcommand<Settings> {
        Subcommand(name: "dead", help: "lists, shows, replays or drops messages that nobody could handle") { words, settings in
            guard let verb = Verb(words, consumers: consumers) else {
                print(usage)
                print("consumers: \(consumers.joined(separator: ", "))")
                return words.isEmpty || words.first == "--help" ? 0 : 64
            }
            let queues = try DeadQueues(brokerURL: brokerURL(try settings()), service: service, consumers: consumers)
            do {
                for line in try await run(verb, on: queues) { print(line) }
                await queues.close()
                return 0
            } catch {
                await queues.close()
                throw error
            }
        }
    }

    /// What was asked for, read from the words after `dead`.
    enum Verb: Equatable {
        case list
        case show(consumer: String, limit: Int)
        /// Without ids: all.
        case replay(consumer: String, ids: Set<String>?)
        case drop(consumer: String, ids: Set<String>?)

        init?(_ words: [String], consumers: [String]) {
            if words == ["list"] {
                self = .list
                return
            }
            guard words.count >= 2, consumers.contains(words[1]) else { return nil }
            let rest = Array(words.dropFirst(2))
            switch words[0] {
            case "show":
                guard rest.count <= 1, let limit = rest.isEmpty ? 20 : Int(rest[0]), (1...10_000).contains(limit) else { return nil }
                self = .show(consumer: words[1], limit: limit)
            case "replay", "drop":
                // Nothing is meant by naming nothing: all of them must be asked for.
                guard !rest.isEmpty, rest == ["--all"] || !rest.contains(where: { $0.hasPrefix("-") }) else { return nil }
                let ids = rest == ["--all"] ? nil : Set(rest)
                self = words[0] == "replay" ? .replay(consumer: words[1], ids: ids) : .drop(consumer: words[1], ids: ids)
            default: return nil
            }
        }
    }

    private static func run(_ verb: Verb, on queues: DeadQueues) async throws -> [String] {
        switch verb {
        case .list:
            let summaries = try await queues.list()
            return summaries.isEmpty ? ["no queue has been made yet"] : summaries.map { "\($0.count)\t\($0.queue)" }
        case .show(let consumer, let limit):
            let messages = try await queues.show(consumer: consumer, limit: limit)
            return messages.isEmpty ? ["nothing is dead"] : messages.flatMap(describe)
        case .replay(let consumer, let ids): return ["\(try await queues.replay(consumer: consumer, messageIDs: ids)) put back"]
        case .drop(let consumer, let ids): return ["\(try await queues.drop(consumer: consumer, messageIDs: ids)) dropped"]
        }
    }

    private static func describe(_ message: DeadMessage) -> [String] {
        [
            "\(message.messageID)  \(message.type)  \(message.attempts) tries\(message.movedAt.isEmpty ? "" : ", given up at \(message.movedAt)")",
            "    \(message.reason)",
            "    \(String(decoding: message.body.prefix(2_000), as: UTF8.self))\(message.body.count > 2_000 ? " …" : "")",
        ]
    }
}
