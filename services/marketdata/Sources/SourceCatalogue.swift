/// All sources there are, those without settings included: one sees what could be had.
struct SourceCatalogue: Sendable {
    /// A source, or only what it would be.
    enum Entry: Sendable {
        case configured(any Source)
        /// `settings` are those that would configure it.
        case absent(SourceDescription, settings: String)
        /// What needs no settings, and is asked for nothing here.
        case own(SourceDescription, health: @Sendable () async -> SourceHealth)
    }

    let entries: [Entry]

    /// What each is, or would be, of those that can be asked for something.
    var descriptions: [SourceDescription] {
        entries.compactMap { entry in
            switch entry {
            case .configured(let source): source.description
            case .absent(let description, _): description
            case .own: nil
            }
        }
    }

    /// The configured source of that id.
    func source(_ id: String) -> (any Source)? {
        for case .configured(let source) in entries where source.description.id == id { return source }
        return nil
    }

    /// Those that tell what happens while it happens.
    var streaming: [any StreamingSource] {
        entries.compactMap { if case .configured(let source) = $0 { source as? any StreamingSource } else { nil } }
    }

    /// Each with its health.
    func report() async -> [(SourceDescription, SourceHealth)] {
        var report: [(SourceDescription, SourceHealth)] = []
        for entry in entries {
            switch entry {
            case .configured(let source): report.append((source.description, await source.health()))
            case .own(let description, let health): report.append((description, await health()))
            case .absent(let description, let settings):
                report.append((description, SourceHealth(state: .notConfigured, detail: "set \(settings) to use it")))
            }
        }
        return report
    }
}
