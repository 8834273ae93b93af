import Messaging
import Postgres

/// The schema's history, embedded in the binary.
enum Migrations {
    static let schema = "scheduler"

    static func catalogue() throws -> MigrationCatalogue {
        try MigrationCatalogue([
            ("v001_create_schedules", PackageResources.v001_create_schedules_sql), ("v002_create_jobs", PackageResources.v002_create_jobs_sql),
            MessagingSchema.migration(version: 3, schema: schema), ("v004_index_results", PackageResources.v004_index_results_sql),
            ("v005_index_job_lists", PackageResources.v005_index_job_lists_sql),
            // Stand for v008 and v009 until v006 and v007 are there: a catalogue has no gaps.
            ("v006_limit_accounts", PackageResources.v008_limit_accounts_sql), ("v007_archive_jobs", PackageResources.v009_archive_jobs_sql),
        ])
    }
}
