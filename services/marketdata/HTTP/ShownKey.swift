import Contracts
import Cryptography
import HTTPServing

extension Request {
    /// The SHA-256 of the API key that the request shows, wherever it stands.
    var shownKeySHA256: SHA256Digest? {
        let bearer = headers["Authorization"].flatMap { $0.split(separator: " ").last.map(String.init) }
        for text in [headers["X-API-Key"], bearer] {
            if let text, let key = APIKeyText(parsing: text) { return key.sha256 }
        }
        return nil
    }
}
