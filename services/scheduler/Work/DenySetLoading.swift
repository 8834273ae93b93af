import HTTPServing
import ServiceRuntime

/// Asks auth for everything that is denied, until it answers.
enum DenySetLoading {
    static func load(_ denied: DenySet, from auth: ServiceClient, time: any TimeSource) async {
        var wait = Duration.milliseconds(200)
        while !Task.isCancelled {
            do {
                try await denied.load(from: auth)
                return
            } catch {
                Logger("news").debug("the deny set could not be loaded; trying again", ["reason": .string("\(error)")])
                guard (try? await time.sleep(for: wait)) != nil else { return }
                wait = min(wait * 2, .seconds(10))
            }
        }
    }
}
