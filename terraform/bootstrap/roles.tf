# Custom roles live here, out of the deployer's reach: whoever can change a custom role can put anything into it.

# What `python -m ops` and docs/operating.md ask of Google beside charts, secrets and dead letters, which terraform/ grants on
# each of them. tests/test_terraform.py holds it against the calls.
resource "google_project_iam_custom_role" "operator" {
  role_id     = "drchronoOperator"
  title       = "DrChrono operator"
  description = "Sees what is deployed and its logs, and starts, pauses and resumes the jobs"
  permissions = [
    "cloudfunctions.functions.get",
    "cloudfunctions.functions.list",
    "cloudscheduler.jobs.enable", # `gcloud scheduler jobs resume`
    "cloudscheduler.jobs.fullView",
    "cloudscheduler.jobs.get",
    "cloudscheduler.jobs.list",
    "cloudscheduler.jobs.pause",
    "cloudscheduler.jobs.run",
    "logging.logEntries.list", # not the data-access entries, which are private
    "logging.logs.list",
    "monitoring.alertPolicies.get",
    "monitoring.alertPolicies.list",
    "monitoring.dashboards.get",
    "monitoring.dashboards.list",
    "monitoring.metricDescriptors.list",
    "monitoring.monitoredResourceDescriptors.list",
    "monitoring.timeSeries.list",
    "pubsub.subscriptions.get",
    "pubsub.subscriptions.getIamPolicy",
    "pubsub.topics.getIamPolicy",
    "resourcemanager.projects.get",
    "serviceusage.services.use", # credentials of a person name a quota project
  ]
}

# What `terraform plan` reads of what terraform/ makes: settings and grants. No chart, no secret's value, no log, and
# nothing that changes anything. (roles/viewer would read charts.)
resource "google_project_iam_custom_role" "planner" {
  role_id     = "drchronoPlanner"
  title       = "DrChrono planner"
  description = "Reads the settings of what is deployed, to plan a change"
  permissions = [
    "artifactregistry.repositories.get",
    "artifactregistry.repositories.getIamPolicy",
    "cloudfunctions.functions.get",
    "cloudkms.cryptoKeys.getIamPolicy",
    "cloudscheduler.jobs.fullView", # the body and headers of a job
    "cloudscheduler.jobs.get",
    "datastore.backupSchedules.get",
    "datastore.backupSchedules.list",
    "datastore.databases.getMetadata",
    "datastore.operations.get",
    "datastore.schemas.get", # indexes and field exemptions; also known as datastore.indexes
    "datastore.schemas.list",
    "firebaserules.releases.get",
    "firebaserules.rulesets.get",
    "iam.serviceAccounts.get",
    "iam.serviceAccounts.getIamPolicy",
    "logging.buckets.get",
    "logging.logMetrics.get",
    "monitoring.alertPolicies.get",
    "monitoring.dashboards.get",
    "monitoring.notificationChannels.get",
    "pubsub.subscriptions.get",
    "pubsub.subscriptions.getIamPolicy",
    "pubsub.topics.get",
    "pubsub.topics.getIamPolicy",
    "resourcemanager.projects.get",
    "resourcemanager.projects.getIamPolicy",
    "run.services.getIamPolicy",
    "secretmanager.secrets.get",
    "secretmanager.secrets.getIamPolicy",
    "serviceusage.services.get",
    "serviceusage.services.list",
    "serviceusage.services.use",
    "storage.buckets.get",
    "storage.buckets.getIamPolicy",
    "storage.objects.get", # the kept plans, the settings and the package: no bucket of this system holds a chart
  ]
}

# What is left of secretmanager.admin and datastore.owner without reading a secret's value or a chart, and without deleting.
resource "google_project_iam_custom_role" "deployer" {
  role_id     = "drchronoDeployer"
  title       = "DrChrono deployer"
  description = "Makes secrets and the database, without reading or deleting them"
  permissions = [
    "datastore.databases.create",
    "datastore.databases.getMetadata",
    "datastore.databases.list",
    "datastore.databases.update",
    "datastore.operations.get",
    "datastore.operations.list",
    "secretmanager.secrets.create",
    "secretmanager.secrets.get",
    "secretmanager.secrets.getIamPolicy",
    "secretmanager.secrets.list",
    "secretmanager.secrets.setIamPolicy",
    "secretmanager.secrets.update",
  ]
}
