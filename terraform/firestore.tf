# The charts. Nothing here is ever deleted by Terraform: protection on the database, and `terraform destroy` lets go of it.

resource "google_firestore_database" "this" {
  name                              = var.firestore_database
  location_id                       = coalesce(var.firestore_location, var.region)
  type                              = "FIRESTORE_NATIVE"
  concurrency_mode                  = "PESSIMISTIC" # what transactions of the server libraries are written for
  app_engine_integration_mode       = "DISABLED"
  delete_protection_state           = "DELETE_PROTECTION_ENABLED"
  deletion_policy                   = "ABANDON"
  point_in_time_recovery_enablement = "POINT_IN_TIME_RECOVERY_ENABLED" # any minute of the last seven days

  dynamic "cmek_config" {
    for_each = var.kms_key[*]
    content {
      kms_key_name = cmek_config.value
    }
  }

  depends_on = [google_project_service.this, google_kms_crypto_key_iam_member.agent]
}

resource "google_firestore_backup_schedule" "daily" {
  database  = google_firestore_database.this.name
  retention = "604800s" # 7 days
  daily_recurrence {}
}

resource "google_firestore_backup_schedule" "weekly" {
  database  = google_firestore_database.this.name
  retention = "8467200s" # 14 weeks, the most there is
  weekly_recurrence {
    day = "SUNDAY"
  }
}

# IAM. Firestore has no bindings on databases or collections: the project is the only place, and the condition on the
# database's name is the narrowest there is. Within the database the separation is by permission:
#   store_record and run_job read and write charts;
#   receive_webhook, which strangers talk to, has no right here at all: it publishes, and answers 503 where it cannot.
locals {
  database_condition = {
    title      = "only database ${var.firestore_database}"
    expression = "resource.name == \"projects/${var.project}/databases/${var.firestore_database}\""
  }

  chart_readers = concat(local.api_members, local.operator_members)
}

resource "google_project_iam_member" "charts" {
  for_each = toset(local.chart_readers)

  project = var.project
  role    = "roles/datastore.user"
  member  = each.value

  condition {
    title      = local.database_condition.title
    expression = local.database_condition.expression
  }
}

# Browsers and phones: no. Server libraries go by IAM and do not see these rules.
resource "google_firebaserules_ruleset" "deny" {
  source {
    files {
      name    = "firestore.rules"
      content = file("${path.module}/firestore.rules")
    }
  }
  depends_on = [google_firestore_database.this]
}

resource "google_firebaserules_release" "firestore" {
  name         = var.firestore_database == "(default)" ? "cloud.firestore" : "cloud.firestore/${var.firestore_database}"
  ruleset_name = google_firebaserules_ruleset.deny.name
}

# Indexes: one for each query that has an equality or a range and an order.
locals {
  indexes = {
    "pending by priority" = { collection = "sync_pending", fields = ["priority", "due"] }      # what to fetch next
    "pending by reason"   = { collection = "sync_pending", fields = ["reason", "first_seen"] } # the oldest of each
    "pending by kind"     = { collection = "sync_pending", fields = ["kind", "first_seen"] }   # up to when a kind is complete
    # For readers: the appointments of a span of time. Firestore merges the two for those of one doctor.
    "appointments by time"            = { collection = "appointments", fields = ["_sync.deleted", "_sync.scheduled_at"] }
    "appointments by doctor and time" = { collection = "appointments", fields = ["doctor", "_sync.scheduled_at"] }
  }

  # Fields that are large, or that nothing queries: an index entry for each of their leaves would be most of the cost of a
  # write, and a document may have 40,000 entries at most.
  kinds = [
    "patients", "appointments", "clinical_notes", "medications", "problems", "allergies",
    "doctors", "offices", "users", "appointment_profiles",
  ]
  large_fields = {
    patients       = ["primary_insurance", "secondary_insurance", "tertiary_insurance", "custom_demographics"]
    appointments   = ["vitals", "custom_vitals", "status_transitions", "reminders"]
    clinical_notes = ["sections", "clinical_note_sections"]
    doctors        = ["doctor_work_schedule"]
    offices        = ["online_timeslots", "office_work_schedule", "exam_rooms"]
  }
  # The quota's ledger, the checkpoints, the zones by doctor, the coverage by kind and the ids that a walk has seen: maps with changing keys,
  # read by name.
  state_fields = [
    "sent", "live", "borrowed", "reservations", "sync", "backfill", "reconcile", "aheads", "ids", "applied", "needs", "seen"
  ]
  unindexed_fields = merge(concat(
    [
      for kind in local.kinds : {
        for field in concat(lookup(local.large_fields, kind, []), ["_sync.json", "_sync.digest"]) :
        "${kind} ${field}" => { collection = kind, field = field }
      }
    ],
    [{ for field in local.state_fields : "sync_state ${field}" => { collection = "sync_state", field = field } }],
  )...)
}

resource "google_firestore_index" "this" {
  for_each = local.indexes

  database   = google_firestore_database.this.name
  collection = each.value.collection

  dynamic "fields" {
    for_each = each.value.fields
    content {
      field_path = fields.value
      order      = "ASCENDING"
    }
  }
}

resource "google_firestore_field" "unindexed" {
  for_each = local.unindexed_fields

  database   = google_firestore_database.this.name
  collection = each.value.collection
  field      = each.value.field

  index_config {}
}
