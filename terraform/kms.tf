# Optional customer-managed key. The key is the practice's own: it must outlive this deployment, so it is not made here.
# Google's service agents do the encrypting, each for its service.

locals {
  encrypting_agents = var.kms_key == null ? {} : {
    artifact_registry = "gcp-sa-artifactregistry"
    cloud_functions   = "gcf-admin-robot"
    cloud_run         = "serverless-robot-prod"
    firestore         = "gcp-sa-firestore"
    pubsub            = "gcp-sa-pubsub"
    secret_manager    = "gcp-sa-secretmanager"
    storage           = "gs-project-accounts"
  }
}

# Reading it makes the agent of Cloud Storage, which a project has only when somebody has asked for it
# (cloud.google.com/storage/docs/getting-service-agent). The other agents: docs/deploy.md, "A key of your own".
data "google_storage_project_service_account" "this" {
  count = var.kms_key == null ? 0 : 1

  project    = var.project
  depends_on = [google_project_service.this]
}

resource "google_kms_crypto_key_iam_member" "agent" {
  for_each = local.encrypting_agents

  crypto_key_id = var.kms_key
  role          = "roles/cloudkms.cryptoKeyEncrypterDecrypter"
  member = format(
    "serviceAccount:service-%s@%s.iam.gserviceaccount.com", data.google_project.this.number, each.value
  )

  depends_on = [google_project_service.this, data.google_storage_project_service_account.this]
}
