/// What the admin port says each second: `S,STATS,…`.
struct IQFeedStats: Sendable, Equatable {
    var maximumSymbols: Int
    var symbols: Int
    var clients: Int
    /// How long ago the vendor's servers sent something.
    var secondsSinceUpdate: Int
    var reconnections: Int
    var attemptedReconnections: Int
    var isConnected: Bool
    /// The client program's version.
    var version: String

    /// Reads a line; nothing if it is another one. The login in it is not kept.
    init?(line: String) {
        let fields = line.split(separator: ",", omittingEmptySubsequences: false)
        guard fields.count >= 14, fields[0] == "S", fields[1] == "STATS" else { return nil }
        func number(_ index: Int) -> Int { Int(fields[index]) ?? 0 }
        maximumSymbols = number(4)
        symbols = number(5)
        clients = number(6)
        secondsSinceUpdate = number(7)
        reconnections = number(8)
        attemptedReconnections = number(9)
        isConnected = fields[12] == "Connected"
        version = String(fields[13])
    }
}
