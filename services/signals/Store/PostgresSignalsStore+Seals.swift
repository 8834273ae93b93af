import Contracts
import Postgres

extension PostgresSignalsStore {
    func seal(signing: @Sendable (_ text: String) throws -> (signature: String, keyID: String)) async throws -> LedgerSeal? {
        try await transaction { connection in
            // One sealer at a time across replicas; who does not get the lock has nothing to do this second.
            let lock = try await connection.query("SELECT pg_try_advisory_xact_lock(hashtextextended('signals.sealer', 0))")
            guard try lock.first?.column(0) == true else { return nil }
            let answers = try await connection.pipeline([
                "SELECT signal_id, seq, link, made_at FROM heads WHERE sealed_seq < seq ORDER BY signal_id",
                "SELECT number, root, sealed_at FROM seals ORDER BY number DESC LIMIT 1",
                // After the heads: a seal that is older than what it binds would let a row count that came too late.
                "SELECT clock_timestamp()",
            ])
            let heads = try answers[0].map { LedgerHead(signalID: try $0.column(0), seq: try $0.column(1), link: try $0.column(2)) }
            guard !heads.isEmpty, let clock = try answers[2].first?.column(0, as: Timestamp.self) else { return nil }
            let last = try answers[1].first?.decode(Int64.self, SHA256Digest.self, Timestamp.self)
            var seal = LedgerSeal.next(number: (last?.0 ?? 0) + 1, previousRoot: last?.1 ?? LedgerHash.zero, heads: heads)
            // Clocks can be set back, so this one alone is not enough.
            var sealedAt = max(clock, last?.2 ?? .distantPast)
            for row in answers[0] { sealedAt = max(sealedAt, try row.column(3, as: Timestamp?.self) ?? .distantPast) }
            let signed = try signing(LedgerSeal.signedText(number: seal.number, root: seal.root, sealedAt: sealedAt))
            seal.sealedAt = sealedAt
            seal.signature = signed.signature
            seal.keyID = signed.keyID
            _ = try await connection.pipeline([
                """
                INSERT INTO seals (number, sealed_at, merkle, root, previous_root, signature, key_id)
                VALUES (\(seal.number), \(sealedAt), \(seal.merkle), \(seal.root), \(seal.previousRoot), \(signed.signature), \(signed.keyID))
                """,
                """
                INSERT INTO seal_heads (signal_id, seq, link, seal_number)
                SELECT signal_id, seq, link, \(seal.number)
                FROM unnest(\(heads.map(\.signalID)), \(heads.map(\.seq)), \(heads.map(\.link))) AS head (signal_id, seq, link)
                """,
                """
                UPDATE heads SET sealed_seq = sealed.seq, revision = revision + 1
                FROM unnest(\(heads.map(\.signalID)), \(heads.map(\.seq))) AS sealed (signal_id, seq)
                WHERE heads.signal_id = sealed.signal_id
                """,
            ])
            return seal
        }
    }

    func remember(_ key: LedgerKey) async throws {
        _ = try await query(
            "INSERT INTO ledger_keys (key_id, jwk, first_used_at) VALUES (\(key.keyID), \(key.jwk), \(key.firstUsedAt)) ON CONFLICT (key_id) DO NOTHING"
        )
    }

    func ledgerKeys() async throws -> [LedgerKey] {
        try await query("SELECT key_id, jwk, first_used_at FROM ledger_keys ORDER BY first_used_at, key_id").map { row in
            LedgerKey(keyID: try row.column(0), jwk: try row.column(1), firstUsedAt: try row.column(2))
        }
    }

    func seals(of signalID: SignalID, afterSeq: Int64, throughSeq: Int64) async throws -> [LedgerSeal] {
        try await seals(
            where: """
                number IN (SELECT seal_number FROM seal_heads WHERE signal_id = \(signalID) AND seq > \(afterSeq) AND seq <= \(throughSeq)) ORDER BY number
                """
        )
    }

    func seals(after number: Int64, limit: Int) async throws -> [LedgerSeal] {
        try await seals(where: "number > \(number) ORDER BY number LIMIT \(limit)")
    }

    func lastSeal(before moment: Timestamp) async throws -> LedgerSeal? {
        try await seals(where: "sealed_at < \(moment) ORDER BY number DESC LIMIT 1").first
    }

    private func seals(where condition: SQL) async throws -> [LedgerSeal] {
        let rows = try await query("SELECT number, merkle, root, previous_root, sealed_at, signature, key_id FROM seals WHERE \(condition)")
        let numbers = try rows.map { try $0.column(0, as: Int64.self) }
        var heads: [Int64: [LedgerHead]] = [:]
        for row in try await query("SELECT seal_number, signal_id, seq, link FROM seal_heads WHERE seal_number = ANY (\(numbers)) ORDER BY signal_id")
        {
            let number: Int64 = try row.column(0)
            heads[number, default: []].append(LedgerHead(signalID: try row.column(1), seq: try row.column(2), link: try row.column(3)))
        }
        return try rows.map { row in
            let number: Int64 = try row.column(0)
            return LedgerSeal(
                number: number,
                heads: heads[number] ?? [],
                merkle: try row.column(1),
                root: try row.column(2),
                previousRoot: try row.column(3),
                sealedAt: try row.column(4),
                signature: try row.column(5),
                keyID: try row.column(6)
            )
        }
    }
}
