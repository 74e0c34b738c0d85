# The clock: Cloud Scheduler calls run_job.

locals {
  jobs = {
    sync = {
      says     = "Works off the list of records known to be out of date, and asks DrChrono what else has changed"
      schedule = var.schedules.sync
      # The next tick is five minutes away: trying again would only overlap with it.
      retries = 0
      # A run takes 14 minutes at most, and ticks meanwhile are skipped: an hour is several runs.
      silent_hours = 1
    }
    refresh-token = {
      says     = "Renews the access token when less than half of its life is left"
      schedule = var.schedules.refresh_token
      # The next tick is hours away. An answer 5xx means that nothing was spent, so it may be tried again.
      retries      = 3
      silent_hours = 13
    }
    reconcile = {
      says         = "Compares complete lists with the copy, and marks what DrChrono no longer has"
      schedule     = var.schedules.reconcile
      retries      = 2
      silent_hours = 25
    }
  }
}

resource "google_cloud_scheduler_job" "this" {
  for_each = { for job, it in local.jobs : job => it if local.deployed }

  name        = "drchrono-${each.key}"
  description = each.value.says
  region      = var.region
  schedule    = each.value.schedule
  time_zone   = var.schedules.time_zone

  # Longer than the function may run: Scheduler never gives up on a run that still works, and so never starts a second.
  attempt_deadline = "${local.job_timeout_seconds + 30}s"

  retry_config {
    retry_count          = each.value.retries
    min_backoff_duration = "60s"
    max_backoff_duration = "600s"
    max_doublings        = 3
  }

  http_target {
    uri         = google_cloudfunctions2_function.this["run_job"].service_config[0].uri
    http_method = "POST"
    headers     = { "Content-Type" = "application/json" }
    body        = base64encode(jsonencode({ job = each.key }))
    oidc_token {
      service_account_email = google_service_account.schedule.email
      audience              = google_cloudfunctions2_function.this["run_job"].service_config[0].uri
    }
  }

  depends_on = [google_cloud_run_service_iam_member.schedule]
}

resource "google_service_account" "schedule" {
  account_id   = "drchrono-schedule"
  display_name = "Cloud Scheduler, calling run_job"
  depends_on   = [google_project_service.this]
}

resource "google_cloud_run_service_iam_member" "schedule" {
  count = local.deployed ? 1 : 0

  service  = google_cloudfunctions2_function.this["run_job"].name
  location = var.region
  role     = "roles/run.invoker"
  member   = "serviceAccount:${google_service_account.schedule.account_id}@${local.domain}"
}

# Cloud Scheduler and Pub/Sub call as these accounts; who makes them do so must be allowed to.
resource "google_service_account_iam_member" "deployer_acts_as_caller" {
  for_each = var.deployer == null ? {} : {
    push     = google_service_account.push.account_id
    schedule = google_service_account.schedule.account_id
  }

  service_account_id = "projects/${var.project}/serviceAccounts/${each.value}@${local.domain}"
  role               = "roles/iam.serviceAccountUser"
  member             = "serviceAccount:${var.deployer}"
}
