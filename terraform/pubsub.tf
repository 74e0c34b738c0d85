# From the receiver to store_record, by a subscription of our own: the trigger of a function cannot have this back-off,
# these deadlines, a dead letter or 31 days.

locals {
  pubsub_agent = "serviceAccount:service-${data.google_project.this.number}@gcp-sa-pubsub.iam.gserviceaccount.com"
}

resource "google_pubsub_topic" "events" {
  name         = "drchrono-events"
  kms_key_name = var.kms_key

  message_storage_policy {
    allowed_persistence_regions = [var.region]
  }

  depends_on = [google_project_service.this, google_kms_crypto_key_iam_member.agent]
}

resource "google_pubsub_topic_iam_member" "publisher" {
  for_each = toset(concat(
    [local.members.receive_webhook],
    local.operator_members, # who sends dead letters again
  ))

  topic  = google_pubsub_topic.events.name
  role   = "roles/pubsub.publisher"
  member = each.value
}

resource "google_pubsub_topic" "dead_letters" {
  name         = "drchrono-events-dead"
  kms_key_name = var.kms_key

  message_storage_policy {
    allowed_persistence_regions = [var.region]
  }

  depends_on = [google_project_service.this, google_kms_crypto_key_iam_member.agent]
}

resource "google_pubsub_subscription" "events" {
  count = local.deployed ? 1 : 0

  name  = "drchrono-events-store-record"
  topic = google_pubsub_topic.events.name

  # Longer than the function may run (120 s), with room for its start: a message that is still being worked on does
  # not come a second time.
  ack_deadline_seconds = 180
  # 31 days, the most there is: a function that is down, or stopped on purpose, loses nothing meanwhile.
  message_retention_duration = "2678400s"

  expiration_policy {
    ttl = "" # never; the default would delete the subscription after 31 quiet days
  }

  push_config {
    push_endpoint = google_cloudfunctions2_function.this["store_record"].service_config[0].uri
    oidc_token {
      service_account_email = google_service_account.push.email
      audience              = google_cloudfunctions2_function.this["store_record"].service_config[0].uri
    }
  }

  retry_policy {
    minimum_backoff = "10s"
    maximum_backoff = "600s"
  }

  # Only a message that can be neither stored nor noted as pending fails again and again. 10, 20, 40 … 600 s: the 20th
  # attempt is two and a half hours after the first, which outlasts most outages of Firestore.
  dead_letter_policy {
    dead_letter_topic     = "projects/${var.project}/topics/${google_pubsub_topic.dead_letters.name}"
    max_delivery_attempts = 20
  }

  # Without them dead-lettering would silently do nothing, and pushes would be refused.
  depends_on = [
    google_cloud_run_service_iam_member.push,
    google_pubsub_topic_iam_member.agent_dead_letters,
    google_service_account_iam_member.agent_signs_push,
  ]
}

# Who Pub/Sub is when it calls store_record.
resource "google_service_account" "push" {
  account_id   = "drchrono-push"
  display_name = "Pub/Sub, calling store_record"
  depends_on   = [google_project_service.this]
}

resource "google_cloud_run_service_iam_member" "push" {
  count = local.deployed ? 1 : 0

  service  = google_cloudfunctions2_function.this["store_record"].name
  location = var.region
  role     = "roles/run.invoker"
  member   = "serviceAccount:${google_service_account.push.account_id}@${local.domain}"
}

# Only the identity token of this one account: Token Creator would also let it become the account.
resource "google_service_account_iam_member" "agent_signs_push" {
  service_account_id = "projects/${var.project}/serviceAccounts/${google_service_account.push.account_id}@${local.domain}"
  role               = "roles/iam.serviceAccountOpenIdTokenCreator"
  member             = local.pubsub_agent
  depends_on         = [google_pubsub_topic.events] # the agent exists once there is a topic
}

# The two grants that dead-lettering needs: to put the message there, and to take it off here.
resource "google_pubsub_topic_iam_member" "agent_dead_letters" {
  topic      = google_pubsub_topic.dead_letters.name
  role       = "roles/pubsub.publisher"
  member     = local.pubsub_agent
  depends_on = [google_pubsub_topic.events]
}

resource "google_pubsub_subscription_iam_member" "agent_acknowledges" {
  count = local.deployed ? 1 : 0

  subscription = google_pubsub_subscription.events[0].name
  role         = "roles/pubsub.subscriber"
  member       = local.pubsub_agent
}

# A topic without a subscription forgets: this one holds dead letters until a person has looked (`python -m ops dead-letters`).
resource "google_pubsub_subscription" "dead_letters" {
  name  = "drchrono-events-dead-hold"
  topic = google_pubsub_topic.dead_letters.name

  ack_deadline_seconds       = 60
  message_retention_duration = "2678400s" # 31 days, the most there is

  expiration_policy {
    ttl = ""
  }
}

resource "google_pubsub_subscription_iam_member" "operator_reads_dead_letters" {
  for_each = var.operators

  subscription = google_pubsub_subscription.dead_letters.name
  role         = "roles/pubsub.subscriber"
  member       = each.value
}
