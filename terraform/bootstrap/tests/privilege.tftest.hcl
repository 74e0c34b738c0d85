mock_provider "google" {
  override_during = plan
}

variables {
  project    = "my-practice"
  repository = "projects/my-practice/locations/us-central1/connections/github/repositories/drchrono"
}

run "a_pull_request_cannot_change_anything" {
  command = plan

  assert {
    condition     = alltrue([for trigger in [google_cloudbuild_trigger.check[0], google_cloudbuild_trigger.test[0]] : trigger.service_account == "projects/my-practice/serviceAccounts/drchrono-checker@my-practice.iam.gserviceaccount.com"])
    error_message = "Neither unreviewed code nor development dependencies run as the planner or the deployer."
  }
  assert {
    condition     = toset([for grant in google_project_iam_member.checker : grant.role]) == toset(["roles/browser", "roles/logging.logWriter", "roles/serviceusage.serviceUsageConsumer"]) && google_storage_bucket_iam_member.state_reader["checker"].role == "roles/storage.objectViewer"
    error_message = "It reads the state and the project's number, uses the project's quota, and writes its log."
  }
  assert {
    condition     = google_cloudbuild_trigger.check[0].repository_event_config[0].pull_request[0].comment_control == "COMMENTS_ENABLED_FOR_EXTERNAL_CONTRIBUTORS_ONLY"
    error_message = "A stranger's pull request must wait for a member."
  }
}

run "what_is_merged_is_planned_by_an_account_that_only_reads" {
  command = plan

  assert {
    condition     = google_cloudbuild_trigger.plan[0].service_account == "projects/my-practice/serviceAccounts/drchrono-planner@my-practice.iam.gserviceaccount.com"
    error_message = "Merged code must not run as the deployer."
  }
  assert {
    condition = alltrue([
      for permission in google_project_iam_custom_role.planner.permissions :
      can(regex("[.](get|list|use|getIamPolicy|getMetadata|fullView)$", permission))
    ])
    error_message = "It changes nothing."
  }
  assert {
    condition = !anytrue([
      for permission in google_project_iam_custom_role.planner.permissions :
      strcontains(permission, "entities") || strcontains(permission, "versions") || strcontains(permission, "logEntries")
    ])
    error_message = "It reads no chart, no secret's value and no log."
  }
  assert {
    condition     = toset([for grant in google_project_iam_member.planner : grant.role]) == toset(["projects/my-practice/roles/drchronoPlanner", "roles/logging.logWriter"])
    error_message = "It has these roles on the project and no others."
  }
  assert {
    condition     = google_storage_bucket_iam_member.planner_keeps_plans.role == "roles/storage.objectCreator" && google_storage_bucket_iam_member.planner_keeps_plans.condition[0].expression == "resource.name.startsWith(\"projects/_/buckets/my-practice-drchrono-state/objects/plans/\")"
    error_message = "It adds plans, and can neither replace one nor touch the state."
  }
}

run "the_deployer_is_no_owner_and_cannot_become_one" {
  command = plan

  assert {
    condition     = length(setintersection([for grant in google_project_iam_member.deployer : grant.role], ["roles/owner", "roles/editor", "roles/datastore.owner", "roles/datastore.user", "roles/secretmanager.admin", "roles/iam.roleAdmin", "roles/iam.serviceAccountUser", "roles/iam.serviceAccountTokenCreator", "roles/cloudbuild.builds.editor"])) == 0
    error_message = "None of these: they read charts or secrets, start builds, or become whoever they like."
  }
  assert {
    condition     = google_project_iam_member.deployer_grants.condition[0].expression == "api.getAttribute('iam.googleapis.com/modifiedGrantsByRole', []).hasOnly(['projects/my-practice/roles/drchronoOperator', 'roles/datastore.user', 'roles/logging.logWriter', 'roles/storage.objectViewer'])"
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

run "what_is_applied_was_approved" {
  command = plan

  assert {
    condition     = google_cloudbuild_trigger.apply[0].approval_config[0].approval_required && length(google_cloudbuild_trigger.apply[0].repository_event_config) == 0
    error_message = "The apply waits for a person, and no push starts it."
  }
  assert {
    condition     = length(google_cloudbuild_trigger.apply[0].git_file_source) == 0 && google_cloudbuild_trigger.apply[0].filename == null && [for step in google_cloudbuild_trigger.apply[0].build[0].step : step.id] == ["fetch", "apply", "smoke-test"]
    error_message = "Its steps are not read from the repository: a merge must not change what runs as the deployer."
  }
  assert {
    condition     = google_cloudbuild_trigger.apply[0].pubsub_config[0].topic == "projects/my-practice/topics/drchrono-apply" && google_pubsub_topic_iam_member.planner_asks[0].member == "serviceAccount:drchrono-planner@my-practice.iam.gserviceaccount.com"
    error_message = "The planner asks for it by a message, and need not act as the deployer."
  }
  assert {
    condition     = [for trigger in [google_cloudbuild_trigger.check[0], google_cloudbuild_trigger.test[0], google_cloudbuild_trigger.plan[0]] : trigger.substitutions["_STAGE"]] == ["check", "test", "plan"]
    error_message = "Each of the three is one stage of cloudbuild.yaml."
  }
}

run "an_operator_sees_and_starts_and_changes_nothing_else" {
  command = plan

  assert {
    condition = !anytrue([
      for permission in google_project_iam_custom_role.operator.permissions :
      can(regex("[.](create|update|delete|setIamPolicy)$", permission)) || strcontains(permission, "entities") || strcontains(permission, "versions")
    ])
    error_message = "Charts, secrets and dead letters are granted on each of them, in terraform/."
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
    condition     = length(google_cloudbuild_trigger.check) + length(google_cloudbuild_trigger.test) + length(google_cloudbuild_trigger.plan) + length(google_cloudbuild_trigger.apply) == 0
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
