# One cloudbuild.yaml, three triggers: _STAGE says which of its steps run.

locals {
  substitutions = {
    _STATE_BUCKET = google_storage_bucket.state.name
    _ENVIRONMENT  = var.environment
    _REGION       = var.region
  }
  # A build runs with the state and settings it read: what does not change a deployment starts none.
  not_deployed = ["docs/**", "benchmarks/**", "*.md"]
}

resource "google_cloudbuild_trigger" "check" {
  count = var.repository == null ? 0 : 1

  name            = "drchrono-check"
  description     = "Pull request: lint, types, tests, Terraform plan"
  location        = var.region
  service_account = local.account_names.checker
  filename        = "cloudbuild.yaml"
  substitutions   = merge(local.substitutions, { _STAGE = "check", _ACCOUNT = google_service_account.checker.account_id })

  repository_event_config {
    repository = var.repository
    pull_request {
      branch = "^${var.branch}$"
      # Who is not a member of the repository gets a build when a member has looked and comments /gcbrun.
      comment_control = "COMMENTS_ENABLED_FOR_EXTERNAL_CONTRIBUTORS_ONLY"
    }
  }

  depends_on = [google_project_iam_member.checker]
}

resource "google_cloudbuild_trigger" "plan" {
  count = var.repository == null ? 0 : 1

  name            = "drchrono-plan"
  description     = "Merge: the same checks, then package and plan, which are kept"
  location        = var.region
  service_account = local.account_names.deployer
  filename        = "cloudbuild.yaml"
  substitutions   = merge(local.substitutions, { _STAGE = "plan", _ACCOUNT = google_service_account.deployer.account_id })
  ignored_files   = local.not_deployed

  repository_event_config {
    repository = var.repository
    push {
      branch = "^${var.branch}$"
    }
  }

  depends_on = [google_project_iam_member.deployer]
}

# Started by the plan's build, and by a person to go back to an earlier commit's plan.
resource "google_cloudbuild_trigger" "apply" {
  count = var.repository == null ? 0 : 1

  name            = "drchrono-apply"
  description     = "Applies the plan that was kept, after approval, and tests what was deployed"
  location        = var.region
  service_account = local.account_names.deployer
  substitutions = merge(local.substitutions, {
    _STAGE   = "apply"
    _ACCOUNT = google_service_account.deployer.account_id
    _PLAN    = "given by the plan's build"
  })

  source_to_build {
    repository = var.repository
    ref        = "refs/heads/${var.branch}"
    repo_type  = "GITHUB"
  }
  git_file_source {
    path       = "cloudbuild.yaml"
    repository = var.repository
    revision   = "refs/heads/${var.branch}"
    repo_type  = "GITHUB"
  }

  approval_config {
    approval_required = var.approval
  }

  depends_on = [google_project_iam_member.deployer]
}
