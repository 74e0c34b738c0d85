mock_provider "google" {
  override_during = plan
}

variables {
  project    = "my-practice"
  repository = "projects/my-practice/locations/us-central1/connections/github/repositories/drchrono"
}

run "no_account_may_do_more_than_its_part" {
  command = plan

  # A pull request cannot change anything.
  assert {
    condition     = alltrue([for trigger in [google_cloudbuild_trigger.check[0], google_cloudbuild_trigger.merge["test"]] : trigger.service_account == "projects/my-practice/serviceAccounts/drchrono-checker@my-practice.iam.gserviceaccount.com"])
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

  # What is merged is planned by an account that only reads.
  assert {
    condition     = google_cloudbuild_trigger.merge["plan"].service_account == "projects/my-practice/serviceAccounts/drchrono-planner@my-practice.iam.gserviceaccount.com"
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

  # The deployer is no owner and cannot become one.
  assert {
    condition     = length(setintersection([for grant in google_project_iam_member.deployer : grant.role], ["roles/owner", "roles/editor", "roles/datastore.owner", "roles/datastore.user", "roles/secretmanager.admin", "roles/iam.roleAdmin", "roles/iam.serviceAccountUser", "roles/iam.serviceAccountTokenCreator", "roles/cloudbuild.builds.editor"])) == 0
    error_message = "None of these: they read charts or secrets, start builds, or become whoever they like."
  }
  assert {
    condition     = google_project_iam_member.deployer_grants.condition[0].expression == "api.getAttribute('iam.googleapis.com/modifiedGrantsByRole', []).hasOnly(['projects/my-practice/roles/drchronoOperator', 'roles/datastore.user', 'roles/eventarc.eventReceiver', 'roles/logging.logWriter', 'roles/storage.objectViewer'])"
    error_message = "It may give these roles and no others."
  }
  assert {
    condition = !anytrue([
      for permission in google_project_iam_custom_role.deployer.permissions :
      strcontains(permission, "delete") || strcontains(permission, "versions.access") || strcontains(permission, "entities")
    ])
    error_message = "It can neither delete the database and the secrets nor read what is in them."
  }

  # What is applied was approved.
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
    condition     = [for trigger in [google_cloudbuild_trigger.check[0], google_cloudbuild_trigger.merge["test"], google_cloudbuild_trigger.merge["plan"]] : trigger.substitutions["_STAGE"]] == ["check", "test", "plan"]
    error_message = "Each of the three is one stage of cloudbuild.yaml."
  }

  # An operator sees and starts and changes nothing else.
  assert {
    condition = !anytrue([
      for permission in google_project_iam_custom_role.operator.permissions :
      can(regex("[.](create|update|delete|setIamPolicy)$", permission)) || strcontains(permission, "entities") || strcontains(permission, "versions")
    ])
    error_message = "Charts, secrets and dead letters are granted on each of them, in terraform/."
  }

  # The state is kept and private.
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
    condition     = length(google_cloudbuild_trigger.check) + length(google_cloudbuild_trigger.merge) + length(google_cloudbuild_trigger.apply) == 0
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
