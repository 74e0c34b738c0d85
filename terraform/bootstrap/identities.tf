# Two identities, because a pull request runs code that nobody has reviewed:
#   checker   runs the checks of pull requests and can read the state, nothing else
#   deployer  runs what is merged

resource "google_service_account" "checker" {
  account_id   = "drchrono-checker"
  display_name = "Cloud Build: pull requests"
  depends_on   = [google_project_service.this]
}

resource "google_service_account" "deployer" {
  account_id   = "drchrono-deployer"
  display_name = "Cloud Build: plans and applies"
  depends_on   = [google_project_service.this]
}

locals {
  # Addresses are built from account_id, which the plan knows: the plan shows who gets what, and a grant is still made
  # after its account.
  addresses = {
    checker  = "${google_service_account.checker.account_id}@${var.project}.iam.gserviceaccount.com"
    deployer = "${google_service_account.deployer.account_id}@${var.project}.iam.gserviceaccount.com"
  }
  account_names   = { for account, address in local.addresses : account => "projects/${var.project}/serviceAccounts/${address}" }
  checker_member  = "serviceAccount:${local.addresses.checker}"
  deployer_member = "serviceAccount:${local.addresses.deployer}"

  # Creating a thing is a right on the project; there is no narrower place for these.
  deployer_roles = toset([
    "roles/artifactregistry.admin",
    "roles/cloudbuild.builds.editor", # starts the build that waits for approval
    "roles/cloudfunctions.admin",     # and the Cloud Run services under the functions
    "roles/cloudscheduler.admin",
    "roles/datastore.backupSchedulesAdmin",
    "roles/datastore.indexAdmin", # indexes, exemptions, TTL
    "roles/firebaserules.admin",
    "roles/iam.serviceAccountAdmin",
    "roles/logging.configWriter",
    "roles/logging.logWriter", # its own build logs
    "roles/monitoring.alertPolicyEditor",
    "roles/monitoring.dashboardEditor",
    "roles/monitoring.notificationChannelEditor",
    "roles/pubsub.admin",
    "roles/serviceusage.serviceUsageAdmin",
    "roles/storage.admin",
  ])

  # The only roles on the project that it may give or take away. None of them lets anybody deploy, and the one that reads
  # charts is needed by the functions.
  grantable_roles = [
    "projects/${var.project}/roles/${google_project_iam_custom_role.fallback_writer.role_id}",
    "roles/datastore.user",
    "roles/logging.logWriter",
    "roles/storage.objectViewer",
  ]
}

resource "google_project_iam_member" "deployer" {
  for_each = local.deployer_roles

  project = var.project
  role    = each.key
  member  = local.deployer_member
}

resource "google_project_iam_member" "deployer_custom" {
  project = var.project
  role    = "projects/${var.project}/roles/${google_project_iam_custom_role.deployer.role_id}"
  member  = local.deployer_member
}

resource "google_project_iam_member" "deployer_grants" {
  project = var.project
  role    = "roles/resourcemanager.projectIamAdmin"
  member  = local.deployer_member

  condition {
    title       = "only the roles of this system"
    description = "Without this the deployer could make itself an owner"
    expression = format(
      "api.getAttribute('iam.googleapis.com/modifiedGrantsByRole', []).hasOnly([%s])",
      join(", ", [for role in local.grantable_roles : "'${role}'"]),
    )
  }
}

# It starts the apply, which runs as itself.
resource "google_service_account_iam_member" "deployer_starts_itself" {
  service_account_id = local.account_names.deployer
  role               = "roles/iam.serviceAccountUser"
  member             = local.deployer_member
}

resource "google_project_iam_member" "checker" {
  for_each = toset([
    "roles/browser", # the project's number, for the plan
    "roles/logging.logWriter",
  ])

  project = var.project
  role    = each.key
  member  = local.checker_member
}

resource "google_project_iam_member" "approver" {
  for_each = var.approvers

  project = var.project
  role    = "roles/cloudbuild.builds.approver"
  member  = each.key
}
