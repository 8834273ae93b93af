/// Declaring is idempotent; what a restricted user may not declare is looked for instead.
extension WireConnection {
    /// The exchange of all events; whoever comes first makes it.
    func declareEventsExchange(_ channel: UInt16) throws(BrokerError) {
        try findOrDeclareExchange(channel, Topology.eventsExchange, type: "topic")
    }

    /// A consumer's queue, its ladder and its dead queue, bound to the event types.
    func declareConsumer(_ channel: UInt16, queue: String, service: String, ladder: RetryLadder, eventTypes: [String]) throws(BrokerError) {
        try declareEventsExchange(channel)
        let exchange = Topology.queuesExchange(of: service)
        try declareExchange(channel, exchange, type: "direct")
        func declare(_ name: String, _ arguments: [String: HeaderValue]) throws(BrokerError) {
            try declareQueue(channel, name, arguments: arguments)
            try bind(channel, queue: name, exchange: exchange, routingKey: name)
        }
        try declare(Topology.deadQueue(of: queue), Topology.deadArguments())
        try declare(queue, Topology.queueArguments(of: queue, service: service))
        for rung in ladder.rungs {
            try declare(Topology.retryQueue(of: queue, rung: rung), Topology.retryArguments(of: queue, service: service, rung: rung))
        }
        for eventType in eventTypes { try bind(channel, queue: queue, exchange: Topology.eventsExchange, routingKey: eventType) }
    }

    /// Takes a consumer's queue out of the way of events of these types; what is in it stays.
    func unbindConsumer(_ channel: UInt16, queue: String, eventTypes: [String]) throws(BrokerError) {
        for eventType in eventTypes { try unbind(channel, queue: queue, exchange: Topology.eventsExchange, routingKey: eventType) }
    }

    func findOrDeclareExchange(_ channel: UInt16, _ name: String, type: String) throws(BrokerError) {
        do throws(BrokerError) {
            try declareExchange(channel, name, type: type, passive: true)
        } catch  where error.code == .refused(replyCode: 404) {
            try reopenChannel(channel)
            try declareExchange(channel, name, type: type)
        }
    }
}
