terraform {
  required_version = ">= 1.11"

  required_providers {
    google = {
      source  = "hashicorp/google"
      version = ">= 6.50, < 9"
    }
  }

  # No backend: the bucket that would hold the state is made here. Output `backend` moves it there afterwards.
}

provider "google" {
  project = var.project
  region  = var.region

  default_labels = { system = "drchrono" }
}
