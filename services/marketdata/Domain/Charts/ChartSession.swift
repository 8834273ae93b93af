import Contracts
import Cryptography

/// Tags somebody's look at charts.
enum ChartSessionTag {}
/// Tags a chart that is read in parts.
enum ChartRequestTag {}

/// Names a chart session; no secret.
typealias ChartSessionID = ID<ChartSessionTag>
/// Names a chart that is read in parts; of use with its session's token only.
typealias ChartRequestID = ID<ChartRequestTag>

/// Somebody looks at charts: for a while, on behalf of the account that asked for it.
struct ChartSession: Sendable, Equatable {
    /// What its maker proved itself with; what voids that ends the chart session too.
    enum Maker: Sendable, Equatable {
        /// An access token of this login, made for this version of the user.
        case login(SessionID, userVersion: Int64)
        /// The API key with this SHA-256.
        case apiKey(SHA256Digest)
    }

    var id: ChartSessionID
    var accountID: AccountID
    var userID: UserID
    var maker: Maker
    var createdAt: Timestamp
    /// Moved on by each heartbeat.
    var expiresAt: Timestamp
}

/// The secret that stands for a chart session: 256 random bits as base64url. Only its SHA-256 is kept.
struct ChartSessionToken: Sendable {
    static let length = 43
    let text: String

    static func make() -> ChartSessionToken { ChartSessionToken(text: RandomToken.base64URL(bytes: 32)) }

    private init(text: String) { self.text = text }

    /// Nothing for what no token looks like: nobody has to be asked about that.
    init?(parsing text: String) {
        let bytes = text.utf8
        guard bytes.count == Self.length, bytes.allSatisfy(Self.isBase64URL) else { return nil }
        self.text = text
    }

    var sha256: SHA256Digest { SHA256.digest(utf8: text) }

    private static func isBase64URL(_ byte: UInt8) -> Bool {
        (0x30...0x39).contains(byte) || (0x41...0x5A).contains(byte) || (0x61...0x7A).contains(byte) || byte == 0x2D || byte == 0x5F
    }
}

extension ChartSessionToken: CustomStringConvertible {
    /// Nothing of it, so that a token that strays into a log is no leak.
    var description: String { "ChartSessionToken(…)" }
}

/// A chart that is read in parts, all of them as of one moment.
struct ChartRequest: Sendable, Equatable {
    var id: ChartRequestID
    var sessionID: ChartSessionID
    var symbol: String
    var interval: String
    var start: Timestamp
    var end: Timestamp
    /// Pins the data: what is corrected later does not show through.
    var asOf: Timestamp
    var expiresAt: Timestamp
}
