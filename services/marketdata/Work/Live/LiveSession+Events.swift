import Bars
import Contracts
import ServiceRuntime

extension LiveSession {
    /// Takes what a stream tells.
    func take(_ event: SourceEvent, of key: Int) {
        lookAtClocks()
        switch event {
        case .live:
            channels[key]?.isConnected = true
            logger.notice("the live stream is up", ["source": .string(sourceID)])
            if channels[key]?.isUp == true { seeAgain(key) }
        case .clock(let moment): observe(moment, key)
        case .summary, .quote: break
        case .trade(let trade):
            if trade.qualifies, let time = trade.time { observe(time, key) }
            tell(trade.symbol, key) { bars, present in bars.take(trade, present: present) }
        case .bar(let bar): tell(bar.symbol, key) { bars, present in bars.take(bar, present: present) }
        case .correction: parts.metrics.corrections.increment()
        case .refused(let symbol, let reason):
            guard let id = bySymbol[key]?[symbol] else { return }
            subjects[id]?.refusal = reason
            closes.remove(id)
            logger.warning("the source refused a symbol", ["source": .string(sourceID), "symbol": .string(symbol), "reason": .string(reason)])
        case .upstream(let isConnected):
            guard let channel = channels[key], channel.isUpstream != isConnected else { return }
            channels[key]?.isUpstream = isConnected
            if isConnected {
                if channel.isConnected { seeAgain(key) }
            } else {
                channels[key]?.detail = "the source is without its own connection"
                miss(of: key, since: clock.present, "the source was without its own connection")
            }
        case .hole(let since, .disconnected(let reason)):
            channels[key]?.isConnected = false
            channels[key]?.detail = reason
            logger.warning("the live stream is down", ["source": .string(sourceID), "reason": .string(reason)])
            miss(of: key, since: since.microseconds, reason)
        case .hole(let since, .slowReader(let dropped)):
            miss(of: key, since: since.microseconds, "\(dropped) events found the queue full")
            if channels[key]?.isUp == true { seeAgain(key) }
        }
    }

    private func tell(_ symbol: String, _ key: Int, _ body: (inout LiveBars, Int64) -> LiveBars.Verdict) {
        guard let id = bySymbol[key]?[symbol], let verdict = subjects[id]?.bars.modify({ body(&$0, clock.present) }) else { return }
        parts.metrics.count(verdict)
    }

    /// The source was there at a moment by its own stamps; one that lies in the future is not believed.
    private func observe(_ moment: Timestamp, _ key: Int) {
        guard moment.microseconds <= clock.present + LiveBars.Rules().ahead else { return parts.metrics.count(.future) }
        let known = channels[key]?.observed ?? .min
        if known < moment.microseconds { channels[key]?.observed = moment.microseconds }
    }

    /// Up to when a channel has told everything; nothing while it tells nothing.
    func observed(_ key: Int) -> Int64? {
        guard let channel = channels[key], channel.isUp else { return nil }
        return channel.stream.heartbeat == nil ? clock.present : channel.observed
    }
}

extension Optional {
    /// Changes the value in place, if there is one.
    mutating func modify<Outcome>(_ body: (inout Wrapped) -> Outcome) -> Outcome? {
        guard self != nil else { return nil }
        return body(&self!)
    }
}
