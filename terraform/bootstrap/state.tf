# State, settings and kept plans. No secret is ever in any of them, and still nobody but those who deploy may read it.
resource "google_storage_bucket" "state" {
  name                        = "${var.project}-drchrono-state"
  location                    = var.region
  uniform_bucket_level_access = true
  public_access_prevention    = "enforced"

  # Every state and every tfvars there ever was: how to go back.
  versioning {
    enabled = true
  }

  lifecycle_rule {
    # Plans are out of date with the next apply; the zips beside them are made again from the commit.
    condition {
      age            = 30
      matches_prefix = ["plans/"]
    }
    action {
      type = "Delete"
    }
  }
  lifecycle_rule {
    condition {
      num_newer_versions = 50
      matches_prefix     = ["drchrono/", "bootstrap/", "environments/"]
    }
    action {
      type = "Delete"
    }
  }

  lifecycle {
    prevent_destroy = true
  }

  depends_on = [google_project_service.this]
}

resource "google_storage_bucket_iam_member" "deployer_state" {
  bucket = google_storage_bucket.state.name
  role   = "roles/storage.objectAdmin"
  member = local.deployer_member
}

# For the plan of a pull request: read the state, never write or lock it.
resource "google_storage_bucket_iam_member" "checker_state" {
  bucket = google_storage_bucket.state.name
  role   = "roles/storage.objectViewer"
  member = local.checker_member
}
