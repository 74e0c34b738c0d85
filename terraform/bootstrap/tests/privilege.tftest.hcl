mock_provider "google" {
  override_during = plan
}

variables {
  project    = "my-practice"
  repository = "projects/my-practice/locations/us-central1/connections/github/repositories/drchrono"
}

run "a_pull_request_cannot_change_or_read_anything" {
  command = plan

  assert {
    condition     = google_cloudbuild_trigger.check[0].service_account == "projects/my-practice/serviceAccounts/drchrono-checker@my-practice.iam.gserviceaccount.com"
    error_message = "Unreviewed code must not run as the deployer."
  }
  assert {
    condition     = toset([for grant in google_project_iam_member.checker : grant.role]) == toset(["roles/browser", "roles/logging.logWriter"]) && google_storage_bucket_iam_member.checker_state.role == "roles/storage.objectViewer"
    error_message = "It reads the state and the project's number, and writes its log."
  }
  assert {
    condition     = google_cloudbuild_trigger.check[0].repository_event_config[0].pull_request[0].comment_control == "COMMENTS_ENABLED_FOR_EXTERNAL_CONTRIBUTORS_ONLY"
    error_message = "A stranger's pull request must wait for a member."
  }
}

run "the_deployer_is_no_owner_and_cannot_become_one" {
  command = plan

  assert {
    condition     = length(setintersection([for grant in google_project_iam_member.deployer : grant.role], ["roles/owner", "roles/editor", "roles/datastore.owner", "roles/datastore.user", "roles/secretmanager.admin", "roles/iam.roleAdmin", "roles/iam.serviceAccountUser", "roles/iam.serviceAccountTokenCreator"])) == 0
    error_message = "None of these: they read charts or secrets, or become whoever they like."
  }
  assert {
    condition     = google_project_iam_member.deployer_grants.condition[0].expression == "api.getAttribute('iam.googleapis.com/modifiedGrantsByRole', []).hasOnly(['projects/my-practice/roles/drchronoFallbackWriter', 'roles/datastore.user', 'roles/logging.logWriter', 'roles/storage.objectViewer'])"
    error_message = "It may give these roles and no others."
  }
  assert {
    condition = !anytrue([
      for permission in google_project_iam_custom_role.deployer.permissions :
      strcontains(permission, "delete") || strcontains(permission, "versions.access") || strcontains(permission, "entities")
    ])
    error_message = "It can neither delete the database and the secrets nor read what is in them."
  }
}

run "the_receivers_role_cannot_query_or_delete" {
  command = plan

  assert {
    condition     = google_project_iam_custom_role.fallback_writer.role_id == "drchronoFallbackWriter" && google_project_iam_custom_role.fallback_writer.permissions == toset(["datastore.databases.get", "datastore.entities.create", "datastore.entities.get", "datastore.entities.update"])
    error_message = "Without list there is no query; the name is the one that terraform/firestore.tf grants."
  }
}

run "what_is_applied_was_approved" {
  command = plan

  assert {
    condition     = google_cloudbuild_trigger.apply[0].approval_config[0].approval_required && length(google_cloudbuild_trigger.apply[0].repository_event_config) == 0
    error_message = "The apply waits for a person, and no push starts it."
  }
  assert {
    condition     = [for trigger in [google_cloudbuild_trigger.check[0], google_cloudbuild_trigger.plan[0], google_cloudbuild_trigger.apply[0]] : trigger.substitutions["_STAGE"]] == ["check", "plan", "apply"]
    error_message = "Each trigger is one stage of cloudbuild.yaml."
  }
}

run "the_state_is_kept_and_private" {
  command = plan

  assert {
    condition     = google_storage_bucket.state.versioning[0].enabled && google_storage_bucket.state.public_access_prevention == "enforced" && google_storage_bucket.state.uniform_bucket_level_access
    error_message = "Versions, and no public access."
  }
}

run "without_a_repository_people_deploy" {
  command = plan
  variables {
    repository = null
  }

  assert {
    condition     = length(google_cloudbuild_trigger.check) + length(google_cloudbuild_trigger.plan) + length(google_cloudbuild_trigger.apply) == 0
    error_message = "No triggers."
  }
}

run "a_repository_is_given_by_its_full_name" {
  command = plan
  variables {
    repository = "practice/drchrono"
  }
  expect_failures = [var.repository]
}
