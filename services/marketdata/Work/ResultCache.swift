import Contracts

/// Remembers answers under keys that hold the revisions they were made of; forgetting one costs time and nothing else.
protocol ResultCache: Sendable {
    func value(_ key: SHA256Digest) async -> [UInt8]?
    func store(_ bytes: [UInt8], for key: SHA256Digest) async
}

/// Remembers nothing.
struct NoResultCache: ResultCache {
    func value(_ key: SHA256Digest) async -> [UInt8]? { nil }
    func store(_ bytes: [UInt8], for key: SHA256Digest) async {}
}
