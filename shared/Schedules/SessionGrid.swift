import Contracts

/// The due times of a cadence that follows a market's sessions, as far as these are known.
public struct SessionGrid: Sendable, Hashable {
    /// Whose market it is.
    public let instrument: String
    let moment: SessionMoment
    /// What is known of it.
    public internal(set) var sessions: MarketSessions

    init(instrument: String, moment: SessionMoment, sessions: MarketSessions = .unknown) throws(ScheduleError) {
        guard !instrument.isEmpty, instrument.utf8.count <= 64 else { throw .badInstrument(instrument) }
        switch moment {
        case .every(let seconds): guard (1...86_400).contains(seconds) else { throw .badInterval("\(seconds) seconds") }
        case .afterOpen(let seconds), .beforeClose(let seconds):
            guard (0...86_400).contains(seconds) else { throw .badInterval("\(seconds) seconds") }
        }
        self.instrument = instrument
        self.moment = moment
        self.sessions = sessions
    }

    /// The first due time after `time`; nil when the next session is not known.
    func next(after time: Timestamp) -> Timestamp? {
        // What is due at a close lies behind its session: hence one microsecond earlier.
        var index = sessions.firstIndex(closingAfter: time - .microseconds(1))
        while index < sessions.sessions.count {
            let session = sessions.sessions[index]
            // What opens later than all is known may still change.
            if session.lowerBound > sessions.knownThrough { return nil }
            if let due = next(after: time, in: session) { return due }
            index += 1
        }
        return nil
    }

    private func next(after time: Timestamp, in session: Range<Timestamp>) -> Timestamp? {
        switch moment {
        case .every(let seconds):
            if session.lowerBound > time { return session.lowerBound }
            let due = session.lowerBound + .seconds((time.seconds - session.lowerBound.seconds) / Int64(seconds) * Int64(seconds) + Int64(seconds))
            return due < session.upperBound ? due : nil
        case .afterOpen(let seconds):
            let due = session.lowerBound + .seconds(seconds)
            return due > time && due < session.upperBound ? due : nil
        case .beforeClose(let seconds):
            let due = session.upperBound - .seconds(seconds)
            return due > time && due >= session.lowerBound ? due : nil
        }
    }
}
