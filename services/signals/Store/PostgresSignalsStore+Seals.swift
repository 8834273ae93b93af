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

    func seals(of signalID: SignalID, afterSeq: Int64, throughSeq: Int64, maximumHeads: Int) async throws -> SealPage {
        try await page(limit: .max, maximumHeads: maximumHeads) { last, count in
            """
            SELECT seal_number, seq FROM seal_heads
            WHERE signal_id = \(signalID) AND seq > \(last ?? afterSeq) AND seq <= \(throughSeq) ORDER BY seq LIMIT \(count)
            """
        }
    }

    func sealCount(of signalID: SignalID) async throws -> Int {
        try await query("SELECT count(DISTINCT seal_number) FROM seal_heads WHERE signal_id = \(signalID)").first?.column(0) ?? 0
    }

    func seals(after number: Int64, limit: Int, maximumHeads: Int) async throws -> SealPage {
        try await page(limit: limit, maximumHeads: maximumHeads) { last, count in
            "SELECT number AS seal_number, number AS seq FROM seals WHERE number > \(last ?? number) ORDER BY number LIMIT \(count)"
        }
    }

    func lastSeal(before moment: Timestamp) async throws -> LedgerSeal? {
        let found = try await query("SELECT number FROM seals WHERE sealed_at < \(moment) ORDER BY number DESC LIMIT 1")
        return try await seals(try found.map { try $0.column(0) }).first
    }

    /// How many seals are looked at before their heads are counted together: what lies behind the end of the page is not counted.
    private static let sealsCountedAtOnce = 128

    /// Takes seals until the page is full. `wanted` gives the numbers of the next ones, each with the place in the order after which to go on.
    private func page(limit: Int, maximumHeads: Int, wanted: (_ last: Int64?, _ count: Int) -> SQL) async throws -> SealPage {
        var numbers: [Int64] = []
        var heads = 0
        var last: Int64?
        var hasMore = false
        counting: while true {
            let rows = try await query(
                """
                SELECT seal_number, seq, (SELECT count(*) FROM seal_heads h WHERE h.seal_number = wanted.seal_number)
                FROM (\(wanted(last, Self.sealsCountedAtOnce))) AS wanted ORDER BY seq
                """
            )
            for row in rows {
                let (number, place, count) = try row.decode(Int64.self, Int64.self, Int.self)
                if numbers.count >= limit || (!numbers.isEmpty && heads + count > maximumHeads) {
                    hasMore = true
                    break counting
                }
                numbers.append(number)
                heads += count
                last = place
            }
            if rows.count < Self.sealsCountedAtOnce { break }
        }
        return SealPage(seals: try await seals(numbers), hasMore: hasMore)
    }

    /// These seals with all their heads, in this order.
    private func seals(_ numbers: [Int64]) async throws -> [LedgerSeal] {
        guard !numbers.isEmpty else { return [] }
        var heads: [Int64: [LedgerHead]] = [:]
        for row in try await query("SELECT seal_number, signal_id, seq, link FROM seal_heads WHERE seal_number = ANY (\(numbers)) ORDER BY signal_id")
        {
            let number: Int64 = try row.column(0)
            heads[number, default: []].append(LedgerHead(signalID: try row.column(1), seq: try row.column(2), link: try row.column(3)))
        }
        var found: [Int64: LedgerSeal] = [:]
        for row in try await query(
            "SELECT number, merkle, root, previous_root, sealed_at, signature, key_id FROM seals WHERE number = ANY (\(numbers))"
        ) {
            let number: Int64 = try row.column(0)
            found[number] = LedgerSeal(
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
        return numbers.compactMap { found[$0] }
    }
}
