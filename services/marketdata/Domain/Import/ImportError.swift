/// Why a file was refused; says what would be right and never repeats more of the file than one field.
enum ImportError: Error, Equatable, Sendable {
    /// Nothing in it, or only a header.
    case emptyFile
    /// No known layout; what was looked at.
    case unknownLayout(String)
    /// A known format that has to be converted first.
    case unsupportedLayout(String)
    /// The file does not say of what it is.
    case symbolRequired
    /// The file does not say how long its bars are; what its rows say instead.
    case intervalRequired(String)
    /// The dates of the file can be read in two ways; what would decide it.
    case ambiguousDates(String)
    /// The archive is damaged, too large when unpacked, or holds several files none of which is named like it.
    case badArchive(String)
    /// Every day of the file has at least one bad row, or a row has no readable time.
    case badRows(RowProblems)
    /// An option contradicts the file.
    case badOption(name: String, reason: String)

    /// A stable word for problem documents and logs.
    var code: String {
        switch self {
        case .emptyFile: "empty_file"
        case .unknownLayout: "unknown_layout"
        case .unsupportedLayout: "unsupported_layout"
        case .symbolRequired: "symbol_required"
        case .intervalRequired: "interval_required"
        case .ambiguousDates: "ambiguous_dates"
        case .badArchive: "bad_archive"
        case .badRows: "bad_rows"
        case .badOption: "bad_option"
        }
    }

    /// One line that names the trouble.
    var detail: String {
        switch self {
        case .emptyFile: "The file holds no rows."
        case .unknownLayout(let seen): "The layout is not known: \(seen)."
        case .unsupportedLayout(let name): "\(name) files are converted before they are read: send this one as an upload (POST /api/uploads)."
        case .symbolRequired: "The file does not say which instrument it is of; name it with `symbol`."
        case .intervalRequired(let seen): "How long a bar is cannot be told: \(seen); give it with `interval`."
        case .ambiguousDates(let seen): "The dates can be read in two ways: \(seen)."
        case .badArchive(let reason): "The archive cannot be read: \(reason)."
        case .badRows(let problems): problems.summary
        case .badOption(let name, let reason): "\(name): \(reason)"
        }
    }
}
