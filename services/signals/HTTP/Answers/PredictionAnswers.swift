import Contracts

/// What subscribers read: every field is always there, null when it is not known.
enum PredictionAnswers {
    /// One prediction.
    static func prediction(_ stored: StoredPrediction) -> JSONValue {
        let statement = stored.statement
        let value: JSONValue =
            switch statement.row.value {
            case .single(let number): .string(number.text)
            case .quantiles(let values): .object(values.mapValues { .string($0.text) })
            }
        return [
            "signal_id": .string(statement.signalID.description),
            "seq": .integer(stored.entry.seq),
            "made_at": .string(stored.entry.madeAt.iso8601),
            "instrument": .string(statement.row.instrument),
            "kind": .string(statement.row.kind.rawValue),
            "value": value,
            "due_at": .string(statement.dueAt.iso8601),
            "as_of": .string(statement.asOf.iso8601),
            "target_from": .string(statement.row.targetFrom.iso8601),
            "target_to": .string(statement.row.targetTo.iso8601),
            "reference_price": statement.referencePrice.map { .string($0.text) } ?? .null,
            "feed": .string(statement.feed.rawValue),
            "late": .bool(statement.late),
            "version_sha256": .string(statement.versionSHA256.hex),
            "env_sha256": .string(statement.envSHA256.hex),
            "data_sha256": .string(statement.dataSHA256.hex),
            "job_id": .string(statement.jobID.description),
            "row": .integer(Int64(statement.row.row)),
            "leaf": .string(stored.entry.leaf.hex),
            "link": .string(stored.entry.link.hex),
            "seal": stored.seal.map(seal) ?? .null,
            "outcome": stored.outcome.map(outcome) ?? .null,
        ]
    }

    private static func seal(_ seal: SealReference) -> JSONValue {
        ["n": .integer(seal.number), "root": .string(seal.root.hex), "sealed_at": .string(seal.sealedAt.iso8601)]
    }

    private static func outcome(_ outcome: SettledOutcome) -> JSONValue {
        let realised = outcome.realised
        return [
            "state": .string(realised.state.rawValue),
            "opens_at": time(realised.opensAt),
            "open_price": realised.openPrice.map { .string($0.text) } ?? .null,
            "closes_at": time(realised.closesAt),
            "close_price": realised.closePrice.map { .string($0.text) } ?? .null,
            "realised_return": realised.realisedReturn.map { .string($0.text) } ?? .null,
            "correct": realised.correct.map { .bool($0) } ?? .null,
            "counts": .bool(outcome.counts),
            "reason": realised.reason.map { .string($0) } ?? .null,
            "settled_at": .string(outcome.settledAt.iso8601),
        ]
    }

    static func time(_ moment: Timestamp?) -> JSONValue { moment.map { .string($0.iso8601) } ?? .null }

    /// Where a signal stands, so that "no news", "did not run" and "failed" differ.
    static func standing(state: SignalState, cadence: CadenceRecord?) -> [String: JSONValue] {
        [
            "signal_state": .string(state.rawValue),
            "last_due_at": time(cadence?.lastDueAt),
            "last_outcome": cadence?.lastOutcome.map { .string($0.rawValue) } ?? .null,
            "last_reason": cadence?.lastReason.map { .string($0) } ?? .null,
            "next_due_at": time(cadence?.nextDueAt),
        ]
    }

    /// Where one of several signals stands.
    static func standing(_ view: SignalView) -> JSONValue {
        var members = standing(state: view.signal.state, cadence: view.cadence)
        members["signal_id"] = .string(view.signal.id.description)
        members["feed"] = view.signal.feed.map { .string($0.rawValue) } ?? .null
        members["seq"] = .integer(view.head.seq)
        members["link"] = .string(view.head.link.hex)
        return .object(members)
    }

    /// A signal's page of predictions.
    static func page(_ view: SignalView, rows: [StoredPrediction], nextCursor: String?) -> [UInt8] {
        var members = standing(state: view.signal.state, cadence: view.cadence)
        members["signal_id"] = .string(view.signal.id.description)
        members["feed"] = view.signal.feed.map { .string($0.rawValue) } ?? .null
        members["ledger_epoch"] = .integer(view.epoch)
        members["seq"] = .integer(view.head.seq)
        members["link"] = .string(view.head.link.hex)
        members["root"] = view.root.map { .string($0.hex) } ?? .null
        members["items"] = .array(rows.map(prediction))
        members["next_cursor"] = nextCursor.map { .string($0) } ?? .null
        return WireJSON.encode(.object(members))
    }

    /// The same rows as CSV, one header line first; times and prices as in the JSON.
    static func csv(_ rows: [StoredPrediction]) -> [UInt8] {
        var text = """
            signal_id,seq,made_at,instrument,kind,value,due_at,as_of,target_from,target_to,reference_price,feed,late,version_sha256,link,sealed_at,\
            outcome_state,open_price,close_price,realised_return,correct,counts\r\n
            """
        for stored in rows {
            let statement = stored.statement
            let realised = stored.outcome?.realised
            let fields: [String] = [
                statement.signalID.description, String(stored.entry.seq), stored.entry.madeAt.iso8601, statement.row.instrument,
                statement.row.kind.rawValue,
                statement.row.value.text, statement.dueAt.iso8601, statement.asOf.iso8601, statement.row.targetFrom.iso8601,
                statement.row.targetTo.iso8601, statement.referencePrice?.text ?? "", statement.feed.rawValue, String(statement.late),
                statement.versionSHA256.hex, stored.entry.link.hex, stored.seal?.sealedAt.iso8601 ?? "", realised?.state.rawValue ?? "",
                realised?.openPrice?.text ?? "", realised?.closePrice?.text ?? "", realised?.realisedReturn?.text ?? "",
                realised?.correct.map { String($0) } ?? "", stored.outcome.map { String($0.counts) } ?? "",
            ]
            text += fields.map(csvField).joined(separator: ",") + "\r\n"
        }
        return Array(text.utf8)
    }

    /// Quoted when it must be.
    private static func csvField(_ text: String) -> String {
        guard text.utf8.contains(where: { $0 == 0x2C || $0 == 0x22 || $0 == 0x0A || $0 == 0x0D }) else { return text }
        return "\"" + text.replacing("\"", with: "\"\"") + "\""
    }
}
