import Messaging
import Postgres

/// The schema's history, embedded in the binary.
enum Migrations {
    static func catalogue() throws -> MigrationCatalogue {
        try MigrationCatalogue([
            ("v001_create_instruments", PackageResources.v001_create_instruments_sql),
            ("v002_create_chunks", PackageResources.v002_create_chunks_sql),
            ("v003_create_replays", PackageResources.v003_create_replays_sql),
            MessagingSchema.migration(version: 4, schema: PostgresMarketdataStore.schema),
            ("v005_grant_messaging", PackageResources.v005_grant_messaging_sql),
            ("v006_create_idempotency_keys", PackageResources.v006_create_idempotency_keys_sql),
            ("v007_stamp_corrections_last", PackageResources.v007_stamp_corrections_last_sql),
            ("v008_partition_chunks", PackageResources.v008_partition_chunks_sql),
            ("v009_create_catalogue_and_uploads", PackageResources.v009_create_catalogue_and_uploads_sql),
            ("v010_create_corporate_actions", PackageResources.v010_create_corporate_actions_sql),
            ("v011_create_chart_sessions", PackageResources.v011_create_chart_sessions_sql),
            ("v012_create_retention", PackageResources.v012_create_retention_sql),
            ("v013_create_live", PackageResources.v013_create_live_sql),
            ("v014_create_live_subscriptions", PackageResources.v014_create_live_subscriptions_sql),
            ("v015_create_upload_conversions", PackageResources.v015_create_upload_conversions_sql),
            ("v016_create_keep_rules", PackageResources.v016_create_keep_rules_sql),
        ])
    }
}
