/// The verdict on one fact about real data that our own arithmetic must reproduce.
struct OracleResult: Sendable {
    /// The fact's number in the data folder's README, with a letter where it has several parts.
    var identifier: String
    /// What is compared.
    var title: String
    /// Whether it holds; nothing when its files are not there.
    var passed: Bool?
    /// Counts, and where it fails the first difference.
    var detail: String

    /// One line for the terminal.
    var line: String {
        let verdict = passed.map { $0 ? "PASS" : "FAIL" } ?? "SKIP"
        let number = identifier + String(repeating: " ", count: max(0, 3 - identifier.count))
        return "\(verdict)  \(number) \(title): \(detail)"
    }
}

/// Collects verdicts; an oracle whose files are missing is a skip, any other trouble is a failure.
struct OracleReport {
    private(set) var results: [OracleResult] = []
    private let say: (String) -> Void

    init(say: @escaping (String) -> Void) { self.say = say }

    mutating func check(_ identifier: String, _ title: String, _ body: () throws -> (passed: Bool, detail: String)) {
        let result: OracleResult
        do {
            let (passed, detail) = try body()
            result = OracleResult(identifier: identifier, title: title, passed: passed, detail: detail)
        } catch let missing as MissingFile {
            result = OracleResult(identifier: identifier, title: title, passed: nil, detail: "\(missing.path) is not there")
        } catch let error as ImportError {
            result = OracleResult(identifier: identifier, title: title, passed: false, detail: error.detail)
        } catch {
            result = OracleResult(identifier: identifier, title: title, passed: false, detail: "\(error)")
        }
        results.append(result)
        say(result.line)
    }
}

/// A file of the data folder that is not there.
struct MissingFile: Error {
    var path: String
}
