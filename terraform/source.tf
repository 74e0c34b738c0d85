# The code: a private bucket with one zip per content, and the images that are built from it.

resource "google_storage_bucket" "source" {
  name                        = "${var.project}-drchrono-source"
  location                    = var.region
  uniform_bucket_level_access = true
  public_access_prevention    = "enforced"
  # Every object in it can be made again from the commit.
  force_destroy = true

  versioning {
    enabled = true
  }

  lifecycle_rule {
    # The zip that is deployed is never the one that goes: Terraform puts a new one in its place before it removes the old.
    condition {
      days_since_noncurrent_time = 30
    }
    action {
      type = "Delete"
    }
  }

  dynamic "encryption" {
    for_each = var.kms_key[*]
    content {
      default_kms_key_name = encryption.value
    }
  }

  depends_on = [google_project_service.this, google_kms_crypto_key_iam_member.agent]
}

resource "google_storage_bucket_object" "package" {
  bucket = google_storage_bucket.source.name
  name   = "functions-${filesha256(var.package)}.zip"
  source = var.package

  lifecycle {
    create_before_destroy = true
  }
}

resource "google_artifact_registry_repository" "images" {
  repository_id = "drchrono-functions"
  location      = var.region
  format        = "DOCKER"
  description   = "Images that Cloud Functions builds from the zip"
  kms_key_name  = var.kms_key

  # A policy that keeps wins over one that deletes: the last five of each function stay for going back.
  cleanup_policies {
    id     = "keep-the-last-five"
    action = "KEEP"
    most_recent_versions {
      keep_count = 5
    }
  }
  cleanup_policies {
    id     = "delete-after-30-days"
    action = "DELETE"
    condition {
      older_than = "2592000s"
    }
  }

  depends_on = [google_project_service.this, google_kms_crypto_key_iam_member.agent]
}

# Who builds. Without an account of our own it would be the Compute Engine default one, an editor of the project.
resource "google_service_account" "build" {
  account_id   = "drchrono-build"
  display_name = "Builds the functions' images"
  depends_on   = [google_project_service.this]
}

locals {
  build_member = "serviceAccount:${google_service_account.build.account_id}@${local.domain}"
}

resource "google_artifact_registry_repository_iam_member" "build" {
  repository = google_artifact_registry_repository.images.repository_id
  location   = google_artifact_registry_repository.images.location
  role       = "roles/artifactregistry.writer"
  member     = local.build_member
}

resource "google_storage_bucket_iam_member" "build" {
  bucket = google_storage_bucket.source.name
  role   = "roles/storage.objectViewer"
  member = local.build_member
}

# Cloud Functions copies the zip to a bucket of its own, which exists only after the first deploy: the condition is the
# nearest thing to a binding on it.
resource "google_project_iam_member" "build_reads_copied_source" {
  project = var.project
  role    = "roles/storage.objectViewer"
  member  = local.build_member

  condition {
    title      = "only the buckets of Cloud Functions"
    expression = "resource.name.startsWith(\"projects/_/buckets/gcf-v2-sources-${data.google_project.this.number}-${var.region}\")"
  }
}

# Build logs have no resource to bind to.
resource "google_project_iam_member" "build_logs" {
  project = var.project
  role    = "roles/logging.logWriter"
  member  = local.build_member
}
