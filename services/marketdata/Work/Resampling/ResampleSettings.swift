import ServiceRuntime

/// Whether and when the other intervals of a chart are made in advance.
struct ResampleSettings: Sendable {
    /// Whether charts order such jobs, and this replica does them.
    var isOn = true
    /// Stretches of fewer stored bars are left out: each answer of them is made within a few milliseconds.
    var minimumRows = 100_000
    /// Such jobs at once. One takes one place of the platform's heavy reads at most.
    var slots = 1

    init() {}

    init(from reader: inout SettingsReader) {
        isOn = reader.boolean("AUSPEX_RESAMPLE_ALL", help: "whether the other standard intervals of a chart are made in advance", default: isOn)
        minimumRows = reader.integer(
            "AUSPEX_RESAMPLE_ALL_ROWS",
            help: "stored bars of a chart's stretch from which on its other intervals are made in advance",
            default: minimumRows,
            range: 1...1_000_000_000
        )
        slots = reader.integer("AUSPEX_RESAMPLE_ALL_SLOTS", help: "resample_all jobs at once", default: slots, range: 1...64)
    }
}
