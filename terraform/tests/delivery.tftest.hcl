# The numbers of a delivery fit each other.

mock_provider "google" {
  override_during = plan
  mock_data "google_project" {
    defaults = { number = "111" }
  }
}

override_resource {
  target          = google_cloudfunctions2_function.this["store_record"]
  values          = { service_config = { uri = "https://store-record.run.app" } }
  override_during = plan
}

override_resource {
  target          = google_cloudfunctions2_function.this["run_job"]
  values          = { service_config = { uri = "https://run-job.run.app" } }
  override_during = plan
}

override_resource {
  target          = google_service_account.push
  values          = { email = "push@example" }
  override_during = plan
}

variables {
  project         = "my-practice"
  package         = "tests/package.txt"
  secret_versions = { webhook = 1, client_id = 1, client_secret = 1 }
  alert_emails    = ["it@practice.example"]
}

run "numbers_fit_each_other" {
  command = plan

  # The subscription is ours.
  assert {
    condition     = alltrue([for function in google_cloudfunctions2_function.this : length(function.event_trigger) == 0])
    error_message = "A function's own trigger can have neither this back-off nor these deadlines nor a dead letter."
  }
  assert {
    condition     = google_pubsub_subscription.events[0].push_config[0].push_endpoint == "https://store-record.run.app" && google_pubsub_subscription.events[0].push_config[0].oidc_token[0].audience == "https://store-record.run.app" && google_pubsub_subscription.events[0].push_config[0].oidc_token[0].service_account_email == "push@example"
    error_message = "Pushed to store_record, with an identity token for it."
  }
  assert {
    condition     = google_pubsub_subscription.events[0].ack_deadline_seconds > google_cloudfunctions2_function.this["store_record"].service_config[0].timeout_seconds && google_pubsub_subscription.events[0].ack_deadline_seconds <= 600
    error_message = "The ack deadline must be longer than the function may run, and Pub/Sub allows 600 s."
  }
  assert {
    condition     = google_pubsub_subscription.events[0].retry_policy[0].minimum_backoff == "10s" && google_pubsub_subscription.events[0].retry_policy[0].maximum_backoff == "600s"
    error_message = "10 to 600 s."
  }
  assert {
    condition     = google_pubsub_subscription.events[0].message_retention_duration == "${31 * 24 * 3600}s" && google_pubsub_subscription.dead_letters.message_retention_duration == "${31 * 24 * 3600}s"
    error_message = "31 days for both, the most there is."
  }
  assert {
    condition     = google_pubsub_subscription.events[0].expiration_policy[0].ttl == "" && google_pubsub_subscription.dead_letters.expiration_policy[0].ttl == ""
    error_message = "A quiet month must not delete a subscription."
  }
  assert {
    condition     = google_pubsub_subscription.events[0].dead_letter_policy[0].max_delivery_attempts >= 10 && google_pubsub_subscription.events[0].dead_letter_policy[0].dead_letter_topic == "projects/my-practice/topics/drchrono-events-dead" && google_pubsub_subscription.dead_letters.topic == "drchrono-events-dead"
    error_message = "What fails again and again is held."
  }

  # The clock outlasts the function.
  assert {
    condition = alltrue([
      for job in google_cloud_scheduler_job.this :
      tonumber(trimsuffix(job.attempt_deadline, "s")) > google_cloudfunctions2_function.this["run_job"].service_config[0].timeout_seconds
      && tonumber(trimsuffix(job.attempt_deadline, "s")) <= 1800
    ])
    error_message = "Scheduler must not give up on a run that still works; 1800 s is its most."
  }
  assert {
    condition     = tonumber(google_cloudfunctions2_function.this["run_job"].service_config[0].environment_variables["JOB_DEADLINE_SECONDS"]) <= google_cloudfunctions2_function.this["run_job"].service_config[0].timeout_seconds - 60
    error_message = "A run must stop by itself, with a minute to write its checkpoint, before it is cut off."
  }
  assert {
    condition     = { for name, job in google_cloud_scheduler_job.this : name => base64decode(job.http_target[0].body) } == { sync = "{\"job\":\"sync\"}", refresh-token = "{\"job\":\"refresh-token\"}", reconcile = "{\"job\":\"reconcile\"}" }
    error_message = "Each body names its job."
  }
  assert {
    condition     = alltrue([for job in google_cloud_scheduler_job.this : job.http_target[0].uri == "https://run-job.run.app" && job.http_target[0].oidc_token[0].audience == "https://run-job.run.app"])
    error_message = "Called with an identity token for run_job."
  }

  # The server has as many threads as requests.
  assert {
    condition = alltrue([
      for function in google_cloudfunctions2_function.this :
      tonumber(function.service_config[0].environment_variables["THREADS"]) == function.service_config[0].max_instance_request_concurrency
    ])
    error_message = "Fewer threads than the concurrency queue inside an instance, where the autoscaler does not see it."
  }
  assert {
    condition     = alltrue([for entry, function in google_cloudfunctions2_function.this : function.build_config[0].entry_point == entry && function.build_config[0].runtime == "python313"])
    error_message = "Entry points are the names in main.py."
  }

  # The charts are protected.
  assert {
    condition     = google_firestore_database.this.delete_protection_state == "DELETE_PROTECTION_ENABLED" && google_firestore_database.this.deletion_policy == "ABANDON" && google_firestore_database.this.point_in_time_recovery_enablement == "POINT_IN_TIME_RECOVERY_ENABLED"
    error_message = "Nothing that Terraform does may delete the charts, and any minute of seven days can be had back."
  }
  assert {
    condition     = google_firestore_backup_schedule.daily.retention == "604800s" && google_firestore_backup_schedule.weekly.retention == "8467200s"
    error_message = "Daily backups for a week, weekly ones for 14 weeks."
  }
  assert {
    condition     = strcontains(google_firebaserules_ruleset.deny.source[0].files[0].content, "allow read, write: if false;") && length(regexall("allow ", google_firebaserules_ruleset.deny.source[0].files[0].content)) == 1 && google_firebaserules_release.firestore.name == "cloud.firestore"
    error_message = "The rules deny everything, and they are released."
  }
  assert {
    condition     = alltrue([for field in google_firestore_field.unindexed : length(field.ttl_config) == 0])
    error_message = "Charts never expire."
  }
}

run "another_database_quota_and_key" {
  command = plan
  variables {
    firestore_database = "charts"
    drchrono_quota     = "10/second,500/hour"
    kms_key            = "projects/keys/locations/us-central1/keyRings/practice/cryptoKeys/charts"
  }

  # Another database has its own rules.
  assert {
    condition     = google_firebaserules_release.firestore.name == "cloud.firestore/charts" && google_cloudfunctions2_function.this["store_record"].service_config[0].environment_variables["FIRESTORE_DATABASE"] == "charts"
    error_message = "Rules and functions must name the same database."
  }

  # A quota may have several windows.
  assert {
    condition     = google_cloudfunctions2_function.this["run_job"].service_config[0].environment_variables["DRCHRONO_QUOTA"] == "10/second,500/hour"
    error_message = "Both windows count."
  }

  # A customer managed key covers everything.
  assert {
    condition = alltrue([for key in [
      google_firestore_database.this.cmek_config[0].kms_key_name,
      google_pubsub_topic.events.kms_key_name,
      google_pubsub_topic.dead_letters.kms_key_name,
      google_storage_bucket.source.encryption[0].default_kms_key_name,
      google_artifact_registry_repository.images.kms_key_name,
      google_cloudfunctions2_function.this["run_job"].kms_key_name,
      google_secret_manager_secret.this["token"].replication[0].user_managed[0].replicas[0].customer_managed_encryption[0].kms_key_name,
    ] : key == var.kms_key])
    error_message = "Whatever can be encrypted with the practice's key is."
  }
  assert {
    condition     = length(google_kms_crypto_key_iam_member.agent) == 7 && length(data.google_storage_project_service_account.this) == 1
    error_message = "Each service's agent must be able to use the key, and reading the address of Cloud Storage's makes it."
  }
}
