# Writing back. Programs of the practice put what they want created or changed into the collection `outbox`, and the system
# sends it to DrChrono. Without `writers` nothing of this is made, and DrChrono is only read.
#
# The outbox is a database of its own: Firestore grants rights by database, and who writes entries must not see charts.

locals {
  writing         = length(var.writers) > 0
  outbox_database = "drchrono-outbox"

  # Beside what the functions that read DrChrono get.
  write_environment = local.writing ? {
    DRCHRONO_WRITES = "on"
    OUTBOX_DATABASE = local.outbox_database
  } : {}

  outbox_members = local.writing ? {
    for member in concat(
      tolist(var.writers),
      [local.members.run_job, local.members.send_writes],
      local.operator_members,
    ) : member => member
  } : {}

  # One state, and within it by when it is due.
  outbox_indexes = local.writing ? { "outbox by due" = ["state", "due"] } : {}

  # What guards a record against being sent twice goes when nobody needs it. Entries stay: the sync removes their content
  # after 30 days, which a TTL can't, since it deletes whole documents.
  expiring = local.writing ? toset(["outbox_targets"]) : toset([])

  # Patient data that nothing asks for. Each leaf in an index would cost as much as the write itself.
  outbox_unindexed = local.writing ? {
    "outbox fields"       = { collection = "outbox", field = "fields" }
    "outbox complaints"   = { collection = "outbox", field = "complaints" }
    "outbox_targets past" = { collection = "outbox_targets", field = "past" }
  } : {}
}

resource "google_firestore_database" "outbox" {
  count = local.writing ? 1 : 0

  name                              = local.outbox_database
  location_id                       = coalesce(var.firestore_location, var.region)
  type                              = "FIRESTORE_NATIVE"
  concurrency_mode                  = "PESSIMISTIC"
  app_engine_integration_mode       = "DISABLED"
  delete_protection_state           = "DELETE_PROTECTION_ENABLED"
  deletion_policy                   = "ABANDON"
  point_in_time_recovery_enablement = "POINT_IN_TIME_RECOVERY_ENABLED"

  dynamic "cmek_config" {
    for_each = var.kms_key[*]
    content {
      kms_key_name = cmek_config.value
    }
  }

  depends_on = [google_project_service.this, google_kms_crypto_key_iam_member.agent]
}

resource "google_project_iam_member" "outbox" {
  for_each = local.outbox_members

  project = var.project
  role    = "roles/datastore.user"
  member  = each.value

  condition {
    title      = "only database ${local.outbox_database}"
    expression = "resource.name == \"projects/${var.project}/databases/${local.outbox_database}\""
  }

  depends_on = [google_firestore_database.outbox]
}

resource "google_firebaserules_release" "outbox" {
  count = local.writing ? 1 : 0

  name         = "cloud.firestore/${local.outbox_database}"
  ruleset_name = google_firebaserules_ruleset.deny.name
  depends_on   = [google_firestore_database.outbox]
}

resource "google_firestore_index" "outbox" {
  for_each = local.outbox_indexes

  database   = google_firestore_database.outbox[0].name
  collection = "outbox"

  dynamic "fields" {
    for_each = each.value
    content {
      field_path = fields.value
      order      = "ASCENDING"
    }
  }
}

resource "google_firestore_field" "expiring" {
  for_each = local.expiring

  database   = google_firestore_database.outbox[0].name
  collection = each.value
  field      = "expires_at"

  ttl_config {}
}

resource "google_firestore_field" "outbox_unindexed" {
  for_each = local.outbox_unindexed

  database   = google_firestore_database.outbox[0].name
  collection = each.value.collection
  field      = each.value.field

  index_config {}
}

# Who Eventarc is when it calls send_writes.
resource "google_service_account" "outbox_trigger" {
  count = local.writing ? 1 : 0

  account_id   = "drchrono-outbox-trigger"
  display_name = "Eventarc, calling send_writes"
  depends_on   = [google_project_service.this]
}

resource "google_project_iam_member" "outbox_trigger" {
  count = local.writing ? 1 : 0

  project = var.project
  role    = "roles/eventarc.eventReceiver" # a trigger has no resource to bind it to
  member  = "serviceAccount:${google_service_account.outbox_trigger[0].account_id}@${local.domain}"
}

resource "google_cloud_run_service_iam_member" "outbox_trigger" {
  count = local.writing && local.deployed ? 1 : 0

  service  = google_cloudfunctions2_function.this["send_writes"].name
  location = var.region
  role     = "roles/run.invoker"
  member   = "serviceAccount:${google_service_account.outbox_trigger[0].account_id}@${local.domain}"
}

# A function with a trigger is deployed in the trigger's name, too.
resource "google_service_account_iam_member" "deployer_acts_as_outbox_trigger" {
  count = local.writing && var.deployer != null ? 1 : 0

  service_account_id = "projects/${var.project}/serviceAccounts/${google_service_account.outbox_trigger[0].account_id}@${local.domain}"
  role               = "roles/iam.serviceAccountUser"
  member             = "serviceAccount:${var.deployer}"
}
