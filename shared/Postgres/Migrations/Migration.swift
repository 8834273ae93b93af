/// One step of a schema's history; never changed once it has been applied anywhere.
public struct Migration: Sendable, Hashable {
    /// Its place in the order, from 1, without gaps.
    public let version: Int
    /// What it does, from the file's name.
    public let name: String
    /// The statements.
    public let sql: String
    /// What the applied text is compared with.
    public let checksum: String

    /// A migration from a file named like `v001_create_users`.
    public init(named fileName: String, sql: String) throws(PostgresError) {
        let parts = fileName.split(separator: "_", maxSplits: 1)
        guard parts.count == 2, parts[0].first == "v", let version = Int(parts[0].dropFirst()), version > 0 else {
            throw PostgresError(.migration, message: "\(fileName) is not named like v001_create_users")
        }
        self.version = version
        self.name = String(parts[1])
        self.sql = sql
        self.checksum = Self.checksum(of: sql)
    }

    /// FNV-1a, 64 bits: it has to tell a changed file from an unchanged one, not to withstand an attacker.
    private static func checksum(of text: String) -> String {
        var hash: UInt64 = 0xcbf2_9ce4_8422_2325
        for byte in text.utf8 { hash = (hash ^ UInt64(byte)) &* 0x100_0000_01b3 }
        let hex = String(hash, radix: 16)
        return String(repeating: "0", count: 16 - hex.count) + hex
    }
}

/// The migrations of one schema in order, made of the resources that are embedded in the binary.
public struct MigrationCatalogue: Sendable {
    /// In order of their versions.
    public let migrations: [Migration]

    /// From pairs like `("v001_create_users", PackageResources.v001_create_users_sql)`; refuses gaps and doubles.
    public init(_ resources: [(name: String, bytes: [UInt8])]) throws(PostgresError) {
        var migrations: [Migration] = []
        for resource in resources {
            migrations.append(try Migration(named: resource.name, sql: String(decoding: resource.bytes, as: UTF8.self)))
        }
        migrations.sort { $0.version < $1.version }
        for (index, migration) in migrations.enumerated() where migration.version != index + 1 {
            throw PostgresError(.migration, message: "version \(index + 1) is missing or stands twice")
        }
        self.migrations = migrations
    }
}
