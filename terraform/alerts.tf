# Alerts. Each says what happened, what it means and the command that answers it. Three forms:
#   line   any single log line (a condition on the line itself: it fires at once, and on the first)
#   limit  a metric beyond a number for a while
#   query  PromQL, where a limit cannot say it: more than 23.5 hours of silence, or only on working days
# The metrics must exist before a limit on them can, so alerts come with the second apply, like the functions. A metric that
# is new in the same apply is waited for (terraform_data.metrics_known).

locals {
  limits = var.alert_thresholds

  alerts = {
    webhook_not_durable = {
      title    = "Webhook could not be made durable"
      severity = "CRITICAL"
      says     = "Pub/Sub refused a webhook, so DrChrono was told to send it again: in 1, 3 and 7 hours. The five-minute sync finds what changed meanwhile. Usually an outage of Pub/Sub (status.cloud.google.com), or a permission that somebody removed."
      run      = "doctor"
      then     = "It names the permission or service that fails. After an outage longer than seven hours, run `python -m ops backfill` for the time of the outage."
      line     = { metric = "webhook_not_durable", fields = ["kind"] }
    }
    webhook_rejected = {
      title    = "Webhooks are being rejected"
      severity = "ERROR"
      says     = "More webhooks than stray scanners would send were refused for one reason. `bad_signature`: the secret here is not the one in DrChrono's console, or somebody is trying. Any other reason: DrChrono changed its form."
      run      = "doctor"
      then     = "If the secret was changed in DrChrono: add the new one as a version of drchrono-webhook-secret and raise secret_versions.webhook (docs/deploy.md, \"Rotating a secret\")."
      limit    = { metric = "webhook_rejected", by = ["reason"], minutes = 60, above = local.limits.rejected_per_hour }
    }
    webhook_silent = {
      title    = "No webhook today, on a working day"
      severity = "WARNING"
      says     = "In the ten hours up to now, DrChrono sent nothing. On a holiday this is right. Otherwise the webhook may have been switched off or changed in DrChrono's console. Records are still kept current by the five-minute sync."
      run      = "doctor"
      then     = "In DrChrono's API console, look whether the webhook is active and its URL is the output `webhook_url`, and press \"Verify webhook\"."
      query = {
        minutes = 0
        promql  = <<-EOT
          (sum(increase(${local.promql["webhook_accepted"]}[10h])) or vector(0)) < 0.5
          and on() (day_of_week() >= 1 and day_of_week() <= 5 and hour() == ${var.working_day_ends_utc})
        EOT
      }
    }
    dead_letters = {
      title    = "Messages in the dead letters"
      severity = "ERROR"
      says     = "A message failed for hours and was put aside. It holds an event's name and id, no chart. It is kept for 31 days."
      run      = "dead-letters"
      then     = "It shows each with its reason, and sends them again when the cause is gone."
      limit = {
        type    = "pubsub.googleapis.com/subscription/num_undelivered_messages"
        where   = "resource.type=\"pubsub_subscription\" AND resource.labels.subscription_id=\"${google_pubsub_subscription.dead_letters.name}\""
        align   = "ALIGN_MAX"
        minutes = 5, above = 0
      }
    }
    pending_old = {
      title    = "A record has been out of date for hours"
      severity = "ERROR"
      says     = "The oldest entry of the work queue is older than ${local.limits.pending_hours} hours, for the reason that the alert names. `quota` and `throttled`: DrChrono's limit is too small for what happens here. `forbidden`: the DrChrono user lacks a permission. `too_large`: the record does not fit into Firestore. `server_error` and `unreachable`: DrChrono is down."
      run      = "status"
      then     = "It lists the entries by reason. When the cause is gone: `python -m ops retry`."
      limit    = { metric = "pending_oldest_seconds", by = ["reason"], minutes = 30, above = local.limits.pending_hours * 3600 }
    }
    kind_behind = {
      title    = "The copy of a kind is behind"
      severity = "ERROR"
      says     = "All records of the kind are complete only up to ${local.limits.lag_hours} hours ago or more. Single records may be newer: webhooks still come in."
      run      = "status"
      then     = "It shows each kind's position and what holds it up. If the quota does, ask DrChrono for more (api@drchrono.com)."
      limit    = { metric = "kind_lag_seconds", by = ["kind"], minutes = 30, above = local.limits.lag_hours * 3600 }
    }
    token_revoked = {
      title    = "DrChrono must be authorized again"
      severity = "CRITICAL"
      says     = "DrChrono refused the refresh token for good. Nothing can be fetched until a person authorizes; events are kept in the work queue meanwhile. It happens when the DrChrono user authorizes somewhere else, is deactivated, or the application was changed."
      run      = "authorize"
      then     = "Sign in as the DrChrono user of this integration. The work queue is worked off by itself afterwards."
      line     = { metric = "token_revoked", fields = ["reason"] }
    }
    token_refresh_failed = {
      title    = "Token refresh failed"
      severity = "WARNING"
      says     = "The access token could not be renewed this time; it is tried again by itself, and it still has about half of its life. The line names the reason."
      run      = "doctor"
      then     = "If this comes again within the hour, do what it says before the token expires."
      line     = { metric = "token_refresh_failed", fields = ["reason"] }
    }
    token_expiring = {
      title    = "The access token is about to expire"
      severity = "CRITICAL"
      says     = "It has less than ${local.limits.token_hours} hours left, though it should have been renewed long before."
      run      = "doctor"
      then     = "If the refresh token is dead: `python -m ops authorize`."
      limit    = { metric = "token_expires_in_seconds", align = "ALIGN_PERCENTILE_05", reduce = "REDUCE_MIN", minutes = 60, below = local.limits.token_hours * 3600 }
    }
    throttled = {
      title    = "DrChrono throttles us"
      severity = "WARNING"
      says     = "More than ${local.limits.throttled_share * 100} % of the requests of an hour were answered with 429. The quota that is set here is larger than the one that DrChrono grants, or another program uses the same application."
      run      = "status"
      then     = "Set drchrono_quota to what DrChrono grants (often 500/hour) and deploy."
      limit    = { metric = "api_requests", having = { status = "429" }, share = true, minutes = 60, above = local.limits.throttled_share }
    }
    deletions_held = {
      title    = "Too many records are absent to be deleted"
      severity = "CRITICAL"
      says     = "DrChrono stopped showing more records of a kind than a practice deletes in an hour, so none is marked as deleted. Usually the DrChrono user lost access to a doctor or an office, or a permission."
      run      = "status"
      then     = "Look for a few of the ids in DrChrono. If the records are there, give the permission back: the copy goes on by itself. If they are deleted: `python -m ops accept-deletions KIND`."
      limit    = { metric = "deletions_held", by = ["kind"], minutes = 30, above = 0 }
    }
    kind_failing = {
      title    = "A kind of record cannot be listed"
      severity = "ERROR"
      says     = "A job has not been able to go on with the kind that the alert names for ${local.limits.problem_hours} hours or more, and goes on with the others. It is tried again after pauses of up to an hour. `forbidden`: the DrChrono user lacks a permission, or the token a scope. `list_empty`, `list_shifted`, `list_repeats`: DrChrono's list cannot be right, and is not believed."
      run      = "status"
      then     = "It shows since when, and when it is tried again. What was listed before is kept."
      limit    = { metric = "kind_problem_seconds", by = ["job", "kind", "reason"], minutes = 30, above = local.limits.problem_hours * 3600 }
    }
    coverage_missing = {
      title    = "The DrChrono user lacks a permission"
      severity = "ERROR"
      says     = "DrChrono states that the user who authorized this integration lacks the permission, or the token the scope, that the alert names. Records that need it are missing in the copy, or will not be kept current."
      run      = "doctor"
      then     = "It says which kinds need it and what to do. If the practice wants it so, acknowledge the incident: no other e-mail comes while nothing changes."
      limit    = { metric = "coverage_missing", by = ["reason"], minutes = 60, above = 0 }
    }
    coverage_less = {
      title    = "The copy holds records of fewer doctors"
      severity = "WARNING"
      says     = "The living records of the kind name fewer of the practice's doctors than the day before. Either all records of a doctor were deleted or given to another one, or the DrChrono user may no longer see them."
      run      = "status"
      then     = "The line *coverage* says how many doctors are seen. Look for one of the records in DrChrono, signed in as the user of this integration."
      line     = { metric = "coverage_less", fields = ["kind"] }
    }
    job_failing = {
      title    = "A job fails"
      severity = "ERROR"
      says     = "Three or more runs of a job failed within an hour, for the reason that the line names."
      run      = "doctor"
      then     = "What a run had done is kept; the next continues there."
      limit    = { metric = "job_failed", by = ["job"], minutes = 60, above = 2 }
    }
    sync_silent          = local.silent["sync"]
    refresh_token_silent = local.silent["refresh-token"]
    reconcile_silent     = local.silent["reconcile"]
    outbox_unknown = {
      title    = "A write is of unknown outcome"
      severity = "ERROR"
      says     = "A program's entry was sent to DrChrono more than ${local.limits.unknown_minutes} minutes ago, and neither an answer nor a search has told whether it was done. It is not sent again by itself, and later entries of the same record wait behind it."
      run      = "outbox"
      then     = "It lists the entries and why each search failed. Look for the record in DrChrono, then `python -m ops outbox retry ENTRY` if nothing arrived, or `python -m ops outbox cancel ENTRY` if it did."
      limit    = { metric = "outbox_oldest_seconds", having = { outcome = "unknown" }, minutes = 10, above = local.limits.unknown_minutes * 60 }
    }
    outbox_late = {
      title    = "A write ended after it was given up"
      severity = "CRITICAL"
      says     = "A sender stood still for minutes, and its request to DrChrono ended after a search had given it up. The write may have been done twice."
      run      = "outbox"
      then     = "Look in the log for outbox.late and the entry that it names, and in DrChrono for a second record of the same time."
      line     = { metric = "outbox_late", fields = ["kind"] }
    }
    feed_late = {
      title    = "Other programs are not told what changed"
      severity = "ERROR"
      says     = "What the change feed has to announce has waited for more than ${local.limits.feed_minutes} minutes: Pub/Sub does not take it, or the sync does not run. Nothing is lost: it is sent in order when Pub/Sub answers."
      run      = "status"
      then     = "Look in the log for feed.waits and feed.failed. The functions need roles/pubsub.publisher on the topic drchrono-changes."
      limit    = { metric = "feed_oldest_seconds", minutes = 10, above = local.limits.feed_minutes * 60 }
    }
    crashed = {
      title    = "A function crashed"
      severity = "ERROR"
      says     = "An exception that nothing expected: a defect. The event is tried again by itself. The line names the exception's type and place, never data."
      run      = "status"
      then     = "If it began with a deploy, go back (docs/deploy.md, \"Going back\"). Report the line."
      line     = { metric = "function_crashed", fields = ["function", "error"] }
    }
  }

  silent = {
    for job, it in local.jobs : job => merge(
      {
        title    = "Job ${job} has not run"
        severity = job == "reconcile" ? "WARNING" : "ERROR"
        says     = "${it.says}: no run has come to its end for ${it.silent_hours} hours."
        run      = "doctor"
        then     = "It says whether the job is paused, refused or failing. To run it now: `gcloud scheduler jobs run drchrono-${job} --project=${var.project} --location=${var.region}`."
      },
      # An absence may last 23.5 hours at most. Half an hour more for the autumn night that has 25.
      it.silent_hours < 23.5
      ? { absent = { metric = "job_done", having = { job = job }, minutes = it.silent_hours * 60 }, query = null }
      : { absent = null, query = {
        minutes = 30
        promql  = "(sum(increase(${replace(local.promql["job_done"], "}", ", job=\"${job}\"}")}[${it.silent_hours}h])) or vector(0)) < 0.5"
      } },
    )
  }

  promql = {
    for name, metric in local.metrics :
    name => "logging_googleapis_com:user_drchrono_${name}{monitored_resource=\"cloud_run_revision\"}"
  }

  channels = concat([for channel in google_monitoring_notification_channel.email : channel.name], tolist(var.alert_channels))
}

resource "google_monitoring_notification_channel" "email" {
  for_each = var.alert_emails

  display_name = "DrChrono: ${each.value}"
  type         = "email"
  labels       = { email_address = each.value }

  depends_on = [google_project_service.this]
}

# Monitoring may know a new metric only after ten minutes, and refuses a limit on it until then (404, "Cannot find metric(s)
# that match type"; github.com/hashicorp/terraform-provider-google/issues/11102). So the first apply with alerts, and each
# that brings a new metric, waits this long before it makes alerts. Everything else is made meanwhile.
resource "terraform_data" "metrics_known" {
  count = local.deployed ? 1 : 0

  triggers_replace = sort([for metric in google_logging_metric.this : metric.name])

  provisioner "local-exec" {
    command = "sleep 600"
  }
}

resource "google_monitoring_alert_policy" "this" {
  for_each = { for name, alert in local.alerts : name => alert if local.deployed && (local.writing || !startswith(name, "outbox_")) && (var.feed || !startswith(name, "feed_")) }

  display_name          = "DrChrono: ${each.value.title}"
  severity              = each.value.severity
  combiner              = "OR"
  notification_channels = local.channels
  user_labels           = { alert = each.key }

  documentation {
    mime_type = "text/markdown"
    subject   = "DrChrono ${var.project}: ${each.value.title}"
    content   = <<-EOT
      ${each.value.says}

      **Run:** `GCP_PROJECT=${var.project} python -m ops ${each.value.run}`

      ${each.value.then}
    EOT
  }

  conditions {
    display_name = each.value.title

    dynamic "condition_matched_log" {
      for_each = try(each.value.line, null)[*]
      content {
        filter           = local.filters[condition_matched_log.value.metric]
        label_extractors = { for field in condition_matched_log.value.fields : field => "EXTRACT(jsonPayload.${field})" }
      }
    }

    dynamic "condition_threshold" {
      for_each = try(each.value.limit, null)[*]
      iterator = limit
      content {
        filter = join(" AND ", compact(concat(
          ["metric.type=\"${try(limit.value.type, "${local.metric_prefix}${limit.value.metric}")}\""],
          [try(limit.value.where, "resource.type=\"cloud_run_revision\"")],
          [for field, value in try(limit.value.having, {}) : "metric.labels.${field}=\"${value}\""],
        )))
        comparison      = try(limit.value.below, null) == null ? "COMPARISON_GT" : "COMPARISON_LT"
        threshold_value = try(limit.value.below, limit.value.above)
        # The alignment below is the while. Missing data closes: an empty work queue writes no line. (That needs 60 s.)
        duration                = "60s"
        evaluation_missing_data = "EVALUATION_MISSING_DATA_INACTIVE"

        aggregations {
          alignment_period     = "${limit.value.minutes * 60}s"
          per_series_aligner   = try(limit.value.align, local.metrics[limit.value.metric].value_field == null ? "ALIGN_DELTA" : "ALIGN_PERCENTILE_99")
          cross_series_reducer = try(limit.value.reduce, try(local.metrics[limit.value.metric].value_field, "x") == null ? "REDUCE_SUM" : "REDUCE_MAX")
          group_by_fields      = [for field in try(limit.value.by, []) : "metric.label.${field}"]
        }

        # A share: the same metric without `having` below the line.
        denominator_filter = try(limit.value.share, false) ? "metric.type=\"${local.metric_prefix}${limit.value.metric}\" AND resource.type=\"cloud_run_revision\"" : null
        dynamic "denominator_aggregations" {
          for_each = try(limit.value.share, false) ? [1] : []
          content {
            alignment_period     = "${limit.value.minutes * 60}s"
            per_series_aligner   = "ALIGN_DELTA"
            cross_series_reducer = "REDUCE_SUM"
          }
        }
      }
    }

    dynamic "condition_absent" {
      for_each = try(each.value.absent, null)[*]
      iterator = absent
      content {
        filter = join(" AND ", concat(
          ["metric.type=\"${local.metric_prefix}${absent.value.metric}\"", "resource.type=\"cloud_run_revision\""],
          [for field, value in absent.value.having : "metric.labels.${field}=\"${value}\""],
        ))
        duration = "${absent.value.minutes * 60}s"
        aggregations {
          alignment_period     = "300s"
          per_series_aligner   = "ALIGN_DELTA"
          cross_series_reducer = "REDUCE_SUM"
        }
      }
    }

    dynamic "condition_prometheus_query_language" {
      for_each = try(each.value.query, null)[*]
      iterator = query
      content {
        query               = query.value.promql
        duration            = "${query.value.minutes * 60}s"
        evaluation_interval = "300s"
        # A metric without its first line yet is not an error.
        disable_metric_validation = true
      }
    }
  }

  alert_strategy {
    auto_close = "86400s"

    # Only conditions on log lines can and must have this: one e-mail an hour, not one per line.
    dynamic "notification_rate_limit" {
      for_each = try(each.value.line, null)[*]
      content {
        period = "3600s"
      }
    }
  }

  depends_on = [google_logging_metric.this, terraform_data.metrics_known]
}
