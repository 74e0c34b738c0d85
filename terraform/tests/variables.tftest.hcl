# A wrong value is refused before anything is planned.

mock_provider "google" {
  override_during = plan
}

variables {
  project         = "my-practice"
  package         = "tests/package.txt"
  secret_versions = null
  alert_emails    = ["it@practice.example"]
}

run "wrong_values_are_refused" {
  command = plan
  variables {
    # A project number is not an id.
    project = "123456789012"
    # The package must have been made.
    package = "tests/missing.zip"
    # Versions count from one.
    secret_versions = { webhook = 0, client_id = 1, client_secret = 1 }
    # Somebody must read alerts.
    alert_emails = []
    # An origin has no path.
    drchrono_url = "https://drchrono.com/api"
    # A quota has units.
    drchrono_quota = "500 per hour"
    # A signature form is one of three.
    webhook_signature = "none"
    # A schedule has five fields.
    schedules = { sync = "every 5 minutes" }
    # A log level that blinds the alerts is refused.
    log_level = "WARNING"
    # An operator is a member with its type.
    operators = ["it@practice.example"]
    # A person is no writer.
    writers = ["user:somebody@practice.example"]
  }
  # Each of them, or the run fails.
  expect_failures = [
    var.project,
    var.package,
    var.secret_versions,
    var.alert_emails,
    var.drchrono_url,
    var.drchrono_quota,
    var.webhook_signature,
    var.schedules,
    var.log_level,
    var.operators,
    var.writers,
  ]
}

run "a_database_under_a_regional_key_lies_in_that_region" {
  command = plan
  variables {
    kms_key            = "projects/keys/locations/us-central1/keyRings/practice/cryptoKeys/charts"
    firestore_location = "nam5"
  }
  expect_failures = [var.kms_key]
}

run "a_key_of_another_region_is_refused" {
  command = plan
  variables {
    kms_key = "projects/keys/locations/us/keyRings/practice/cryptoKeys/charts"
  }
  expect_failures = [var.kms_key]
}
