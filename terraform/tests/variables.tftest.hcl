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

run "a_project_number_is_not_an_id" {
  command = plan
  variables {
    project = "123456789012"
  }
  expect_failures = [var.project]
}

run "the_package_must_have_been_made" {
  command = plan
  variables {
    package = "tests/missing.zip"
  }
  expect_failures = [var.package]
}

run "versions_count_from_one" {
  command = plan
  variables {
    secret_versions = { webhook = 0, client_id = 1, client_secret = 1 }
  }
  expect_failures = [var.secret_versions]
}

run "somebody_must_read_alerts" {
  command = plan
  variables {
    alert_emails = []
  }
  expect_failures = [var.alert_emails]
}

run "an_origin_has_no_path" {
  command = plan
  variables {
    drchrono_url = "https://drchrono.com/api"
  }
  expect_failures = [var.drchrono_url]
}

run "a_quota_has_units" {
  command = plan
  variables {
    drchrono_quota = "500 per hour"
  }
  expect_failures = [var.drchrono_quota]
}

run "a_quota_may_have_several_windows" {
  command = plan
  variables {
    drchrono_quota = "10/second,500/hour"
  }
}

run "a_signature_form_is_one_of_three" {
  command = plan
  variables {
    webhook_signature = "none"
  }
  expect_failures = [var.webhook_signature]
}

run "a_schedule_has_five_fields" {
  command = plan
  variables {
    schedules = { sync = "every 5 minutes" }
  }
  expect_failures = [var.schedules]
}

run "a_log_level_that_blinds_the_alerts_is_refused" {
  command = plan
  variables {
    log_level = "WARNING"
  }
  expect_failures = [var.log_level]
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

run "an_operator_is_a_member_with_its_type" {
  command = plan
  variables {
    operators = ["it@practice.example"]
  }
  expect_failures = [var.operators]
}
