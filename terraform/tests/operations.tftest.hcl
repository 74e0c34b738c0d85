# Trouble reaches a person, with the command that answers it.

mock_provider "google" {
  override_during = plan
  mock_data "google_project" {
    defaults = { number = "111" }
  }
}

variables {
  project         = "my-practice"
  package         = "tests/package.txt"
  secret_versions = { webhook = 1, client_id = 1, client_secret = 1 }
  alert_emails    = ["it@practice.example"]
}

run "trouble_reaches_a_person" {
  command = plan

  # Every alert has a reader and a command.
  assert {
    condition     = length(google_monitoring_alert_policy.this) >= 16 && alltrue([for alert in google_monitoring_alert_policy.this : alert.notification_channels != null])
    error_message = "Alerts without a channel reach nobody."
  }
  assert {
    condition = alltrue([
      for alert in google_monitoring_alert_policy.this :
      can(regex("python -m ops (authorize|status|doctor|backfill|retry|dead-letters|show|outbox)\\b", alert.documentation[0].content))
    ])
    error_message = "Each alert names the command that answers it."
  }
  assert {
    condition = alltrue([
      for alert in google_monitoring_alert_policy.this : length(concat(
        alert.conditions[0].condition_matched_log, alert.conditions[0].condition_threshold,
        alert.conditions[0].condition_absent, alert.conditions[0].condition_prometheus_query_language,
      )) == 1
    ])
    error_message = "Each alert has exactly one condition."
  }
  assert {
    condition     = alltrue([for alert in google_monitoring_alert_policy.this : length(alert.alert_strategy[0].notification_rate_limit) == length(alert.conditions[0].condition_matched_log)])
    error_message = "A condition on log lines must have a rate limit, and no other may."
  }

  # Alerts wait for metrics that are new.
  assert {
    condition     = toset(terraform_data.metrics_known[0].triggers_replace) == toset([for metric in google_logging_metric.this : metric.name])
    error_message = "A metric that is added waits again; nothing else does."
  }

  # What must never happen alerts on the first line.
  assert {
    condition = alltrue([
      for name, label in {
        webhook_not_durable  = "webhook.not_durable", token_revoked = "token.revoked", crashed = "function.crashed",
        token_refresh_failed = "token.refresh_failed", coverage_less = "coverage.less"
      } : endswith(google_monitoring_alert_policy.this[name].conditions[0].condition_matched_log[0].filter, "jsonPayload.message=\"${label}\"")
    ])
    error_message = "These do not wait for a metric."
  }

  # What lasts keeps its alert open.
  # An alert on a line ends after a day; a state that is logged in each run is still there then.
  assert {
    condition = alltrue([
      for name, metric in { deletions_held = "deletions_held", coverage_missing = "coverage_missing", kind_failing = "kind_problem_seconds" } :
      strcontains(google_monitoring_alert_policy.this[name].conditions[0].condition_threshold[0].filter, "/user/drchrono_${metric}\"")
    ])
    error_message = "What holds until somebody acts is alerted by its metric."
  }
  assert {
    condition = alltrue([
      for name in ["deletions_held", "coverage_missing"] :
      google_monitoring_alert_policy.this[name].conditions[0].condition_threshold[0].threshold_value == 0 &&
      google_monitoring_alert_policy.this[name].conditions[0].condition_threshold[0].aggregations[0].per_series_aligner == "ALIGN_DELTA"
    ])
    error_message = "A single line is enough."
  }

  # Silence is noticed.
  assert {
    condition     = google_monitoring_alert_policy.this["sync_silent"].conditions[0].condition_absent[0].duration == "3600s" && google_monitoring_alert_policy.this["refresh_token_silent"].conditions[0].condition_absent[0].duration == "46800s"
    error_message = "An hour without a sync, thirteen without a token refresh."
  }
  assert {
    condition     = strcontains(google_monitoring_alert_policy.this["reconcile_silent"].conditions[0].condition_prometheus_query_language[0].query, "drchrono_job_done{monitored_resource=\"cloud_run_revision\", job=\"reconcile\"}[25h]")
    error_message = "A day and an hour without a reconciliation; an absence of that length needs a query."
  }
  assert {
    condition     = strcontains(google_monitoring_alert_policy.this["webhook_silent"].conditions[0].condition_prometheus_query_language[0].query, "day_of_week() <= 5 and hour() == 23")
    error_message = "No webhook is judged on working days, when the day ends."
  }

  # Metrics read our lines only.
  assert {
    condition = alltrue([
      for metric in google_logging_metric.this :
      startswith(metric.filter, "resource.type=\"cloud_run_revision\" AND resource.labels.service_name=(\"receive-webhook\" OR \"run-job\" OR \"store-record\") AND jsonPayload.message=")
    ])
    error_message = "Lines of other systems in the project must not count."
  }
  assert {
    condition     = google_logging_metric.this["event_seconds"].value_extractor == "EXTRACT(jsonPayload.seconds)" && google_logging_metric.this["event_seconds"].metric_descriptor[0].value_type == "DISTRIBUTION" && google_logging_metric.this["event_done"].value_extractor == null
    error_message = "A value makes a distribution, none a count."
  }

  # The dashboard is as the api answers it.
  assert {
    condition     = length(regexall(":(0|\"\"|\\[\\]|false)[,}]", google_monitoring_dashboard.this.dashboard_json)) == 0
    error_message = "The API leaves zeros and empty values out, so each later plan would show a change."
  }

  # Access to charts and secrets is recorded and kept.
  assert {
    condition     = toset(keys(google_project_iam_audit_config.data_access)) == toset(["datastore.googleapis.com", "secretmanager.googleapis.com"]) && alltrue([for audit in google_project_iam_audit_config.data_access : length(audit.audit_log_config) == 3])
    error_message = "Reads and writes, of both."
  }
  assert {
    condition     = google_logging_project_bucket_config.default.retention_days == 400
    error_message = "Thirteen months unless said otherwise."
  }
}

run "limits_and_a_budget" {
  command = plan
  variables {
    alert_thresholds = { pending_hours = 2, lag_hours = 4, problem_hours = 3, token_hours = 12, throttled_share = 0.1 }
    budget           = { billing_account = "012345-6789AB-CDEF01", monthly = 50 }
  }

  # Limits are in the units of the metrics.
  assert {
    condition     = google_monitoring_alert_policy.this["pending_old"].conditions[0].condition_threshold[0].threshold_value == 7200 && google_monitoring_alert_policy.this["kind_behind"].conditions[0].condition_threshold[0].threshold_value == 14400 && google_monitoring_alert_policy.this["kind_failing"].conditions[0].condition_threshold[0].threshold_value == 10800
    error_message = "Hours become seconds."
  }
  assert {
    condition     = google_monitoring_alert_policy.this["token_expiring"].conditions[0].condition_threshold[0].comparison == "COMPARISON_LT" && google_monitoring_alert_policy.this["token_expiring"].conditions[0].condition_threshold[0].threshold_value == 43200
    error_message = "A token that is about to expire has little left, not much."
  }
  assert {
    condition     = strcontains(google_monitoring_alert_policy.this["throttled"].conditions[0].condition_threshold[0].filter, "metric.labels.status=\"429\"") && !strcontains(google_monitoring_alert_policy.this["throttled"].conditions[0].condition_threshold[0].denominator_filter, "429")
    error_message = "The share of 429 among all."
  }
  assert {
    condition     = strcontains(google_monitoring_alert_policy.this["dead_letters"].conditions[0].condition_threshold[0].filter, "drchrono-events-dead-hold") && google_monitoring_alert_policy.this["dead_letters"].conditions[0].condition_threshold[0].threshold_value == 0
    error_message = "A single dead letter alerts."
  }

  # A budget is made when asked for.
  assert {
    condition     = google_billing_budget.this[0].amount[0].specified_amount[0].units == "50" && contains(keys(google_project_service.this), "billingbudgets.googleapis.com")
    error_message = "Fifty a month, and the API for it."
  }
}
