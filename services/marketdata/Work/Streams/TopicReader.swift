import Bars
import Contracts
import ServiceRuntime

/// Finds out what became known of a topic, by the same reader as everybody else.
struct TopicReader: Sendable {
    let store: any MarketdataStore
    let reader: BarReader
    let knowledge: KnowledgeStore
    /// So many bars at most are sent of a topic at once.
    let maximumBars: Int

    /// The topic as it was known at a moment.
    func view(of topic: StreamTopic, at moment: Timestamp) async throws -> TopicView {
        guard let instrument = try await store.description(of: topic.symbol, on: .moment(moment))?.instrument else {
            throw MarketdataError.unknownInstrument(topic.symbol)
        }
        var request = BarRequest(symbol: topic.symbol, interval: topic.interval)
        request.asOf = moment
        request.partial = true
        request.countback = Self.remembered(topic.interval) + 1
        let answer = try await reader.read(request)
        var view = TopicView(
            topic: topic,
            instrument: instrument,
            through: moment,
            closed: .empty,
            running: .empty,
            revision: answer.revision,
            position: nil
        )
        if instrument.feed == .replay, let replay = try await store.replay(instrument: instrument.id),
            let source = try await store.instrument(id: replay.sourceInstrumentID)
        {
            let released = try await store.releasedThrough(replay.id, at: moment) ?? replay.startsAt
            view.position = TopicView.Position(
                replay: replay.id,
                grid: try await reader.plan(for: source, interval: topic.interval, asOf: .max).grid,
                through: released.microseconds
            )
        } else {
            view.position = try await livePosition(of: instrument, topic, answer)
        }
        take(answer, into: &view)
        return view
    }

    /// Moves a view on to a later moment, and gives what its listeners are told of the time between.
    func advance(_ before: TopicView, to moment: Timestamp) async throws -> (view: TopicView, events: [[UInt8]]) {
        let topic = before.topic
        var request = BarRequest(symbol: topic.symbol, interval: topic.interval)
        request.asOf = moment
        request.partial = true
        if let first = before.closed.starts.first {
            request.start = Timestamp(microseconds: first)
            request.limit = before.closed.count + maximumBars + 1
        } else {
            request.limit = maximumBars + 1
            request.countback = request.limit
        }
        let answer = try await reader.read(request)
        let closedCount = answer.bars.count - (answer.lastIsPartial ? 1 : 0)
        let known = before.closed.starts.last.map { answer.bars.firstRow(startingFrom: $0 + 1) } ?? 0
        guard answer.nextStart == nil, closedCount - known <= maximumBars else {
            StreamMetrics.resets.increment()
            let view = try await view(of: topic, at: moment)
            return (view, [StreamEvent.reset(topic, knownAt: moment)] + view.beginning)
        }
        var events = try await revised(before, answer.bars.slice(0..<min(known, closedCount)), revision: answer.revision, at: moment)
        var view = before
        view.through = moment
        view.revision = answer.revision
        let new = answer.bars.slice(min(known, closedCount)..<closedCount)
        var gaps: [EmptyIntervals] = []
        if let position = before.position {
            let told = try await told(position, answer, at: moment)
            gaps = BarComparison.empty(position.grid, after: position.through, through: told, bars: new)
            view.position?.through = told
        } else {
            view.position = try await livePosition(of: view.instrument, topic, answer)
        }
        for row in 0..<new.count {
            while let gap = gaps.first, gap.start < new.starts[row] {
                events.append(StreamEvent.empty(gap, of: topic, knownAt: moment))
                gaps.removeFirst()
            }
            events.append(StreamEvent.bar(new, row, of: topic, knownAt: moment, revision: answer.revision))
        }
        events += gaps.map { StreamEvent.empty($0, of: topic, knownAt: moment) }
        take(answer, into: &view)
        if !view.running.isEmpty, before.running.isEmpty || !BarComparison.same(before.running, 0, view.running, 0) {
            events.append(StreamEvent.bar(view.running, 0, of: topic, knownAt: moment, revision: answer.revision, partial: true))
        }
        return (view, events)
    }

    /// Where a feed stands; nothing where the bars are history.
    private func livePosition(of instrument: Instrument, _ topic: StreamTopic, _ answer: BarAnswer) async throws -> TopicView.Position? {
        guard instrument.feed != .replay, let through = answer.through else { return nil }
        return TopicView.Position(grid: try await reader.plan(for: instrument, interval: topic.interval, asOf: .max).grid, through: through)
    }

    /// How far the replay, or the feed, had come at a moment; never back.
    private func told(_ position: TopicView.Position, _ answer: BarAnswer, at moment: Timestamp) async throws -> Int64 {
        guard let replay = position.replay else { return max(answer.through ?? position.through, position.through) }
        return max(try await store.releasedThrough(replay, at: moment)?.microseconds ?? position.through, position.through)
    }

    /// What was corrected of bars that were told already: among the last ones by comparison, and in days that an import or a late tick corrected.
    private func revised(_ before: TopicView, _ now: BarSeries, revision: Int, at moment: Timestamp) async throws -> [[UInt8]] {
        var starts = BarComparison.difference(before.closed, now)
        var edition = revision
        if before.position?.replay == nil {
            let (id, length) = (before.instrument.id, Int64(before.topic.interval.seconds) * 1_000_000)
            var changes: [Range<Int64>] = []
            if let corrected = try await knowledge.corrections(of: id, after: before.through, through: moment) {
                // A trading day begins in UTC the day before, and a bar of weeks reaches far out of the day that was corrected.
                let reach = max(length, 86_400_000_000)
                let days = corrected.days
                changes.append((days.lowerBound.seconds * 1_000_000 - reach)..<((days.upperBound + 1).seconds * 1_000_000 + reach))
                edition = corrected.edition
            }
            // What lies among the last bars has been compared.
            if let late = try await knowledge.lateTicks(of: id, after: before.through, through: moment),
                late.lowerBound < before.closed.starts.first ?? .max
            {
                changes.append((late.lowerBound - length)..<(late.upperBound + length))
            }
            let told = before.closed.ends.last ?? .min
            for range in changes {
                guard let more = try await difference(before.topic, range, from: before.through, to: moment, upTo: told) else { continue }
                starts = starts.map { min($0.lowerBound, more.lowerBound)..<max($0.upperBound, more.upperBound) } ?? more
            }
        }
        return starts.map { [StreamEvent.revised(RevisedBars(starts: $0, revision: edition), of: before.topic, knownAt: moment)] } ?? []
    }

    /// Where bars that end by `end` differ between two moments; of more bars than are compared, all of the range.
    private func difference(_ topic: StreamTopic, _ range: Range<Int64>, from earlier: Timestamp, to later: Timestamp, upTo end: Int64) async throws
        -> Range<Int64>?
    {
        var request = BarRequest(symbol: topic.symbol, interval: topic.interval)
        request.start = Timestamp(microseconds: range.lowerBound)
        request.end = Timestamp(microseconds: range.upperBound)
        request.limit = maximumBars
        request.asOf = earlier
        let before = try await reader.read(request)
        request.asOf = later
        let after = try await reader.read(request)
        func told(_ bars: BarSeries) -> BarSeries { bars.slice(0..<(bars.ends.firstIndex { $0 > end } ?? bars.count)) }
        let found = BarComparison.difference(told(before.bars), told(after.bars))
        return before.nextStart == nil && after.nextStart == nil ? found : range
    }

    private func take(_ answer: BarAnswer, into view: inout TopicView) {
        let closed = answer.bars.count - (answer.lastIsPartial ? 1 : 0)
        let kept = min(closed, Self.remembered(view.topic.interval))
        view.closed = answer.bars.slice((closed - kept)..<closed)
        view.running = answer.bars.slice(closed..<answer.bars.count)
    }

    /// How many closed bars are compared each time: late ticks change the last ones. Long bars are made of too many rows to read more than one.
    private static func remembered(_ interval: BarInterval) -> Int { max(1, min(32, 3_600 / interval.seconds)) }
}
