# The change feed and the history. With `feed`, other programs of the practice subscribe to a topic that names each stored
# change: kind, id, version and names of fields, never a value. With `history`, earlier states of records are kept in Firestore.

locals {
  # Beside what the functions that store records get.
  feed_environment = merge(
    var.feed ? { DRCHRONO_FEED = var.feed_fillings ? "all" : "on", FEED_TOPIC = google_pubsub_topic.changes[0].name } : {},
    var.history ? { DRCHRONO_HISTORY = tostring(var.history_days) } : {},
  )

  # Who stores records announces them; operators replay.
  feed_publishers = var.feed ? toset(concat(local.api_members, local.operator_members)) : toset([])

  feed_pushed = var.feed && var.feed_push != null

  # Values of patients that nothing queries: an index entry for each leaf would be most of the cost.
  history_unindexed = var.history ? toset(["before", "after", "_sync.json"]) : toset([])
}

resource "google_pubsub_topic" "changes" {
  count = var.feed ? 1 : 0

  name         = "drchrono-changes"
  kms_key_name = var.kms_key

  # One region: the order of messages of a key holds within it.
  message_storage_policy {
    allowed_persistence_regions = [var.region]
  }

  depends_on = [google_project_service.this, google_kms_crypto_key_iam_member.agent]
}

resource "google_pubsub_topic_iam_member" "feed_publisher" {
  for_each = local.feed_publishers

  topic  = google_pubsub_topic.changes[0].name
  role   = "roles/pubsub.publisher"
  member = each.value
}

# What a subscriber could not take in 20 attempts.
resource "google_pubsub_topic" "changes_dead" {
  count = var.feed ? 1 : 0

  name         = "drchrono-changes-dead"
  kms_key_name = var.kms_key

  message_storage_policy {
    allowed_persistence_regions = [var.region]
  }

  depends_on = [google_project_service.this, google_kms_crypto_key_iam_member.agent]
}

resource "google_pubsub_subscription" "changes_dead" {
  count = var.feed ? 1 : 0

  name  = "drchrono-changes-dead-hold"
  topic = google_pubsub_topic.changes_dead[0].name

  ack_deadline_seconds       = 60
  message_retention_duration = "2678400s" # 31 days, the most there is

  expiration_policy {
    ttl = ""
  }
}

resource "google_pubsub_topic_iam_member" "agent_changes_dead" {
  count = var.feed ? 1 : 0

  topic      = google_pubsub_topic.changes_dead[0].name
  role       = "roles/pubsub.publisher"
  member     = local.pubsub_agent
  depends_on = [google_pubsub_topic.changes]
}

# A subscription to copy for each program. Without ordering, messages of one record may overtake each other.
resource "google_pubsub_subscription" "changes_push" {
  count = local.feed_pushed ? 1 : 0

  name  = "drchrono-changes-push"
  topic = google_pubsub_topic.changes[0].name

  enable_message_ordering    = true
  ack_deadline_seconds       = 60
  message_retention_duration = "2678400s"

  expiration_policy {
    ttl = ""
  }

  push_config {
    push_endpoint = var.feed_push
    oidc_token {
      service_account_email = google_service_account.feed_push[0].email
      audience              = var.feed_push
    }
  }

  retry_policy {
    minimum_backoff = "10s"
    maximum_backoff = "600s"
  }

  # In order, a message that is refused holds up those of the same record until it is dead.
  dead_letter_policy {
    dead_letter_topic     = "projects/${var.project}/topics/${google_pubsub_topic.changes_dead[0].name}"
    max_delivery_attempts = 20
  }

  depends_on = [google_pubsub_topic_iam_member.agent_changes_dead, google_service_account_iam_member.agent_signs_feed_push]
}

resource "google_pubsub_subscription_iam_member" "agent_acknowledges_changes" {
  count = local.feed_pushed ? 1 : 0

  subscription = google_pubsub_subscription.changes_push[0].name
  role         = "roles/pubsub.subscriber"
  member       = local.pubsub_agent
}

# Who Pub/Sub is when it calls the subscriber. The subscriber's own service grants it roles/run.invoker.
resource "google_service_account" "feed_push" {
  count = local.feed_pushed ? 1 : 0

  account_id   = "drchrono-feed-push"
  display_name = "Pub/Sub, calling a subscriber of the change feed"
  depends_on   = [google_project_service.this]
}

resource "google_service_account_iam_member" "agent_signs_feed_push" {
  count = local.feed_pushed ? 1 : 0

  service_account_id = "projects/${var.project}/serviceAccounts/${google_service_account.feed_push[0].account_id}@${local.domain}"
  role               = "roles/iam.serviceAccountOpenIdTokenCreator"
  member             = local.pubsub_agent
  depends_on         = [google_pubsub_topic.changes]
}

# `<kind>/<id>/history/<version>`: the same database, the same grants and the same rules as the records.
resource "google_firestore_field" "history_expiring" {
  count = var.history ? 1 : 0

  database   = google_firestore_database.this.name
  collection = "history"
  field      = "_sync.expires_at"

  ttl_config {}
}

resource "google_firestore_field" "history_unindexed" {
  for_each = local.history_unindexed

  database   = google_firestore_database.this.name
  collection = "history"
  field      = each.value

  index_config {}
}
