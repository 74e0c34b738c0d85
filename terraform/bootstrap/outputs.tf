output "state_bucket" {
  description = "For `terraform init -backend-config=bucket=…` in terraform/, and for the settings of the environment."
  value       = google_storage_bucket.state.name
}

output "deployer" {
  description = "Variable `deployer` of terraform/."
  value       = local.addresses.deployer
}

output "settings" {
  description = "Where the builds read the settings of this environment; put your tfvars there."
  value       = "gs://${google_storage_bucket.state.name}/environments/${var.environment}.tfvars"
}

output "backend" {
  description = "Moves this module's own state into the bucket: docs/deploy.md, step 2"
  value       = <<-EOT
    terraform {
      backend "gcs" {
        bucket = "${google_storage_bucket.state.name}"
        prefix = "bootstrap"
      }
    }
  EOT
}
