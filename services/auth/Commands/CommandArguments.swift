/// The words after a subcommand: names with values (`--out FILE`), flags (`--add-version`) and the rest.
struct CommandArguments {
    private(set) var values: [String: String] = [:]
    private(set) var flags: Set<String> = []
    private(set) var words: [String] = []

    /// Sorts the words out; throws `CommandError.usage` for an unknown name or a missing value.
    init(_ arguments: [String], values valueNames: Set<String>, flags flagNames: Set<String> = []) throws(CommandError) {
        var rest = arguments[...]
        while let word = rest.popFirst() {
            guard word.hasPrefix("--") else {
                words.append(word)
                continue
            }
            let name = String(word.dropFirst(2))
            if flagNames.contains(name) {
                flags.insert(name)
            } else if valueNames.contains(name), let value = rest.popFirst() {
                values[name] = value
            } else {
                let known = (valueNames.map { "--\($0) …" } + flagNames.map { "--\($0)" }).sorted().joined(separator: ", ")
                throw .usage(valueNames.contains(name) ? "\(word) needs a value" : "unknown option \(word); known: \(known)")
            }
        }
    }

    /// The value of a name that must be given.
    func required(_ name: String) throws(CommandError) -> String {
        guard let value = values[name] else { throw .usage("--\(name) is needed") }
        return value
    }
}

/// Why a subcommand did nothing: one line for the terminal.
enum CommandError: Error, CustomStringConvertible {
    /// The words were wrong.
    case usage(String)
    /// The words were right, but it cannot be done.
    case refused(String)

    var description: String {
        switch self {
        case .usage(let text), .refused(let text): text
        }
    }
}
