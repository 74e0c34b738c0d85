# What is kept of what was done.

# Who read or wrote charts and secrets, functions included: a thousand events a day make some ten megabytes a month.
# Audit entries name documents and callers; they do not hold what is in a document.
# Firestore is configured under Datastore's name; the API refuses firestore.googleapis.com here:
# cloud.google.com/firestore/native/docs/audit-logging.
resource "google_project_iam_audit_config" "data_access" {
  for_each = toset(["datastore.googleapis.com", "secretmanager.googleapis.com"])

  project = var.project
  service = each.key

  dynamic "audit_log_config" {
    for_each = toset(["ADMIN_READ", "DATA_READ", "DATA_WRITE"])
    content {
      log_type = audit_log_config.value
    }
  }

  depends_on = [google_project_service.this]
}

# `_Default` is where the functions' lines and the data-access entries go. Admin activity is in `_Required`, 400 days, always.
resource "google_logging_project_bucket_config" "default" {
  project        = var.project
  location       = "global"
  bucket_id      = "_Default"
  retention_days = var.log_retention_days

  depends_on = [google_project_service.this]
}
