import Bars
import Contracts

/// The corporate actions of an instrument, as clients read them.
struct ActionsAnswer: Encodable, Sendable {
    let instrument: String
    let instrumentID: InstrumentID
    let actions: [Action]

    struct Action: Encodable, Sendable {
        let day: String
        let inForceFrom: Timestamp
        let splitNumerator: Int64
        let splitDenominator: Int64
        let priceFactor: DecimalText
        let referencePrice: DecimalText?
        let revision: Int
        let recordedAt: Timestamp?

        init(_ action: CorporateAction, inForceFrom instant: Int64) {
            day = action.day.text
            inForceFrom = Timestamp(microseconds: instant)
            splitNumerator = action.ratio.splitNumerator
            splitDenominator = action.ratio.splitDenominator
            priceFactor = action.ratio.priceFactor
            referencePrice = action.referencePrice
            revision = action.revision
            recordedAt = action.recordedAt
        }
    }
}

/// A name of an instrument, as clients read it.
struct NameAnswer: Encodable, Sendable {
    let ticker: String
    let firstDay: String
    /// Nothing while the name lasts.
    let lastDay: String?
    let exchange: String?

    init(_ name: InstrumentName) {
        ticker = name.ticker
        firstDay = name.firstDay.text
        lastDay = name.lastDay == InstrumentName.open ? nil : name.lastDay.text
        exchange = name.exchange
    }
}
