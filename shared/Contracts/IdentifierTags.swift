// What an id can name. A tag is never made: it exists to keep the ids apart at compile time.

internal import FoundationEssentials

/// Tags a person or an organisation that owns things.
public enum AccountTag {}
/// Tags somebody who can log in.
public enum UserTag {}
/// Tags one login.
public enum SessionTag {}
/// Tags an API key.
public enum APIKeyTag {}
/// Tags some of an API key's credits, taken by a service.
public enum CreditBlockTag {}
/// Tags a forecasting signal.
public enum SignalTag {}
/// Tags one immutable version of a signal's code.
public enum SignalVersionTag {}
/// Tags an account's access to a signal.
public enum SubscriptionTag {}
/// Tags a signal's armed schedule.
public enum ScheduleTag {}
/// Tags one due time of a schedule.
public enum OccurrenceTag {}
/// Tags a job in the ledger of jobs.
public enum JobTag {}
/// A batch of jobs.
public enum BatchTag {}
/// Tags one attempt at a job: the fencing token.
public enum AttemptTag {}
/// Tags one claim call, so that its repetition gives the same jobs.
public enum ClaimTag {}
/// Tags a tradable instrument.
public enum InstrumentTag {}
/// Tags a replay of recorded bars.
public enum ReplayTag {}
/// Tags an event.
public enum EventTag {}
/// Tags a file that comes in parts.
public enum UploadTag {}
/// Tags one recorded run of predictions.
public enum PredictionRunTag {}

/// Names a file that comes in parts.
public typealias UploadID = ID<UploadTag>
/// Names an account.
public typealias AccountID = ID<AccountTag>
/// Names a user.
public typealias UserID = ID<UserTag>
/// Names a session.
public typealias SessionID = ID<SessionTag>
/// Names an API key.
public typealias APIKeyID = ID<APIKeyTag>
/// Names a block of credits.
public typealias CreditBlockID = ID<CreditBlockTag>
/// Names a signal.
public typealias SignalID = ID<SignalTag>
/// Names a version of a signal.
public typealias SignalVersionID = ID<SignalVersionTag>
/// Names a subscription.
public typealias SubscriptionID = ID<SubscriptionTag>
/// Names a schedule.
public typealias ScheduleID = ID<ScheduleTag>
/// Names an occurrence.
public typealias OccurrenceID = ID<OccurrenceTag>
/// Names a job.
public typealias JobID = ID<JobTag>
/// Names a batch of jobs.
public typealias BatchID = ID<BatchTag>
/// Names an attempt at a job.
public typealias AttemptID = ID<AttemptTag>
/// Names a claim call.
public typealias ClaimID = ID<ClaimTag>
/// Names an instrument.
public typealias InstrumentID = ID<InstrumentTag>
/// Names a replay.
public typealias ReplayID = ID<ReplayTag>
/// Names an event.
public typealias EventID = ID<EventTag>
/// Names a recorded run.
public typealias PredictionRunID = ID<PredictionRunTag>

extension AccountID {
    /// Nobody's: jobs that the platform does for all alike are counted on it. Not all zeros, behind which the scheduler's walk of the accounts begins.
    public static let platform = AccountID(uuid: UUID(uuid: (0, 0, 0, 0, 0, 0, 0x70, 0, 0x80, 0, 0, 0, 0, 0, 0, 0)))
}
