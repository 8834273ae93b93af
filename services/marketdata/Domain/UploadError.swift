/// Why an upload is not what it should be.
enum UploadError: Error, Equatable, Sendable {
    /// No upload of the account has this id.
    case unknown
    /// The upload is in a state that does not allow this.
    case state(Upload.State)
    /// The file has no part of this number.
    case noSuchPart(Int, of: Int)
    /// A part has not the length that it has to have.
    case wrongLength(Int, expected: Int)
    /// This part is not there yet.
    case incomplete(missing: Int)
    /// A part that was there is not there any more.
    case partIsGone
    /// Whoever converts foreign formats cannot use the file.
    case refusedByConverter(code: String, detail: String)
    /// The conversion did not come to an end, for reasons of ours.
    case conversionFailed(String)
    /// The parts make another file than was announced.
    case otherFile
}
