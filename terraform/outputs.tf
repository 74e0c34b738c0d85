output "webhook_url" {
  description = "The callback URL for DrChrono's API console. After saving it there, press \"Verify webhook\"."
  value       = local.deployed ? google_cloudfunctions2_function.this["receive_webhook"].service_config[0].uri : null
}

output "webhook_secret" {
  description = "The version of the webhook's secret that is deployed, by name, for the smoke test."
  value       = local.deployed ? "projects/${var.project}/secrets/${local.secrets.webhook}/versions/${var.secret_versions.webhook}" : null
}

output "ops_environment" {
  description = "What `python -m ops` must know of this deployment: eval \"$(terraform -chdir=terraform output -raw ops_environment)\". Values of secrets are fetched by the shell, and are in no output."
  value = join("\n", concat(
    [
      for name, value in merge({
        GCP_PROJECT        = var.project
        FIRESTORE_DATABASE = var.firestore_database
        EVENTS_TOPIC       = google_pubsub_topic.events.name
        TOKEN_SECRET       = local.secrets.token
        DRCHRONO_URL       = var.drchrono_url
        DRCHRONO_QUOTA     = var.drchrono_quota
      }, local.write_environment, local.feed_environment) : "export ${name}='${value}'"
    ],
    local.deployed ? [
      for name, secret in { DRCHRONO_CLIENT_ID = "client_id", DRCHRONO_CLIENT_SECRET = "client_secret" } :
      "export ${name}=\"$(gcloud secrets versions access projects/${var.project}/secrets/${local.secrets[secret]}/versions/${var.secret_versions[secret]})\""
    ] : [],
  ))
}

output "authorize" {
  description = "Connects the deployment with a DrChrono user, and again whenever the alert \"must be authorized again\" comes."
  value       = "python -m ops authorize --project ${var.project}"
}

output "redirect_uri" {
  description = "What to enter as redirect URI of the application in DrChrono's API console, for `authorize`."
  value       = "http://127.0.0.1:8765/callback"
}

output "add_secrets" {
  description = "Commands that ask for each value (nothing is shown or kept in the shell's history) and add it as a version."
  value = join("\n", [
    for key in ["webhook", "client_id", "client_secret"] : format(
      "read -rsp '%s: ' value && echo && printf %%s \"$value\" | gcloud secrets versions add %s --data-file=- --project=%s; unset value",
      local.secrets[key], google_secret_manager_secret.this[key].secret_id, var.project,
    )
  ])
}

output "next" {
  description = "What to do after this apply, from the top folder of the repository."
  value = local.deployed ? join("\n", [
    "Smoke test:    gcloud secrets versions access projects/${var.project}/secrets/${local.secrets.webhook}/versions/${var.secret_versions.webhook} | python3 terraform/smoke_test.py ${google_cloudfunctions2_function.this["receive_webhook"].service_config[0].uri}",
    "Authorize:     python -m ops authorize --project ${var.project}",
    "Look:          python -m ops status --project ${var.project}",
    ]) : join("\n", [
    "1. Add the values:   bash -c \"$(terraform -chdir=terraform output -raw add_secrets)\"",
    "2. In your tfvars:   secret_versions = { webhook = 1, client_id = 1, client_secret = 1 }",
    "3. terraform apply   once more: it makes the functions and what calls them.",
  ])
}

output "run_job" {
  description = "Runs a job now, as Cloud Scheduler does."
  value       = { for job in keys(local.jobs) : job => "gcloud scheduler jobs run drchrono-${job} --project=${var.project} --location=${var.region}" }
}

output "dead_letter_subscription" {
  description = "Holds what could not be stored, 31 days. `python -m ops dead-letters` reads it."
  value       = google_pubsub_subscription.dead_letters.id
}

output "dashboard" {
  description = "Link to the dashboard."
  value       = "https://console.cloud.google.com/monitoring/dashboards/builder/${element(split("/", google_monitoring_dashboard.this.id), -1)}?project=${var.project}"
}

output "package" {
  description = "Which code is deployed: the SHA-256 of the zip, as `make package` prints it."
  value       = filesha256(var.package)
}
