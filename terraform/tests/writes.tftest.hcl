# Writing back: nothing without writers, and with them no more than they need.

mock_provider "google" {
  override_during = plan
  mock_data "google_project" {
    defaults = { number = "111" }
  }
}

override_resource {
  target          = google_service_account.outbox_trigger
  values          = { email = "trigger@example" }
  override_during = plan
}

variables {
  project         = "my-practice"
  package         = "tests/package.txt"
  secret_versions = { webhook = 1, client_id = 1, client_secret = 1 }
  alert_emails    = ["it@practice.example"]
}

run "without_writers_drchrono_is_only_read" {
  command = plan

  assert {
    condition     = length(google_cloudfunctions2_function.this) == 3 && length(google_firestore_database.outbox) == 0 && length(google_project_iam_member.outbox) == 0 && length(google_service_account.outbox_trigger) == 0
    error_message = "No function, database, grant or trigger for the outbox."
  }
  assert {
    condition     = !contains(keys(google_cloudfunctions2_function.this["run_job"].service_config[0].environment_variables), "DRCHRONO_WRITES") && !strcontains(output.ops_environment, "DRCHRONO_WRITES")
    error_message = "The settings must not say that anything is written: the write scopes would be asked for."
  }
  assert {
    condition     = length([for name in concat(keys(google_monitoring_alert_policy.this), keys(google_logging_metric.this)) : name if startswith(name, "outbox_")]) == 0
    error_message = "Alerts and metrics cost something, too."
  }
  assert {
    condition     = !contains([for service in google_project_service.this : service.service], "eventarc.googleapis.com")
    error_message = "Nothing needs Eventarc."
  }
}

run "writers_get_the_outbox" {
  command = plan
  variables {
    writers   = ["serviceAccount:booking@my-practice.iam.gserviceaccount.com"]
    operators = ["group:it@practice.example"]
  }

  # Writers get the outbox and nothing else.
  assert {
    condition     = google_project_iam_member.outbox["serviceAccount:booking@my-practice.iam.gserviceaccount.com"].role == "roles/datastore.user" && google_project_iam_member.outbox["serviceAccount:booking@my-practice.iam.gserviceaccount.com"].condition[0].expression == "resource.name == \"projects/my-practice/databases/drchrono-outbox\""
    error_message = "A writer may use the outbox's database alone."
  }
  assert {
    condition     = google_firestore_database.outbox[0].name != google_firestore_database.this.name && !contains(keys(google_project_iam_member.charts), "serviceAccount:booking@my-practice.iam.gserviceaccount.com")
    error_message = "Writers must not see charts."
  }
  assert {
    condition = toset(keys(google_project_iam_member.outbox)) == toset([
      "serviceAccount:booking@my-practice.iam.gserviceaccount.com",
      "serviceAccount:drchrono-run-job@my-practice.iam.gserviceaccount.com",
      "serviceAccount:drchrono-send-writes@my-practice.iam.gserviceaccount.com",
      "group:it@practice.example",
    ])
    error_message = "Writers, the two functions that send, and operators."
  }
  assert {
    condition     = contains(keys(google_monitoring_alert_policy.this), "outbox_unknown") && contains(keys(google_monitoring_alert_policy.this), "outbox_late")
    error_message = "Somebody must be told of a write whose outcome is not known."
  }
  assert {
    condition     = google_firebaserules_release.outbox[0].name == "cloud.firestore/drchrono-outbox"
    error_message = "Browsers and phones are refused there as well."
  }

  # An entry that is added is sent at once.
  assert {
    condition     = google_cloudfunctions2_function.this["send_writes"].event_trigger[0].event_type == "google.cloud.firestore.document.v1.created" && google_cloudfunctions2_function.this["send_writes"].event_trigger[0].service_account_email == "trigger@example"
    error_message = "The trigger is the creation of a document: a later write is this system's own."
  }
  assert {
    condition = { for filter in google_cloudfunctions2_function.this["send_writes"].event_trigger[0].event_filters : filter.attribute => filter.value } == {
      database = "drchrono-outbox"
      document = "outbox/{entry}"
    }
    error_message = "Of the collection outbox in the outbox's database."
  }
  assert {
    condition     = google_cloudfunctions2_function.this["send_writes"].service_config[0].ingress_settings == "ALLOW_INTERNAL_ONLY" && google_cloud_run_service_iam_member.outbox_trigger[0].service == "send-writes"
    error_message = "Only Eventarc's account may call it."
  }
  assert {
    condition = alltrue([
      for entry in ["run_job", "send_writes"] :
      google_cloudfunctions2_function.this[entry].service_config[0].environment_variables["DRCHRONO_WRITES"] == "on" &&
      google_cloudfunctions2_function.this[entry].service_config[0].environment_variables["OUTBOX_DATABASE"] == "drchrono-outbox"
    ])
    error_message = "Both must find the outbox."
  }
  assert {
    condition     = alltrue([for field in google_firestore_field.expiring : field.field == "expires_at" && field.database == "drchrono-outbox"]) && join(",", keys(google_firestore_field.expiring)) == "outbox_targets"
    error_message = "A guard goes after its time, an entry never: the sync empties it."
  }
}
