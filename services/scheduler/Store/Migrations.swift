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
            ("v006_extend_schedules", PackageResources.v006_extend_schedules_sql),
            ("v007_create_schedule_acts", PackageResources.v007_create_schedule_acts_sql),
            ("v008_limit_accounts", PackageResources.v008_limit_accounts_sql), ("v009_archive_jobs", PackageResources.v009_archive_jobs_sql),
            ("v010_extend_jobs", PackageResources.v010_extend_jobs_sql), ("v011_create_workers", PackageResources.v011_create_workers_sql),
            ("v012_create_live_logs", PackageResources.v012_create_live_logs_sql),
            ("v013_list_due_times", PackageResources.v013_list_due_times_sql),
            ("v014_forget_due_times", PackageResources.v014_forget_due_times_sql),
        ])
    }
}
