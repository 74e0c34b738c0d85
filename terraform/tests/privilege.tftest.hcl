# Who may do what, each statement on the plan. tests/test_terraform.py shows besides that there is no grant that is not said here.

mock_provider "google" {
  override_during = plan
  mock_data "google_project" {
    defaults = { number = "111" }
  }
}

variables {
  project         = "my-practice"
  package         = "tests/package.txt"
  secret_versions = { webhook = 3, client_id = 1, client_secret = 2 }
  alert_emails    = ["it@practice.example"]
  deployer        = "drchrono-deployer@my-practice.iam.gserviceaccount.com"
}

run "everybody_may_do_what_is_said_here" {
  command = plan

  # Only the receiver is public.
  assert {
    condition     = google_cloud_run_service_iam_member.public[0].service == "receive-webhook" && google_cloud_run_service_iam_member.public[0].member == "allUsers"
    error_message = "The receiver must be open: DrChrono cannot authenticate to Google."
  }
  assert {
    condition = !anytrue([
      for grant in concat(google_cloud_run_service_iam_member.push, google_cloud_run_service_iam_member.schedule) :
      contains(["allUsers", "allAuthenticatedUsers"], grant.member)
    ])
    error_message = "store_record and run_job must not be public."
  }
  assert {
    condition = alltrue([
      for entry in ["store_record", "run_job"] :
      google_cloudfunctions2_function.this[entry].service_config[0].ingress_settings == "ALLOW_INTERNAL_ONLY"
    ])
    error_message = "store_record and run_job must not be reachable from the internet."
  }

  # Each private function has one caller.
  assert {
    condition     = google_cloud_run_service_iam_member.push[0].service == "store-record" && google_cloud_run_service_iam_member.push[0].member == "serviceAccount:drchrono-push@my-practice.iam.gserviceaccount.com"
    error_message = "Only Pub/Sub's account may call store_record."
  }
  assert {
    condition     = google_cloud_run_service_iam_member.schedule[0].service == "run-job" && google_cloud_run_service_iam_member.schedule[0].member == "serviceAccount:drchrono-schedule@my-practice.iam.gserviceaccount.com"
    error_message = "Only Cloud Scheduler's account may call run_job."
  }
  assert {
    condition     = google_service_account.push.account_id != google_service_account.schedule.account_id
    error_message = "Who may call one function must not be able to call the other."
  }

  # Each function is its own account.
  assert {
    condition     = length(distinct([for account in google_service_account.function : account.account_id])) == 3
    error_message = "The functions must not share an account."
  }
  assert {
    condition     = !contains([for account in google_service_account.function : account.account_id], google_service_account.build.account_id)
    error_message = "What builds must not be what runs."
  }

  # The receiver publishes and does nothing else.
  assert {
    condition     = [for grant in google_pubsub_topic_iam_member.publisher : "${grant.topic} ${grant.role} ${grant.member}"] == ["drchrono-events roles/pubsub.publisher serviceAccount:drchrono-receive-webhook@my-practice.iam.gserviceaccount.com"]
    error_message = "Only the receiver publishes, and only on the topic of events."
  }
  assert {
    condition = [
      for key, grant in google_secret_manager_secret_iam_member.reader : grant.secret_id
      if grant.member == "serviceAccount:drchrono-receive-webhook@my-practice.iam.gserviceaccount.com"
    ] == ["drchrono-webhook-secret"]
    error_message = "The receiver reads the webhook's secret and no other."
  }
  assert {
    condition     = !strcontains(join(" ", [for grant in google_project_iam_member.charts : grant.member]), "receive-webhook")
    error_message = "The receiver must not be able to read the charts."
  }

  # Charts are for store record and run job in this database only.
  assert {
    condition = toset([for grant in google_project_iam_member.charts : "${grant.role} ${grant.member}"]) == toset([
      "roles/datastore.user serviceAccount:drchrono-store-record@my-practice.iam.gserviceaccount.com",
      "roles/datastore.user serviceAccount:drchrono-run-job@my-practice.iam.gserviceaccount.com",
    ])
    error_message = "Exactly these two."
  }
  assert {
    condition = alltrue([
      for grant in google_project_iam_member.charts :
      grant.condition[0].expression == "resource.name == \"projects/my-practice/databases/(default)\""
    ])
    error_message = "Firestore has no bindings below the project, so each must carry the condition on the database."
  }

  # Each secret is read by whom it is for.
  assert {
    condition = toset([for grant in google_secret_manager_secret_iam_member.reader : "${grant.secret_id} ${grant.member}"]) == toset([
      "drchrono-webhook-secret serviceAccount:drchrono-receive-webhook@my-practice.iam.gserviceaccount.com",
      "drchrono-client-id serviceAccount:drchrono-store-record@my-practice.iam.gserviceaccount.com",
      "drchrono-client-id serviceAccount:drchrono-run-job@my-practice.iam.gserviceaccount.com",
      "drchrono-client-secret serviceAccount:drchrono-store-record@my-practice.iam.gserviceaccount.com",
      "drchrono-client-secret serviceAccount:drchrono-run-job@my-practice.iam.gserviceaccount.com",
      "drchrono-oauth-token serviceAccount:drchrono-store-record@my-practice.iam.gserviceaccount.com",
      "drchrono-oauth-token serviceAccount:drchrono-run-job@my-practice.iam.gserviceaccount.com",
    ])
    error_message = "A reader too many or too few."
  }
  assert {
    condition     = toset([for grant in google_secret_manager_secret_iam_member.token_keeper : grant.secret_id]) == toset(["drchrono-oauth-token"])
    error_message = "Versions are added and destroyed on the token's secret only."
  }
  assert {
    condition     = length(google_secret_manager_secret_iam_member.legacy_reader) == 0
    error_message = "The secrets of an earlier integration are read only while taking over from it."
  }
  assert {
    condition     = google_secret_manager_secret_iam_member.deployer_signs_ping["drchrono-deployer@my-practice.iam.gserviceaccount.com"].secret_id == "drchrono-webhook-secret"
    error_message = "The deployer reads the webhook's secret, for the smoke test, and no other."
  }

  # Pubsub has the two grants without which dead lettering does nothing.
  assert {
    condition     = google_pubsub_topic_iam_member.agent_dead_letters.topic == "drchrono-events-dead" && google_pubsub_topic_iam_member.agent_dead_letters.role == "roles/pubsub.publisher" && google_pubsub_topic_iam_member.agent_dead_letters.member == "serviceAccount:service-111@gcp-sa-pubsub.iam.gserviceaccount.com"
    error_message = "Pub/Sub must be able to put a message on the dead-letter topic."
  }
  assert {
    condition     = google_pubsub_subscription_iam_member.agent_acknowledges[0].subscription == "drchrono-events-store-record" && google_pubsub_subscription_iam_member.agent_acknowledges[0].role == "roles/pubsub.subscriber" && google_pubsub_subscription_iam_member.agent_acknowledges[0].member == "serviceAccount:service-111@gcp-sa-pubsub.iam.gserviceaccount.com"
    error_message = "Pub/Sub must be able to take it off the subscription."
  }
  assert {
    condition     = google_service_account_iam_member.agent_signs_push.role == "roles/iam.serviceAccountOpenIdTokenCreator"
    error_message = "Pub/Sub signs identity tokens of the push account; it must not be able to become it."
  }

  # The builder reads source and writes images.
  assert {
    condition     = google_storage_bucket_iam_member.build.role == "roles/storage.objectViewer" && google_artifact_registry_repository_iam_member.build.role == "roles/artifactregistry.writer"
    error_message = "Viewer of the source, writer of the images."
  }
  assert {
    condition     = google_project_iam_member.build_reads_copied_source.condition[0].expression == "resource.name.startsWith(\"projects/_/buckets/gcf-v2-sources-111-us-central1\")"
    error_message = "Of all other buckets, only the one to which Cloud Functions copies the source."
  }
}

run "operators_and_a_take_over" {
  command = plan
  variables {
    legacy_token_secrets = true
    operators            = ["group:operators@practice.example"]
  }

  # Taking over reads the old pair and writes neither.
  assert {
    condition     = toset([for grant in google_secret_manager_secret_iam_member.legacy_reader : "${grant.secret_id} ${grant.role}"]) == toset(["drchrono-access-token roles/secretmanager.secretAccessor", "drchrono-refresh-token roles/secretmanager.secretAccessor"])
    error_message = "Read, and nothing else."
  }

  # An operator gets what ops needs.
  assert {
    condition     = google_pubsub_subscription_iam_member.operator_reads_dead_letters["group:operators@practice.example"].subscription == "drchrono-events-dead-hold"
    error_message = "`ops dead-letters` reads the holding subscription."
  }
  assert {
    condition = toset([
      for grant in google_secret_manager_secret_iam_member.reader : grant.secret_id if grant.member == "group:operators@practice.example"
    ]) == toset(["drchrono-client-id", "drchrono-client-secret", "drchrono-oauth-token", "drchrono-webhook-secret"])
    error_message = "`ops authorize` exchanges the code and stores the token; `ops doctor` signs a PING."
  }
  assert {
    condition     = google_project_iam_member.operator["group:operators@practice.example"].role == "projects/my-practice/roles/drchronoOperator"
    error_message = "`ops` looks at functions, jobs and subscriptions; docs/operating.md runs jobs and reads logs."
  }
}
