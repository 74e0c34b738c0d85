variable "project" {
  description = "Id of the Google Cloud project."
  type        = string
  validation {
    condition     = can(regex("^[a-z][a-z0-9-]{4,28}[a-z0-9]$", var.project))
    error_message = "Give the project's id, not its name or number: 6 to 30 lower-case letters, digits and hyphens (see `gcloud projects list`)."
  }
}

variable "region" {
  description = "Where the state is kept and builds run; the same region as the deployment."
  type        = string
  default     = "us-central1"
  validation {
    condition     = can(regex("^[a-z]+-[a-z]+[0-9]+$", var.region))
    error_message = "Give a region such as \"us-central1\", not a zone or a multi-region."
  }
}

variable "environment" {
  description = "Name of this environment: its settings are in environments/NAME.tfvars of the state bucket."
  type        = string
  default     = "prod"
  validation {
    condition     = can(regex("^[a-z][a-z0-9-]{0,20}$", var.environment))
    error_message = "Use lower-case letters, digits and hyphens, for example \"prod\"."
  }
}

variable "repository" {
  description = "The Git repository, as Cloud Build (2nd gen) knows it after it was connected: full name of the linked repository. null: no triggers, people deploy."
  type        = string
  default     = null
  validation {
    condition     = var.repository == null ? true : can(regex("^projects/[^/]+/locations/[^/]+/connections/[^/]+/repositories/[^/]+$", var.repository))
    error_message = "Connect the repository first (docs/deploy.md, \"Deploying from Git\"), and give projects/…/locations/…/connections/…/repositories/… as `gcloud builds repositories list` prints it."
  }
}

variable "branch" {
  description = "The branch whose merges are deployed."
  type        = string
  default     = "main"
  validation {
    condition     = can(regex("^[A-Za-z0-9._/-]+$", var.branch))
    error_message = "Give the branch's name, not a pattern."
  }
}

variable "approval" {
  description = "Whether a person approves each plan before it is applied. true wherever there are charts."
  type        = bool
  default     = true
}

variable "approvers" {
  description = "Who may approve."
  type        = set(string)
  default     = []
  validation {
    condition     = alltrue([for m in var.approvers : can(regex("^(user|group):[^@ ]+@[^@ ]+$", m))])
    error_message = "Write each as \"group:name@domain\" or \"user:name@domain\": a machine cannot approve."
  }
}
