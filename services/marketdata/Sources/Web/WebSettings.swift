import OutboundHTTP
import ServiceRuntime

/// What is told of the sources on the web.
struct WebSettings: Sendable {
    let authoritiesFile: String?
    let binance: BinanceSettings
    let coinbase: CoinbaseSettings
    let lmax: LMAXSettings
    let openbb: OpenBBSettings

    init(from reader: inout SettingsReader) {
        authoritiesFile = reader.optionalString(
            "AUSPEX_OUTBOUND_CA_FILE",
            help: "file of certificate authorities (PEM) for sources on the web, in place of the system's"
        )
        binance = BinanceSettings(from: &reader)
        coinbase = CoinbaseSettings(from: &reader)
        lmax = LMAXSettings(from: &reader)
        openbb = OpenBBSettings(from: &reader)
    }

    /// The sources for the list; nothing is connected before somebody asks. They have a loop of their own unless one is given.
    func entries(loop given: EventLoop? = nil, cpu: CPUPool, time: any TimeSource) throws -> [SourceCatalogue.Entry] {
        let loop = try given ?? EventLoop.start(name: "web-sources")
        var outbound = OutboundConfiguration()
        outbound.authoritiesFile = authoritiesFile
        let web = WebEnvironment(
            loop: loop,
            outbound: outbound,
            cpu: cpu,
            time: time
        )
        return [
            .configured(BinanceSource(binance, web: web)), .configured(CoinbaseSource(coinbase, web: web)), .configured(LMAXSource(lmax, web: web)),
            OpenBBSource.entry(openbb, web: web),
        ]
    }
}
