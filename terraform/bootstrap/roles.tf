# Custom roles live here, out of the deployer's reach: whoever can change a custom role can put anything into it.

# What the receiver needs to write to the pending list when Pub/Sub refuses a webhook: get, create and update of documents
# that it can name, in a transaction. No list and no query (entities.list), no delete. What each call needs:
# cloud.google.com/firestore/docs/security/iam. terraform/firestore.tf grants it, on one database.
resource "google_project_iam_custom_role" "fallback_writer" {
  role_id     = "drchronoFallbackWriter"
  title       = "DrChrono fallback writer"
  description = "Writes pending entries when Pub/Sub refuses a webhook"
  permissions = [
    "datastore.databases.get", # begins and rolls back a transaction
    "datastore.entities.create",
    "datastore.entities.get",
    "datastore.entities.update",
  ]
}

# What is left of secretmanager.admin and datastore.owner without reading a secret's value or a chart, and without deleting.
resource "google_project_iam_custom_role" "deployer" {
  role_id     = "drchronoDeployer"
  title       = "DrChrono deployer"
  description = "Makes secrets and the database, without reading or deleting them"
  permissions = [
    "datastore.databases.create",
    "datastore.databases.getMetadata",
    "datastore.databases.list",
    "datastore.databases.update",
    "datastore.operations.get",
    "datastore.operations.list",
    "secretmanager.secrets.create",
    "secretmanager.secrets.get",
    "secretmanager.secrets.getIamPolicy",
    "secretmanager.secrets.list",
    "secretmanager.secrets.setIamPolicy",
    "secretmanager.secrets.update",
  ]
}
