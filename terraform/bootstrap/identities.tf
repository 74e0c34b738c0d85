# Three identities:
#   checker   runs the checks: code that nobody has reviewed, and development dependencies. It can read the state.
#   planner   runs merged code: Terraform, and what packs the zip. It can read the state and what is deployed (no chart, no
#             secret's value), and add a plan to those that are kept.
#   deployer  applies a kept plan after approval. It runs the steps of triggers.tf, and nothing from the repository
#             but the Terraform configuration that was kept with the plan.

resource "google_service_account" "checker" {
  account_id   = "drchrono-checker"
  display_name = "Cloud Build: checks"
  depends_on   = [google_project_service.this]
}

resource "google_service_account" "planner" {
  account_id   = "drchrono-planner"
  display_name = "Cloud Build: plans what is merged"
  depends_on   = [google_project_service.this]
}

resource "google_service_account" "deployer" {
  account_id   = "drchrono-deployer"
  display_name = "Cloud Build: applies approved plans"
  depends_on   = [google_project_service.this]
}

locals {
  # Addresses are built from account_id, which the plan knows: the plan shows who gets what, and a grant is still made
  # after its account.
  addresses = {
    checker  = "${google_service_account.checker.account_id}@${var.project}.iam.gserviceaccount.com"
    planner  = "${google_service_account.planner.account_id}@${var.project}.iam.gserviceaccount.com"
    deployer = "${google_service_account.deployer.account_id}@${var.project}.iam.gserviceaccount.com"
  }
  account_names   = { for account, address in local.addresses : account => "projects/${var.project}/serviceAccounts/${address}" }
  checker_member  = "serviceAccount:${local.addresses.checker}"
  planner_member  = "serviceAccount:${local.addresses.planner}"
  deployer_member = "serviceAccount:${local.addresses.deployer}"

  # Creating a thing is a right on the project; there is no narrower place for these.
  deployer_roles = toset([
    "roles/artifactregistry.admin",
    "roles/cloudfunctions.admin", # and the Cloud Run services under the functions
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

  # The only roles on the project that it may give or take away. None of them lets anybody deploy. The one that reads
  # charts is needed by the functions, and a condition cannot say to whom a role is given: docs/security.md says what
  # follows from that.
  grantable_roles = [
    "projects/${var.project}/roles/${google_project_iam_custom_role.operator.role_id}",
    "roles/datastore.user",
    "roles/eventarc.eventReceiver",
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

resource "google_project_iam_member" "planner" {
  for_each = toset([
    "projects/${var.project}/roles/${google_project_iam_custom_role.planner.role_id}",
    "roles/logging.logWriter", # its own build logs
  ])

  project = var.project
  role    = each.key
  member  = local.planner_member
}

resource "google_project_iam_member" "checker" {
  for_each = toset([
    "roles/browser", # the project's number: a plan reads data sources even with -refresh=false
    "roles/logging.logWriter",
    # The provider block of terraform/ names a quota project, so that every call needs serviceusage.services.use.
    "roles/serviceusage.serviceUsageConsumer",
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
