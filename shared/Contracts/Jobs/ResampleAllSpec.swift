/// `spec` of the kind `resample_all`: the stretch of an instrument's bars whose standard intervals are to be made before somebody asks.
public struct ResampleAllSpec: Sendable, Hashable, Codable {
    /// The symbol, meant at the end of the stretch.
    public var instrument: String
    /// The first start that counts.
    public var start: Timestamp
    /// Starts at or after this do not count.
    public var end: Timestamp
    /// Nothing known later is read.
    public var asOf: Timestamp
    /// The session, as questions for bars name it; nil is what each interval has by default.
    public var session: String?
    /// The price; nil is what the instrument has by default.
    public var price: String?
    /// The adjustment of prices; nil is none.
    public var adjustment: String?

    /// All fields; the defaults of bars unless told.
    public init(
        instrument: String,
        start: Timestamp,
        end: Timestamp,
        asOf: Timestamp,
        session: String? = nil,
        price: String? = nil,
        adjustment: String? = nil
    ) {
        self.instrument = instrument
        self.start = start
        self.end = end
        self.asOf = asOf
        self.session = session
        self.price = price
        self.adjustment = adjustment
    }
}
