import FoundationEssentials

/// The passwords in the addresses of indexes and proxies, to be left out of whatever authors read.
struct IndexSecrets: Sendable, Hashable {
    private static let standIn = "****"
    /// A shorter one is left out only together with its user's name: alone it would be found in every other word.
    private static let leastBytes = 4

    private var texts: [String] = []

    /// Knows of none.
    init() {}

    /// Those of all addresses of an index, as they stand there, without their percents, and as a header carries them.
    init(_ index: PackageIndex) {
        var found: Set<String> = []
        for url in [index.url].compactMap(\.self) + index.extraURLs + index.proxies.values {
            let mark = url.firstRange(of: "://")?.upperBound ?? url.startIndex
            let authority = url[mark...].prefix { !"/?#".contains($0) }
            guard let at = authority.lastIndex(of: "@") else { continue }
            let credentials = String(authority[..<at])
            let colon = credentials.firstIndex(of: ":")
            let name = colon.map { String(credentials[..<$0]) } ?? credentials
            let password = colon.map { String(credentials[credentials.index(after: $0)...]) } ?? ""
            for text in [credentials, Self.withoutPercents(credentials)] where !text.isEmpty {
                found.insert(text + "@")
                found.insert(Data(text.utf8).base64EncodedString())
                if text.contains(":") { found.insert(text) }
            }
            // A token may stand where a name stands, with no password behind it.
            let secret = password.isEmpty ? name : password
            for text in [secret, Self.withoutPercents(secret)] where text.utf8.count >= Self.leastBytes { found.insert(text) }
        }
        // The longest first: a part of it must not be taken out of it.
        texts = found.sorted { ($1.utf8.count, $0) < ($0.utf8.count, $1) }
    }

    /// The text without any of them.
    func hidden(in text: String) -> String {
        texts.reduce(text) { text, secret in
            text.contains(secret) ? text.replacing(secret, with: secret.hasSuffix("@") ? Self.standIn + "@" : Self.standIn) : text
        }
    }

    private static func withoutPercents(_ text: String) -> String { String(decoding: PackageRoutes.withoutPercents(text), as: UTF8.self) }
}
