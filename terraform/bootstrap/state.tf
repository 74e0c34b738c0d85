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

# For plans: read the state, never write or lock it. Approvers read the kept plan that they approve.
resource "google_storage_bucket_iam_member" "state_reader" {
  for_each = merge(
    { checker = local.checker_member, planner = local.planner_member },
    { for approver in var.approvers : approver => approver },
  )

  bucket = google_storage_bucket.state.name
  role   = "roles/storage.objectViewer"
  member = each.value
}

# Adds plans, and cannot replace one: to overwrite an object takes storage.objects.delete, which this role lacks.
resource "google_storage_bucket_iam_member" "planner_keeps_plans" {
  bucket = google_storage_bucket.state.name
  role   = "roles/storage.objectCreator"
  member = local.planner_member

  condition {
    title      = "only plans"
    expression = "resource.name.startsWith(\"projects/_/buckets/${google_storage_bucket.state.name}/objects/plans/\")"
  }
}
