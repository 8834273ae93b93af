import Contracts

/// A file that comes in parts, and what became of it.
struct Upload: Sendable {
    /// Where it is on its way.
    enum State: String, Sendable, CaseIterable {
        /// Parts are coming in.
        case open
        /// It is being imported.
        case importing
        /// Its days are stored.
        case imported
        /// Nothing of it could be used; with other options it may be tried again.
        case failed
    }

    static let maximumPartBytes = 8 << 20
    static let minimumPartBytes = 64 << 10
    /// As much as an archive may hold.
    static let maximumBytes = Archive.maximumUnpackedBytes
    /// What nobody has touched for so long is forgotten.
    static let lifetimeSeconds: Int64 = 86_400

    var id: UploadID
    var accountID: AccountID
    var fileName: String
    var bytes: Int
    /// All parts but the last have this length.
    var partBytes: Int
    /// Of the whole file, where the sender said it.
    var sha256: SHA256Digest?
    var state: State
    /// The parameters of the import, as they were asked.
    var options: [String: String]
    /// Numbers of the parts that are there, from 1.
    var received: [Int]
    var daysDone: Int
    var daysTotal: Int?
    var rowsDone: Int
    var attempts: Int
    var result: JSONValue?
    var problem: JSONValue?
    var createdAt: Timestamp
    var touchedAt: Timestamp
    /// How far its conversion is, in percent; nothing for a file that needs none, or of which it is not known yet.
    var convertedPercent: Int?

    var partCount: Int { (bytes + partBytes - 1) / partBytes }

    /// How long a part has to be; nothing for a number that is none of the file's.
    func length(ofPart number: Int) -> Int? {
        guard (1...partCount).contains(number) else { return nil }
        return number < partCount ? partBytes : bytes - (partCount - 1) * partBytes
    }

    var receivedBytes: Int { received.reduce(0) { $0 + (length(ofPart: $1) ?? 0) } }

    /// The first part that is not there.
    var missingPart: Int? { received.count == partCount ? nil : (1...partCount).first { number in !received.contains(number) } }
}
