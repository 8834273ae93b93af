import Bars
import Contracts
import ServiceRuntime

/// What people do with replays: begin, look, pause, resume, end.
struct Replays: Sendable {
    let store: any MarketdataStore
    let reader: BarReader
    let time: any TimeSource
    var limits = ReplayLimits()
    /// Told when there is something to run; nothing in processes that run no feed.
    let feed: ReplayFeed?

    /// A replay that somebody asks for.
    struct Wish: Sendable {
        var symbol: String
        var start: Timestamp?
        var end: Timestamp?
        var intervalSeconds: Int?
        var speed: Double
        var loops: Bool
    }

    /// A replay that is ready to be made: the source is there, and has bars from the asked start on.
    func draft(_ wish: Wish, account: AccountID) async throws -> ReplayDraft {
        guard let source = try await store.instrument(symbol: wish.symbol) else { throw MarketdataError.unknownInstrument(wish.symbol) }
        guard source.feed != .replay else {
            throw MarketdataError.invalid(field: "instrument", code: "replay_of_replay", detail: "Name the instrument itself, not a replay of it.")
        }
        let now = time.now()
        let (first, seconds) = try await firstBar(of: source, wish, now: now)
        if let end = wish.end, end <= first { throw MarketdataError.nothingToReplay }
        return ReplayDraft(
            id: .make(),
            instrumentID: .make(),
            sourceInstrumentID: source.id,
            accountID: account,
            baseIntervalSeconds: seconds,
            speed: wish.speed,
            loops: wish.loops,
            startsAt: first,
            endsAt: wish.end,
            revisionsAsOf: nil,
            createdAt: now
        )
    }

    /// The first stored bar from the asked start on, of the asked interval or else of the shortest that has one soonest.
    private func firstBar(of source: Instrument, _ wish: Wish, now: Timestamp) async throws -> (start: Timestamp, seconds: Int) {
        let stored = Set(try await store.series(of: source.id).map(\.key.intervalSeconds)).sorted()
        if let asked = wish.intervalSeconds {
            guard stored.contains(where: { BarInterval(seconds: asked).isMultiple(ofSeconds: $0) }) else {
                throw MarketdataError.intervalNotAvailable(
                    asked: BarInterval(seconds: asked).text,
                    stored: stored.map { BarInterval(seconds: $0).text }
                )
            }
        }
        var best: (start: Timestamp, seconds: Int)?
        for seconds in wish.intervalSeconds.map({ [$0] }) ?? stored {
            var request = BarRequest(symbol: source.symbol, interval: BarInterval(seconds: seconds))
            request.start = wish.start ?? Timestamp(seconds: -11_000_000_000)
            request.limit = 1
            var first: Int64?
            do { first = try await reader.read(request).bars.starts.first } catch MarketdataError.intervalNotAvailable {}
            guard let start = first else { continue }
            let found = Timestamp(microseconds: start)
            // A finer series that begins a day later or more says nothing about this start.
            if let known = best, found > known.start || known.start < found + .seconds(86_400) { continue }
            best = (found, seconds)
        }
        guard let best else { throw MarketdataError.nothingToReplay }
        return best
    }

    func find(_ id: ReplayID) async throws -> Replay {
        guard let replay = try await store.replay(id: id) else { throw MarketdataError.unknownReplay }
        return replay
    }

    /// Changes the state of a replay of the account; administrators may change all. `effects` is the store inside the transaction of a request, after
    /// which whoever asked wakes the feed.
    func change(
        _ id: ReplayID,
        from: Set<Replay.State>,
        to: Replay.State,
        account: AccountID,
        isAdministrator: Bool,
        on effects: any EffectStore
    ) async throws -> Replay {
        guard let replay = try await effects.replay(id: id), isAdministrator || replay.accountID == account else {
            throw MarketdataError.unknownReplay
        }
        if replay.state == to { return replay }
        let changed =
            to == .running
            ? try await effects.resumeReplay(id, within: limits) : try await effects.changeReplay(id, from: from, to: to)
        guard let changed else {
            throw MarketdataError.replayState(try await effects.replay(id: id)?.state.rawValue ?? replay.state.rawValue)
        }
        return changed
    }
}
