import Contracts

/// What callers read of signals, versions and subscriptions.
enum SignalAnswers {
    /// A signal as a list shows it.
    static func signal(_ signal: Signal, viewer: Caller?) -> JSONValue { .object(members(of: signal, viewer: viewer)) }

    private static func members(of signal: Signal, viewer: Caller?) -> [String: JSONValue] {
        [
            "id": .string(signal.id.description),
            "name": .string(signal.name),
            "description": .string(signal.description),
            "state": .string(signal.state.rawValue),
            "feed": signal.feed.map { .string($0.rawValue) } ?? .null,
            "instruments": .array(signal.instruments.map { .string($0) }),
            "interval_seconds": .array(signal.intervalSeconds.map { .integer(Int64($0)) }),
            "is_own": .bool(viewer?.owns(signal.accountID) ?? false),
            "created_at": .string(signal.createdAt.iso8601),
            "updated_at": .string(signal.updatedAt.iso8601),
            "published_at": PredictionAnswers.time(signal.publishedAt),
        ]
    }

    /// A signal alone: with its due times, the end of its chain, and what its published version promises.
    static func detail(
        _ signal: Signal,
        viewer: Caller?,
        head: SignalHead?,
        cadence: CadenceRecord?,
        published: SignalVersion?,
        isSubscribed: Bool
    ) -> JSONValue {
        var members = members(of: signal, viewer: viewer)
        members.merge(PredictionAnswers.standing(state: signal.state, cadence: cadence)) { _, new in new }
        members["is_subscribed"] = .bool(isSubscribed)
        members["head"] =
            head.map { head in
                [
                    "seq": .integer(head.seq), "link": .string(head.link.hex), "made_at": PredictionAnswers.time(head.madeAt),
                    "sealed_seq": .integer(head.sealedSeq),
                ]
            } ?? .null
        members["published_version"] = published.map(promise) ?? .null
        return .object(members)
    }

    /// What everybody may know of a published version; code, parameters and inputs are the provider's own.
    private static func promise(_ version: SignalVersion) -> JSONValue {
        let output = version.manifest.output
        return [
            "number": .integer(Int64(version.number)),
            "sha256": .string(version.sha256.hex),
            "deadline_seconds": .integer(Int64(version.manifest.deadlineSeconds)),
            "schedule": (try? WireJSON.value(of: version.manifest.schedule)) ?? .null,
            "output": [
                "kind": .string(output.kind.rawValue), "instrument": .string(output.instrument),
                "horizon_seconds": .integer(Int64(output.horizonSeconds)),
                "maximum_rows": .integer(Int64(output.maximumRows)),
            ],
        ]
    }

    /// A version, for its owner.
    static func version(_ version: SignalVersion) -> JSONValue {
        [
            "id": .string(version.id.description),
            "signal_id": .string(version.signalID.description),
            "number": .integer(Int64(version.number)),
            "sha256": .string(version.sha256.hex),
            "note": .string(version.note),
            "restored_from": version.restoredFrom.map { .integer(Int64($0)) } ?? .null,
            "created_at": .string(version.createdAt.iso8601),
            "manifest": (try? WireJSON.value(of: version.manifest)) ?? .null,
            "files": .array(
                version.files.map { file in
                    ["path": .string(file.path), "sha256": .string(file.sha256.hex), "bytes": .integer(Int64(file.bytes))]
                }
            ),
        ]
    }

    static func difference(_ diff: VersionDiff, from: Int, to: Int) -> JSONValue {
        [
            "from": .integer(Int64(from)),
            "to": .integer(Int64(to)),
            "manifest": .array(
                diff.manifest.map { change in ["field": .string(change.field), "from": change.from ?? .null, "to": change.to ?? .null] }
            ),
            "files": .array(
                diff.files.map { change in
                    [
                        "path": .string(change.path), "change": .string(change.change.rawValue),
                        "from_sha256": change.fromSHA256.map { .string($0.hex) } ?? .null,
                        "to_sha256": change.toSHA256.map { .string($0.hex) } ?? .null,
                        "unified": change.unified.map { .string($0) } ?? .null,
                    ]
                }
            ),
        ]
    }

    static func subscription(_ subscription: Subscription) -> JSONValue {
        [
            "id": .string(subscription.id.description),
            "signal_id": .string(subscription.signalID.description),
            "active": .bool(subscription.active),
            "created_at": .string(subscription.createdAt.iso8601),
            "ended_at": PredictionAnswers.time(subscription.endedAt),
        ]
    }

    /// A part of a list.
    static func page(_ items: [JSONValue], nextCursor: String?) -> JSONValue {
        ["items": .array(items), "next_cursor": nextCursor.map { .string($0) } ?? .null]
    }
}
