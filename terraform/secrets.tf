# Secrets without values: a value is added by a person (`terraform output next`) or by the system itself (the token),
# never by Terraform, so that none is in its state.

locals {
  secrets = {
    webhook       = "drchrono-webhook-secret"
    client_id     = "drchrono-client-id"
    client_secret = "drchrono-client-secret"
    token         = "drchrono-oauth-token"
  }

  # Who reads which.
  secret_readers = {
    webhook       = concat([local.members.receive_webhook], local.operator_members) # `doctor` signs a PING
    client_id     = concat(local.api_members, local.operator_members)
    client_secret = concat(local.api_members, local.operator_members)
    token         = concat(local.api_members, local.operator_members)
  }
  api_members = concat(
    [local.members.store_record, local.members.run_job],
    local.writing ? [local.members.send_writes] : [],
  )
}

resource "google_secret_manager_secret" "this" {
  for_each = local.secrets

  secret_id           = each.value
  deletion_protection = true

  # In the one region where the functions run: elsewhere nobody would read them.
  replication {
    user_managed {
      replicas {
        location = var.region
        dynamic "customer_managed_encryption" {
          for_each = var.kms_key[*]
          content {
            kms_key_name = customer_managed_encryption.value
          }
        }
      }
    }
  }

  depends_on = [google_project_service.this, google_kms_crypto_key_iam_member.agent]
}

resource "google_secret_manager_secret_iam_member" "reader" {
  for_each = merge([
    for secret, members in local.secret_readers : {
      for member in members : "${secret} ${member}" => { secret = secret, member = member }
    }
  ]...)

  secret_id = google_secret_manager_secret.this[each.value.secret].secret_id
  role      = "roles/secretmanager.secretAccessor"
  member    = each.value.member
}

# A refreshed token is added as a version, and the version that it replaces is destroyed. Version Manager is the least
# predefined role that destroys; it can add too, so Version Adder beside it would say nothing more. It cannot read.
resource "google_secret_manager_secret_iam_member" "token_keeper" {
  for_each = toset(concat(local.api_members, local.operator_members))

  secret_id = google_secret_manager_secret.this["token"].secret_id
  role      = "roles/secretmanager.secretVersionManager"
  member    = each.value
}

# Take-over from an integration that kept two secrets. They are its own, not ours: read, never written, and given up
# with the variable when the first pair of our own is stored.
resource "google_secret_manager_secret_iam_member" "legacy_reader" {
  for_each = var.legacy_token_secrets ? {
    for pair in setproduct(["drchrono-access-token", "drchrono-refresh-token"], local.api_members) :
    "${pair[0]} ${pair[1]}" => { secret = pair[0], member = pair[1] }
  } : {}

  project   = var.project
  secret_id = each.value.secret
  role      = "roles/secretmanager.secretAccessor"
  member    = each.value.member
}

# The smoke test after a deploy signs a PING, as DrChrono does.
resource "google_secret_manager_secret_iam_member" "deployer_signs_ping" {
  for_each = toset(var.deployer[*])

  secret_id = google_secret_manager_secret.this["webhook"].secret_id
  role      = "roles/secretmanager.secretAccessor"
  member    = "serviceAccount:${each.value}"
}
