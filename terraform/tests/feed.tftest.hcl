# The change feed and the history: nothing where they are off, and no more than they need where they are on.

mock_provider "google" {
  override_during = plan
  mock_data "google_project" {
    defaults = { number = "111" }
  }
}

override_resource {
  target          = google_service_account.feed_push
  values          = { email = "feed-push@example" }
  override_during = plan
}

variables {
  project         = "my-practice"
  package         = "tests/package.txt"
  secret_versions = { webhook = 1, client_id = 1, client_secret = 1 }
  alert_emails    = ["it@practice.example"]
}

run "without_it_nothing_is_made" {
  command = plan

  assert {
    condition     = length(google_pubsub_topic.changes) == 0 && length(google_pubsub_topic.changes_dead) == 0 && length(google_pubsub_topic_iam_member.feed_publisher) == 0 && length(google_firestore_field.history_expiring) == 0
    error_message = "No topic, grant or rule of expiry."
  }
  assert {
    condition     = !contains(keys(google_cloudfunctions2_function.this["store_record"].service_config[0].environment_variables), "DRCHRONO_FEED") && !contains(keys(google_cloudfunctions2_function.this["run_job"].service_config[0].environment_variables), "DRCHRONO_HISTORY")
    error_message = "A stored change must cost what it did."
  }
  assert {
    condition     = length([for name in concat(keys(google_monitoring_alert_policy.this), keys(google_logging_metric.this)) : name if startswith(name, "feed_")]) == 0
    error_message = "Alerts and metrics cost something, too."
  }
}

run "with_it_those_who_store_may_publish" {
  command = plan
  variables {
    feed      = true
    feed_push = "https://reminders.example/changes"
    history   = true
    operators = ["group:it@practice.example"]
  }

  assert {
    condition = toset(keys(google_pubsub_topic_iam_member.feed_publisher)) == toset([
      "serviceAccount:drchrono-store-record@my-practice.iam.gserviceaccount.com",
      "serviceAccount:drchrono-run-job@my-practice.iam.gserviceaccount.com",
      "group:it@practice.example",
    ])
    error_message = "Who stores records, and operators, who replay."
  }
  assert {
    condition     = google_pubsub_subscription.changes_push[0].enable_message_ordering && google_pubsub_subscription.changes_push[0].dead_letter_policy[0].dead_letter_topic == "projects/my-practice/topics/drchrono-changes-dead" && google_pubsub_subscription.changes_push[0].push_config[0].oidc_token[0].audience == "https://reminders.example/changes"
    error_message = "In order, with dead letters, and with an identity."
  }
  assert {
    condition     = google_pubsub_topic_iam_member.agent_changes_dead[0].role == "roles/pubsub.publisher" && google_pubsub_subscription_iam_member.agent_acknowledges_changes[0].role == "roles/pubsub.subscriber"
    error_message = "Without both, dead-lettering does nothing."
  }
  assert {
    condition     = google_cloudfunctions2_function.this["store_record"].service_config[0].environment_variables["DRCHRONO_FEED"] == "on" && google_cloudfunctions2_function.this["run_job"].service_config[0].environment_variables["DRCHRONO_HISTORY"] == "2192" && strcontains(output.ops_environment, "DRCHRONO_FEED")
    error_message = "The functions that store records, and the operator's programs, must know."
  }
  assert {
    condition     = !contains(keys(google_cloudfunctions2_function.this["receive_webhook"].service_config[0].environment_variables), "DRCHRONO_FEED")
    error_message = "The public function stores nothing."
  }
  assert {
    condition     = google_firestore_field.history_expiring[0].field == "_sync.expires_at" && toset(keys(google_firestore_field.history_unindexed)) == toset(["before", "after", "_sync.json"])
    error_message = "The history goes by itself, and no value of it is in an index."
  }
  assert {
    condition     = contains(keys(google_monitoring_alert_policy.this), "feed_late")
    error_message = "Somebody must be told that others are not."
  }
}

run "a_push_needs_the_feed" {
  command = plan
  variables {
    feed_push = "https://reminders.example/changes"
  }
  expect_failures = [var.feed_push]
}
