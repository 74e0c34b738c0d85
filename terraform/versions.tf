terraform {
  required_version = ">= 1.11"

  required_providers {
    google = {
      source = "hashicorp/google"
      # 6.50 is what this module is tested against; nothing that it uses is removed up to 8.x.
      version = ">= 6.50, < 9"
    }
  }

  # Partial: `terraform init -backend-config="bucket=…"`, with the bucket that terraform/bootstrap made.
  backend "gcs" {
    prefix = "drchrono"
  }
}

provider "google" {
  project = var.project
  region  = var.region

  # The budgets and Firebase Rules APIs want to know which project asks. The provider then names it in every call, so whoever
  # plans or applies needs serviceusage.services.use (roles/serviceusage.serviceUsageConsumer).
  billing_project       = var.project
  user_project_override = true

  default_labels = { system = "drchrono" }
}

# Read for its number: Google's own service agents carry it in their addresses.
data "google_project" "this" {
  project_id = var.project
}
