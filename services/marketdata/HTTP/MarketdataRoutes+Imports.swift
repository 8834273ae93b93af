import Bars
import Contracts
import HTTPServing

extension MarketdataRoutes {
    /// `POST /api/imports?filename=…`, administrators only; the body is the file.
    func importFile(_ request: Request) async throws -> Response {
        try requireSession(request, anyOf: "admin")
        try request.query.reject(unknownExcept: ["filename", "symbol", "time_zone", "asset_class", "price", "interval", "date_order", "stamps"])
        let name = try request.query.required("filename")
        guard name.utf8.count <= 255, name.unicodeScalars.allSatisfy({ $0.value >= 32 }) else {
            throw MarketdataError.invalid(field: "filename", code: "invalid_parameter", detail: "At most 255 bytes of text would be right.")
        }
        var options = ImportOptions(symbol: request.query.string("symbol"), timeZone: request.query.string("time_zone"))
        options.assetClass = try request.query.choice("asset_class", of: AssetClass.words).flatMap { AssetClass(rawValue: $0) }
        options.side = try request.query.choice("price", of: ["trade", "bid", "ask"]).flatMap { PriceSide(rawValue: $0) }
        options.dateOrder = try request.query.choice("date_order", of: DateOrder.allCases.map(\.rawValue)).flatMap { DateOrder(rawValue: $0) }
        options.stamps = try request.query.choice("stamps", of: ImportOptions.Stamps.allCases.map(\.rawValue))
            .flatMap { ImportOptions.Stamps(rawValue: $0) }
        if let text = request.query.string("interval") {
            guard let interval = try? BarInterval(text: text) else {
                throw MarketdataError.invalid(
                    field: "interval",
                    code: "invalid_parameter",
                    detail: "A number followed by s, m, h, d, w or M would be right."
                )
            }
            options.interval = interval
        }
        if let answer = try await effects.earlierAnswer(to: request) { return answer }
        let outcome = try await importer.run(request.body, path: name, options: options)
        let isNew = outcome.days.added + outcome.days.extended + outcome.days.revised > 0
        let response = try Response.json(ImportAnswer(outcome), status: isNew ? .created : .ok)
        // The import is a transaction of its own, and the same file again changes nothing: here only the answer is kept.
        return try await effects.run(request) { _ in response }
    }
}
