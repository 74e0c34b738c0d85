# The functions: three, and a fourth where programs may write (outbox.tf). Key = entry point in main.py = file in functions/ = `function` in every log line.

locals {
  # The functions need secret values to start, so they come with the second apply (variable secret_versions).
  deployed = var.secret_versions != null

  function_names = { for entry in keys(local.functions) : entry => replace(entry, "_", "-") }

  functions = { for entry, it in local.all_functions : entry => it if entry != "send_writes" || local.writing }

  all_functions = {
    receive_webhook = {
      says = "Verifies DrChrono's webhooks and puts each on the topic"
      # The only public door. Gen 2 gives requests of one instance to one process, and more than one at a time needs a full CPU.
      ingress = "ALLOW_ALL"
      cpu     = "1"
      # The client libraries take about 150 MiB; 20 bodies of at most 1 MiB each, and their parsed form, fit beside that.
      memory      = "512Mi"
      concurrency = 20
      min         = var.receiver_min_instances
      # 100 at once, where DrChrono sends one or two: the rest is a flood, and this is all that a flood can cost.
      max = 5
      # It answers in milliseconds; a publish that hangs is given up and falls back well before this.
      timeout = 30
      environment = {
        EVENTS_TOPIC               = google_pubsub_topic.events.name
        DRCHRONO_WEBHOOK_SIGNATURE = var.webhook_signature
        DRCHRONO_WEBHOOK_HANDSHAKE = var.webhook_handshake ? "on" : "off"
      }
      secrets = { DRCHRONO_WEBHOOK_SECRET = "webhook" }
    }

    store_record = {
      says    = "Fetches the changed record from DrChrono and stores it"
      ingress = "ALLOW_INTERNAL_ONLY" # Pub/Sub of this project counts as internal
      cpu     = "1"
      # A record is at most Firestore's 1 MiB; eight of them in text, parsed and encoded form stay under 100 MiB.
      memory      = "512Mi"
      concurrency = 8
      min         = 0
      # DrChrono's quota is the limit: at 100 a minute and a second each, two requests are under way at a time. 16 places
      # let a burst be put in the work queue quickly; more instances would only contend for the quota's document.
      max = 2
      # Less than the ack deadline. One API call gives up after 30 s; the longest way is a token refresh and two calls.
      timeout = local.store_timeout_seconds
      environment = merge({
        DRCHRONO_URL   = var.drchrono_url
        DRCHRONO_QUOTA = var.drchrono_quota
        TOKEN_SECRET   = google_secret_manager_secret.this["token"].secret_id
      }, local.feed_environment)
      secrets = { DRCHRONO_CLIENT_ID = "client_id", DRCHRONO_CLIENT_SECRET = "client_secret" }
    }

    run_job = {
      says    = "Token refresh, incremental sync, backfill and reconciliation"
      ingress = "ALLOW_INTERNAL_ONLY" # so does Cloud Scheduler
      cpu     = "1"
      # One page of 1,000 verbose appointments is about 10 MB of JSON and ten times that when parsed.
      memory = "1Gi"
      # Each run has its instance for itself: a reconciliation that fails takes no sync with it, and memory is not shared.
      concurrency = 1
      min         = 0
      # The three scheduled jobs and one that a person starts.
      max     = 4
      timeout = local.job_timeout_seconds
      environment = merge({
        DRCHRONO_URL         = var.drchrono_url
        DRCHRONO_QUOTA       = var.drchrono_quota
        TOKEN_SECRET         = google_secret_manager_secret.this["token"].secret_id
        JOB_DEADLINE_SECONDS = tostring(local.job_deadline_seconds)
      }, local.write_environment, local.feed_environment)
      secrets = { DRCHRONO_CLIENT_ID = "client_id", DRCHRONO_CLIENT_SECRET = "client_secret" }
    }

    send_writes = {
      says    = "Sends an entry of the outbox to DrChrono when it is added"
      ingress = "ALLOW_INTERNAL_ONLY" # Eventarc of this project counts as internal
      cpu     = "1"
      memory  = "512Mi"
      # Different records go in parallel; the quota is the limit, as for store_record.
      concurrency = 8
      min         = 0
      max         = 2
      # A token refresh, the write, and the read that brings the record into the copy.
      timeout = 180
      environment = merge({
        DRCHRONO_URL   = var.drchrono_url
        DRCHRONO_QUOTA = var.drchrono_quota
        TOKEN_SECRET   = google_secret_manager_secret.this["token"].secret_id
      }, local.write_environment, local.feed_environment)
      secrets = { DRCHRONO_CLIENT_ID = "client_id", DRCHRONO_CLIENT_SECRET = "client_secret" }
    }
  }

  store_timeout_seconds = 120
  # 15 minutes: long enough for a page of any list at 500 requests an hour, short enough that a run which hangs blocks its
  # job only three ticks of the five-minute sync. What is unfinished continues in the next run.
  job_timeout_seconds = 900
  # A run stops taking new work a minute before it is cut off: one bulk page of 30 s, its writes, and the checkpoint.
  job_deadline_seconds = 840

  # Addresses of accounts are put together from their account_id, which the plan knows: so the plan shows who gets what,
  # and a grant is still made after its account.
  domain  = "${var.project}.iam.gserviceaccount.com"
  members = { for entry, account in google_service_account.function : entry => "serviceAccount:${account.account_id}@${local.domain}" }
}

resource "google_service_account" "function" {
  for_each = toset(concat(["receive_webhook", "store_record", "run_job"], local.writing ? ["send_writes"] : []))

  account_id   = "drchrono-${replace(each.key, "_", "-")}"
  display_name = "Function ${each.key}"
  depends_on   = [google_project_service.this]
}

resource "google_cloudfunctions2_function" "this" {
  for_each = { for entry, it in local.functions : entry => it if local.deployed }

  name         = local.function_names[each.key]
  location     = var.region
  description  = each.value.says
  kms_key_name = var.kms_key

  build_config {
    runtime           = "python313"
    entry_point       = each.key
    service_account   = google_service_account.build.id
    docker_repository = google_artifact_registry_repository.images.id

    source {
      storage_source {
        bucket = google_storage_bucket.source.name
        object = google_storage_bucket_object.package.name
      }
    }

    # Security updates of the base image with each deploy, when the tests have run; not in between, when none have.
    on_deploy_update_policy {}
  }

  service_config {
    service_account_email            = google_service_account.function[each.key].email
    ingress_settings                 = each.value.ingress
    available_cpu                    = each.value.cpu
    available_memory                 = each.value.memory
    max_instance_request_concurrency = each.value.concurrency
    min_instance_count               = each.value.min
    max_instance_count               = each.value.max
    timeout_seconds                  = each.value.timeout
    all_traffic_on_latest_revision   = true

    environment_variables = merge(each.value.environment, {
      GCP_PROJECT        = var.project
      FIRESTORE_DATABASE = google_firestore_database.this.name
      LOG_LEVEL          = var.log_level
      # The server's threads: fewer than the concurrency would queue inside the instance, unseen by the autoscaler.
      THREADS = tostring(each.value.concurrency)
    })

    dynamic "secret_environment_variables" {
      for_each = each.value.secrets
      content {
        key        = secret_environment_variables.key
        project_id = var.project
        secret     = google_secret_manager_secret.this[secret_environment_variables.value].secret_id
        version    = tostring(var.secret_versions[secret_environment_variables.value])
      }
    }
  }

  # Only an entry that is created: what this system writes into it afterwards calls nobody.
  dynamic "event_trigger" {
    for_each = each.key == "send_writes" ? [1] : []
    content {
      trigger_region        = coalesce(var.firestore_location, var.region)
      event_type            = "google.cloud.firestore.document.v1.created"
      retry_policy          = "RETRY_POLICY_RETRY"
      service_account_email = google_service_account.outbox_trigger[0].email

      event_filters {
        attribute = "database"
        value     = google_firestore_database.outbox[0].name
      }
      event_filters {
        attribute = "document"
        value     = "outbox/{entry}"
        operator  = "match-path-pattern"
      }
    }
  }

  # A revision whose account may not yet read its secret, or whose build may not yet push, fails to deploy.
  depends_on = [
    google_artifact_registry_repository_iam_member.build,
    google_project_iam_member.build_logs,
    google_project_iam_member.build_reads_copied_source,
    google_project_iam_member.outbox_trigger,
    google_secret_manager_secret_iam_member.reader,
    google_service_account_iam_member.deployer_acts_as_build,
    google_service_account_iam_member.deployer_acts_as_function,
    google_service_account_iam_member.deployer_acts_as_outbox_trigger,
    google_storage_bucket_iam_member.build,
  ]
}

# DrChrono cannot authenticate to Google: the receiver is open, and the signature is its lock. The only public one.
resource "google_cloud_run_service_iam_member" "public" {
  count = local.deployed ? 1 : 0

  service  = google_cloudfunctions2_function.this["receive_webhook"].name
  location = var.region
  role     = "roles/run.invoker"
  member   = "allUsers"
}

# Deploying a function that runs as an account needs this on that account.
resource "google_service_account_iam_member" "deployer_acts_as_function" {
  for_each = var.deployer == null ? {} : google_service_account.function

  service_account_id = "projects/${var.project}/serviceAccounts/${each.value.account_id}@${local.domain}"
  role               = "roles/iam.serviceAccountUser"
  member             = "serviceAccount:${var.deployer}"
}

resource "google_service_account_iam_member" "deployer_acts_as_build" {
  for_each = toset(var.deployer[*])

  service_account_id = "projects/${var.project}/serviceAccounts/${google_service_account.build.account_id}@${local.domain}"
  role               = "roles/iam.serviceAccountUser"
  member             = "serviceAccount:${each.value}"
}
