import LineConnections
import ServiceRuntime

/// Where DTN's client program listens.
struct IQFeedEndpoints: Sendable, Equatable {
    var host = "127.0.0.1"
    var ports: [IQFeedDoor: Int] = [:]

    func port(_ door: IQFeedDoor) -> Int { ports[door] ?? door.usualPort }
}

/// A connection on which the protocol is agreed.
struct IQFeedSession: Sendable {
    let connection: LineConnection
    let version: IQFeedVersion
    /// Lines that came before and with the agreement: greetings of the streams.
    let greeting: [String]
}

/// Makes connections to DTN's client program: whoever asks gets a live one, or a clear "none", in 5 s.
struct IQFeedConnector: Sendable {
    let endpoints: IQFeedEndpoints
    let loop: EventLoop
    let time: any TimeSource
    /// The name under which its connections are listed by the client program.
    var clientName = "auspex"
    /// Makes sure that the client program runs; throws `SourceError.unavailable` when it does not.
    var makeSure: @Sendable () async throws -> Void = {}
    var patience = Duration.seconds(5)

    /// A connection to a door, its protocol agreed; throws `SourceError.unavailable` when there is none in time.
    func connect(_ door: IQFeedDoor) async throws -> IQFeedSession {
        let late = SourceError.unavailable("the client program gave no connection (\(door.rawValue)) within \(patience)")
        return try await withDeadline(patience, time: time, orThrow: late) { [self] in
            try await makeSure()
            let connection: LineConnection
            var configuration = LineConnectionConfiguration()
            // One limit is enough, the one around all of it.
            configuration.connectTimeout = patience * 10
            do {
                connection = try await LineConnection.connect(
                    to: endpoints.host,
                    port: endpoints.port(door),
                    on: loop,
                    time: time,
                    configuration: configuration
                )
            } catch let error as LineConnectionError {
                throw SourceError.unavailable(error.description)
            }
            do {
                let session = try await agree(connection)
                try await connection.send("S,SET CLIENT NAME,\(clientName)-\(door.rawValue)")
                // At the admin port it comes last, after the login: without one the client program would open a window and ask.
                if door == .level1 || door == .derivatives { try await connection.send("S,CONNECT") }
                return session
            } catch {
                await connection.close()
                if let error = error as? LineConnectionError { throw SourceError.unavailable(error.description) }
                throw error
            }
        }
    }

    /// Agrees on the best protocol that both sides speak. Without that the client program would speak a very old one.
    private func agree(_ connection: LineConnection) async throws -> IQFeedSession {
        var greeting: [String] = []
        for version in IQFeedVersion.allCases {
            try await connection.send("S,SET PROTOCOL,\(version.rawValue)")
            var answer: String?
            while answer == nil {
                guard let batch = try await connection.next() else { throw SourceError.unavailable("\(connection.peer) hung up at once") }
                for line in batch.lines {
                    let isAnswer = line.hasPrefix("S,CURRENT PROTOCOL,") || line.hasPrefix("E,")
                    if isAnswer, answer == nil { answer = line } else { greeting.append(line) }
                }
            }
            let words = (answer ?? "").split(separator: ",", omittingEmptySubsequences: false)
            if words.count >= 3, words[1] == "CURRENT PROTOCOL", words[2] == version.rawValue {
                return IQFeedSession(connection: connection, version: version, greeting: greeting)
            }
        }
        throw SourceError.unavailable(
            "\(connection.peer) speaks none of the protocols \(IQFeedVersion.allCases.map(\.rawValue).joined(separator: ", "))"
        )
    }
}
