public import Contracts
public import Postgres

/// What became of an event in a handler's hands.
public enum HandlerOutcome: Sendable, Hashable {
    /// Its effect is in the transaction.
    case done
    /// It may work later; the event comes back after the next delay of the ladder, and is dead after the last.
    case retry(reason: String)
    /// It will never work; the event goes to the dead queue.
    case deadLetter(reason: String)
    /// Something that the handler needs is away, which is not the event's fault: consuming pauses, and no attempt is spent.
    case dependencyAway(reason: String)
}

/// One consumer of events.
public protocol EventHandler: Sendable {
    /// The second half of the queue's name, and the inbox's key: never changed.
    static var consumerName: String { get }
    /// The event types that it hears.
    static var eventTypes: [String] { get }
    /// Whether nothing new is to come: what its event types were bound to it for is done elsewhere since this version. What is in its queue is handled;
    /// the bindings go once no replica of the version before is there (see `QueueRetirement`), and until then its events may come here as well as
    /// there. False unless told otherwise. The version after may do without the handler.
    static var isRetired: Bool { get }
    /// Whether the event means anything here. One that does not is answered at once, with no transaction and no row in the inbox. True unless told
    /// otherwise; decided by the event alone, as it may be asked again.
    func concerns(_ envelope: Envelope) throws -> Bool
    /// Asks other services what the event needs, before the transaction begins, and gives the handler that knows the answers. Itself unless told
    /// otherwise. It may be asked for an event that was applied before; what it throws counts as if ``handle(_:on:)`` had thrown it.
    func prepared(for envelope: Envelope) async throws -> Self
    /// Applies an event within the transaction that remembers it; an event that was applied before never gets here.
    ///
    /// Anything but `.done` rolls back. A thrown `DecodingError` means `.deadLetter`, a database that is away `.dependencyAway`, any other
    /// error `.retry`. The transaction may be run again after a conflict, so nothing outside of it may be touched.
    func handle(_ envelope: Envelope, on connection: PostgresConnection) async throws -> HandlerOutcome
    /// Whether what was away in `.dependencyAway` is back; asked with growing pauses. True unless told otherwise.
    func dependencyIsBack() async -> Bool
}

extension EventHandler {
    /// It hears what comes.
    public static var isRetired: Bool { false }
    /// Every event of its types does.
    public func concerns(_ envelope: Envelope) throws -> Bool { true }
    /// Nothing to ask.
    public func prepared(for envelope: Envelope) async throws -> Self { self }
    /// Assumes so: the next event will tell.
    public func dependencyIsBack() async -> Bool { true }
}
