# An empty project: no secret has a value, and nothing may fail half-way.

mock_provider "google" {
  override_during = plan
  mock_data "google_project" {
    defaults = { number = "111" }
  }
}

variables {
  project      = "my-practice"
  package      = "tests/package.txt"
  alert_emails = ["it@practice.example"]
}

run "without_secret_versions_nothing_needs_a_secret" {
  command = plan
  variables {
    secret_versions = null
  }

  assert {
    condition     = length(google_cloudfunctions2_function.this) == 0 && length(google_pubsub_subscription.events) == 0 && length(google_cloud_scheduler_job.this) == 0
    error_message = "Functions, and what calls them, come with the second apply."
  }
  assert {
    condition     = length(google_monitoring_alert_policy.this) == 0
    error_message = "An alert on a metric can be made only when the metric is there, and there is nothing yet to alert about."
  }
  assert {
    condition     = length(google_secret_manager_secret.this) == 4
    error_message = "The secrets must be there, to be given their values."
  }
  assert {
    condition     = length(regexall("gcloud secrets versions add", output.add_secrets)) == 3 && strcontains(output.next, "secret_versions")
    error_message = "The apply must say how to go on."
  }
  assert {
    condition     = output.webhook_url == null
    error_message = "There is no URL yet."
  }
}

run "with_them_everything_is_there" {
  command = plan
  variables {
    secret_versions = { webhook = 3, client_id = 1, client_secret = 2 }
  }

  assert {
    condition     = length(google_cloudfunctions2_function.this) == 3 && length(google_pubsub_subscription.events) == 1 && length(google_cloud_scheduler_job.this) == 3
    error_message = "Three functions, their subscription, and three jobs."
  }
  assert {
    condition = { for variable in google_cloudfunctions2_function.this["store_record"].service_config[0].secret_environment_variables : variable.key => "${variable.secret}/${variable.version}" } == {
      DRCHRONO_CLIENT_ID     = "drchrono-client-id/1"
      DRCHRONO_CLIENT_SECRET = "drchrono-client-secret/2"
    }
    error_message = "Secrets come by their version number: \"latest\" would differ from instance to instance after a rotation."
  }
  assert {
    condition     = { for variable in google_cloudfunctions2_function.this["receive_webhook"].service_config[0].secret_environment_variables : variable.key => "${variable.secret}/${variable.version}" } == { DRCHRONO_WEBHOOK_SECRET = "drchrono-webhook-secret/3" }
    error_message = "The receiver gets the webhook's secret and nothing else."
  }
  assert {
    condition     = google_storage_bucket_object.package.name == "functions-${filesha256("tests/package.txt")}.zip"
    error_message = "The object is named by its content: a changed zip deploys, and an unchanged one does not."
  }
  assert {
    condition     = strcontains(output.ops_environment, "export GCP_PROJECT='my-practice'\n") && strcontains(output.ops_environment, "export DRCHRONO_CLIENT_SECRET=\"$(gcloud secrets versions access projects/my-practice/secrets/drchrono-client-secret/versions/2)\"")
    error_message = "`ops` is told the deployment's settings; secrets are fetched when the line runs."
  }
}
