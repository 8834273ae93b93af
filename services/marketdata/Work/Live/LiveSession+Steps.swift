import Bars
import Contracts
import Postgres
import ServiceRuntime

extension LiveSession {
    /// What may be caught up with in one step, over all instruments that lag.
    private static var catchUp: Int64 { 21_600_000_000 }

    func keepStepping() async throws {
        while true {
            try await parts.time.sleep(for: Self.pace)
            try await step()
        }
    }

    /// Closes what is over, records it and has it announced.
    func step() async throws {
        lookAtClocks()
        try await writeOpenedHoles()
        guard let step = nextStep() else { return try await writeSettledHoles() }
        // Before they are recorded: an announcer who sees them first must not be followed by one who says that they are due.
        for one in step.announcements {
            closes.setDue(WatchedCloses.Close(intervalSeconds: one.intervalSeconds, at: one.closeAt.microseconds))
        }
        try await record(step)
        try await writeSettledHoles()
        parts.metrics.closes.increment(by: step.closes.count { $0.version == 0 })
        parts.metrics.versions.increment(by: step.closes.count { $0.version > 0 })
        if !step.announcements.isEmpty { pokes.continuation.yield() }
    }

    /// What the machines have closed, taken out of them: it has to be recorded, or the session ends.
    private func nextStep() -> LiveStep? {
        let lagging = subjects.values.count { clock.present - ($0.bars?.closedThrough ?? .max) > 60_000_000 }
        let window = max(60_000_000, Self.catchUp / Int64(max(1, lagging)))
        var progress: [InstrumentID: WatchedCloses.Progress] = [:]
        for (id, subject) in subjects {
            guard let bars = subject.bars, subject.refusal == nil else { continue }
            let reach = min(bars.reach(present: clock.present, observed: observed(subject.channel)), latestEnd, bars.closedThrough + window)
            progress[id] = WatchedCloses.Progress(from: bars.closedThrough, through: max(reach, bars.closedThrough), heldAt: bars.heldAt)
        }
        let plan = closes.plan(progress)
        var step = LiveStep()
        var ends: [InstrumentID: Set<Int64>] = [:]
        for (id, through) in plan.through {
            guard let subject = subjects[id] else { continue }
            let closed = subjects[id]?.bars.modify { bars in bars.close(through: through) + bars.revisions() } ?? []
            guard !closed.isEmpty else { continue }
            if closes.isWatching(id) { ends[id] = Set(closed.lazy.filter { $0.version == 0 }.map(\.end)) }
            step.closes += closed.map { $0.close(of: subject) }
        }
        for (close, instruments) in plan.announcements {
            let told = instruments.filter { id in
                guard let start = closes.start(of: close, of: id) else { return false }
                return subjects[id]?.bars.modify { $0.knowsClose(at: close.at) && $0.tells(of: start..<close.at) } ?? false
            }
            guard !told.isEmpty else { continue }
            step.announcements.append(
                LiveAnnouncement(
                    intervalSeconds: close.intervalSeconds,
                    closeAt: Timestamp(microseconds: close.at),
                    knownAt: .distantPast,
                    instruments: told
                )
            )
            // What is announced is recorded as closed in the same step, be it by a row that says nothing else: so it is never announced again.
            for id in told where ends[id, default: []].insert(close.at).inserted {
                guard let subject = subjects[id], floorDivide(close.at, subject.length) * subject.length == close.at else { continue }
                step.closes.append(LiveBars.Closed(start: close.at - subject.length, end: close.at, version: 0, prices: nil).close(of: subject))
            }
        }
        return step.closes.isEmpty && step.announcements.isEmpty ? nil : step
    }

    /// Records a step once, whatever happens to the connection meanwhile.
    private func record(_ step: LiveStep) async throws {
        var isUnknown = false
        for attempt in 1... {
            do {
                if isUnknown, try await parts.subscriptions.isRecorded(step, feed: sourceID) { return }
                isUnknown = false
                guard try await parts.live.record(step, feed: sourceID, runner: parts.runner) != nil else { throw LeaseLost() }
                return
            } catch let error as LeaseLost {
                throw error
            } catch is CancellationError {
                throw CancellationError()
            } catch let error as PostgresError where error.isUniqueViolation(of: "live_announcements_pkey") {
                // The same close is due already, which this session does not know: the next one begins with what is.
                throw error
            } catch {
                // Longer than the lease it does not matter any more.
                guard attempt < 50 else { throw error }
                isUnknown = true
                logger.warning("closed bars could not be recorded; trying again", ["source": .string(sourceID), "error": .string("\(error)")])
                try await parts.time.sleep(for: .milliseconds(200))
            }
        }
    }

    // MARK: Announcing

    /// How many bars are read at once for events.
    private static var readers: Int { 8 }

    func keepAnnouncing() async throws {
        defer { noteDue([]) }
        for await _ in pokes.stream {
            do {
                let due = try await parts.live.announcementsDue(feed: sourceID)
                noteDue(due)
                var left: [LiveAnnouncement] = []
                for one in due {
                    // One that cannot be read holds no other up.
                    do { try await announce(one) } catch let error where !(error is CancellationError || error is LeaseLost) {
                        warn(error)
                        left.append(one)
                    }
                }
                noteDue(left)
            } catch let error where !(error is CancellationError || error is LeaseLost) {
                warn(error)
            }
        }
        throw CancellationError()
    }

    /// Shows what is due, the oldest first; by the database's clock, which stamped it.
    private func noteDue(_ due: [LiveAnnouncement]) {
        parts.metrics.due.set(Double(due.count))
        let age = due.first.map { max(0, databaseNow - $0.knownAt.microseconds) } ?? 0
        parts.metrics.oldestDue.set(Double(age) / 1_000_000)
    }

    private func warn(_ error: any Error) {
        logger.warning("closed bars could not be announced; trying again", ["source": .string(sourceID), "error": .string("\(error)")])
    }

    private func announce(_ due: LiveAnnouncement) async throws {
        let event = try await Self.event(of: due, parts)
        switch try await parts.live.announce(event, of: due, feed: sourceID, runner: parts.runner) {
        case .said, .gone: break
        case .noLease: throw LeaseLost()
        }
        closes.setAnnounced(WatchedCloses.Close(intervalSeconds: due.intervalSeconds, at: due.closeAt.microseconds))
    }

    /// The event carries what a query of the same moment answers.
    private nonisolated static func event(of due: LiveAnnouncement, _ parts: Parts) async throws -> BarsClosed {
        let bars = try await withThrowingTaskGroup(of: (Int, ClosedBar?).self) { group in
            var found: [Int: ClosedBar] = [:]
            var next = 0
            for (place, id) in due.instruments.enumerated() {
                if next >= readers, let (place, bar) = try await group.next() { found[place] = bar }
                group.addTask { (place, try await bar(of: id, due, parts)) }
                next += 1
            }
            for try await (place, bar) in group { found[place] = bar }
            return due.instruments.indices.compactMap { found[$0] }
        }
        return BarsClosed(intervalSeconds: due.intervalSeconds, closeAt: due.closeAt, knownAt: due.knownAt, bars: bars)
    }

    private nonisolated static func bar(of id: InstrumentID, _ due: LiveAnnouncement, _ parts: Parts) async throws -> ClosedBar? {
        guard let instrument = try await parts.store.instrument(id: id) else { return nil }
        var request = BarRequest(symbol: instrument.symbol, interval: BarInterval(seconds: due.intervalSeconds), asOf: due.knownAt)
        request.end = due.closeAt
        request.countback = 1
        let answer: BarAnswer
        do { answer = try await parts.reader.read(request, of: instrument, for: .platform) } catch MarketdataError.tooManyHeavyReads {
            // That passes: asked again soon, there is room.
            throw MarketdataError.tooManyHeavyReads
        } catch let error as MarketdataError {
            // Its series went while this was due, or a day of it is damaged. Nothing is said of it, not even that nothing was traded, and the others,
            // whose bars are fine, do not wait for it.
            parts.metrics.unreadable.increment()
            Logger("live-feed").warning(
                "a closed bar cannot be read and is not announced",
                [
                    "source": .string(parts.source.description.id), "instrument": .string(instrument.symbol), "reason": .string("\(error)"),
                    "interval_seconds": .number(Double(due.intervalSeconds)), "close_at": .string(due.closeAt.iso8601),
                ]
            )
            return nil
        }
        return ClosedBar(
            instrumentID: id,
            symbol: instrument.symbol,
            feed: instrument.feed,
            revision: Int64(answer.revision),
            bar: answer.bars.ends.last == due.closeAt.microseconds ? ClosedBar.Bar(lastOf: answer.bars) : nil
        )
    }
}

extension LiveBars.Closed {
    fileprivate func close(of subject: LiveSession.Subject) -> LiveClose {
        LiveClose(
            instrumentID: subject.instrument.id,
            series: subject.subscription.series,
            start: start,
            end: end,
            version: version,
            prices: prices
        )
    }
}
