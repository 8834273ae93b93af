import Messaging
import Postgres

/// The schema's history, embedded in the binary.
enum Migrations {
    static let schema = "signals"

    static func catalogue() throws -> MigrationCatalogue {
        try MigrationCatalogue([
            ("v001_create_signals", PackageResources.v001_create_signals_sql),
            ("v002_create_ledger", PackageResources.v002_create_ledger_sql),
            ("v003_create_cadence", PackageResources.v003_create_cadence_sql),
            ("v004_create_idempotency_keys", PackageResources.v004_create_idempotency_keys_sql),
            MessagingSchema.migration(version: 5, schema: schema),
            ("v006_grant_messaging", PackageResources.v006_grant_messaging_sql),
            ("v007_create_ledger_keys", PackageResources.v007_create_ledger_keys_sql),
            ("v008_create_dry_run_places", PackageResources.v008_create_dry_run_places_sql),
            ("v009_add_last_version", PackageResources.v009_add_last_version_sql),
            ("v010_index_instruments", PackageResources.v010_index_instruments_sql),
            ("v011_index_moments", PackageResources.v011_index_moments_sql),
            ("v012_create_environment_locks", PackageResources.v012_create_environment_locks_sql),
            ("v013_create_incidents", PackageResources.v013_create_incidents_sql),
            ("v014_create_cadence_days", PackageResources.v014_create_cadence_days_sql),
        ])
    }
}
