import Messaging
import Postgres

/// The schema's history, embedded in the binary.
enum Migrations {
    static func catalogue() throws -> MigrationCatalogue {
        try MigrationCatalogue([
            ("v001_create_accounts", PackageResources.v001_create_accounts_sql),
            ("v002_create_sessions", PackageResources.v002_create_sessions_sql),
            ("v003_create_keys", PackageResources.v003_create_keys_sql),
            ("v004_create_audit_log", PackageResources.v004_create_audit_log_sql),
            ("v005_create_idempotency_keys", PackageResources.v005_create_idempotency_keys_sql),
            MessagingSchema.migration(version: 6, schema: PostgresAuthStore.schema),
            ("v007_grant_messaging", PackageResources.v007_grant_messaging_sql),
            ("v008_login_places", PackageResources.v008_login_places_sql),
            ("v009_create_key_budgets", PackageResources.v009_create_key_budgets_sql),
        ])
    }
}
