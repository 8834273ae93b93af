import Bars
import Contracts

/// Where bars come from without a vendor: files that people bring, and stored bars told again.
struct OwnSources: Sendable {
    let uses: SourceUseStore

    var entries: [SourceCatalogue.Entry] {
        [
            .own(Self.files, health: { await health { try await files() } }),
            .own(Self.replays, health: { await health { try await replays() } }),
        ]
    }

    private static let files = SourceDescription(
        id: "file",
        name: "Files",
        licence: "Whoever brings a file answers for what may be done with it.",
        assetClasses: AssetClass.allCases,
        intervals: ["tick", "1s", "1m", "1h", "1d"],
        streams: false,
        limits: SourceDescription.Limits(notes: [
            "POST /api/imports takes 8 MiB at once, POST /api/uploads 512 MiB in parts; marketdata import has no limit.",
            "Lean, IQFeed, HistData, NinjaTrader, freqtrade, tables of any layout; Parquet, Feather and PyStore as uploads.",
        ])
    )

    private static let replays = SourceDescription(
        id: "replay",
        name: "Replays of stored bars",
        licence: "That of the bars that are replayed.",
        assetClasses: AssetClass.allCases,
        intervals: ["1s", "1m", "1h", "1d"],
        streams: true,
        limits: SourceDescription.Limits(notes: [
            "POST /api/replays begins one, at any speed; each is an instrument of its own, and what comes of it is marked as replayed."
        ])
    )

    private func files() async throws -> SourceHealth {
        guard let last = try await uses.lastFile() else { return SourceHealth(state: .unused, detail: "no file has been imported yet") }
        return SourceHealth(state: .healthy, detail: "the last file was imported at \(last)", lastAnswerAt: last)
    }

    private func replays() async throws -> SourceHealth {
        let (running, last) = try await uses.replays()
        guard let last else { return SourceHealth(state: .unused, detail: "nothing has been replayed yet") }
        return SourceHealth(state: .healthy, detail: running == 1 ? "1 replay runs" : "\(running) replays run", lastAnswerAt: last)
    }

    private func health(_ ask: () async throws -> SourceHealth) async -> SourceHealth {
        do { return try await ask() } catch { return SourceHealth(state: .failing, detail: "the database did not say how it has been doing") }
    }
}
