import Contracts
import HTTPServing

/// An upload as clients read it.
struct UploadAnswer: Encodable, Sendable {
    let id: UploadID
    let filename: String
    let state: String
    let bytes: Int
    let partBytes: Int
    let parts: Int
    /// Numbers of the parts that are there.
    let received: [Int]
    let receivedBytes: Int
    /// Of a file in a foreign format: how far its conversion is, before its days are counted.
    let convertedPercent: Int?
    let daysDone: Int
    let daysTotal: Int?
    let rowsDone: Int
    let result: JSONValue?
    let problem: JSONValue?
    let createdAt: Timestamp
    let expiresAt: Timestamp

    init(_ upload: Upload) {
        id = upload.id
        filename = upload.fileName
        state = upload.state.rawValue
        bytes = upload.bytes
        partBytes = upload.partBytes
        parts = upload.partCount
        let isWhole = upload.state == .imported
        received = isWhole ? Array(1...upload.partCount) : upload.received
        receivedBytes = isWhole ? upload.bytes : upload.receivedBytes
        convertedPercent = upload.convertedPercent
        daysDone = upload.daysDone
        daysTotal = upload.daysTotal
        rowsDone = upload.rowsDone
        result = upload.result
        problem = upload.problem
        createdAt = upload.createdAt
        expiresAt = upload.touchedAt + .seconds(Upload.lifetimeSeconds)
    }
}

extension UploadError: ProblemRepresentable {
    /// What clients read of it.
    var problem: Problem {
        switch self {
        case .unknown: .notFound(code: "unknown_upload", detail: "There is no such upload.")
        case .state(let state): .conflict(code: "upload_state", detail: "The upload is \(state.rawValue), which does not allow this.")
        case .noSuchPart(let number, let count):
            .notFound(code: "unknown_part", detail: "There is no part \(number): the file has parts 1 to \(count).", field: "number")
        case .wrongLength(let length, let expected):
            .unprocessable(code: "wrong_part_length", detail: "The part has \(length) bytes where \(expected) would be right.")
        case .incomplete(let missing):
            .conflict(code: "upload_incomplete", detail: "Part \(missing) is not there yet.")
        case .partIsGone: .unprocessable(code: "part_gone", detail: "A part is not there any more: upload the file again.")
        case .refusedByConverter(let code, let detail): .unprocessable(code: code, detail: detail)
        case .conversionFailed(let reason):
            Problem(status: .internalError, code: "conversion_failed", detail: "The file was not converted: \(reason). Trying again may help.")
        case .otherFile: .unprocessable(code: "wrong_sha256", detail: "The parts, joined, have another SHA-256 than was announced.", field: "sha256")
        }
    }
}
