# Four triggers. `check`, `test` and `plan` run cloudbuild.yaml of the commit; _STAGE says which of its steps. `apply` has
# its steps here, out of reach of a merge: what runs as the deployer changes only when a person applies this module.

locals {
  substitutions = {
    _STATE_BUCKET = google_storage_bucket.state.name
    _ENVIRONMENT  = var.environment
    _REGION       = var.region
  }
  # A build runs with the state and settings it read: what does not change a deployment starts none.
  not_deployed = ["docs/**", "benchmarks/**", "*.md"]

  # As in cloudbuild.yaml, which says where the digests come from.
  images = {
    gcloud    = "gcr.io/google.com/cloudsdktool/google-cloud-cli:528.0.0"
    terraform = "hashicorp/terraform:1.11.4@sha256:5820b87995595425074f881500a037b0ccd41158d0d9b44d78f5f120612f2d3d"
  }

  apply_steps = {
    fetch = {
      image  = local.images.gcloud
      script = <<-EOT
        #!/usr/bin/env bash
        set -euo pipefail
        mkdir -p build
        for file in functions.zip plan.bin terraform.tgz; do
          gcloud storage cp "gs://$STATE_BUCKET/plans/$PLAN/$file" "build/$file"
        done
        tar -xzf build/terraform.tgz
        mv build/plan.bin terraform/plan.bin
      EOT
    }
    # Terraform refuses a plan that was made for another state than the one it meets.
    apply = {
      image  = local.images.terraform
      script = <<-EOT
        #!/bin/sh
        set -eu
        cd terraform
        export TF_IN_AUTOMATION=1
        terraform init -input=false -no-color -lockfile=readonly -backend-config="bucket=$STATE_BUCKET"
        terraform show -no-color plan.bin
        terraform apply -input=false -no-color -lock-timeout=10m plan.bin
        terraform output -raw webhook_url >../webhook_url
        terraform output -raw webhook_secret >../webhook_secret
      EOT
    }
    # DrChrono's ownership check, a signed PING and a forged one, against what is now deployed. The secret goes from
    # Secret Manager to the script by a pipe.
    smoke-test = {
      image  = local.images.gcloud
      script = <<-EOT
        #!/usr/bin/env bash
        set -euo pipefail
        gcloud secrets versions access "$(cat webhook_secret)" |
          python3 terraform/smoke_test.py "$(cat webhook_url)"
      EOT
    }
  }
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

# What was merged is tested by the account that runs the checks, and planned by one that may read what is deployed.
resource "google_cloudbuild_trigger" "merge" {
  for_each = var.repository == null ? {} : {
    test = { says = "Merge: lint, types, tests", account = "checker" }
    plan = { says = "Merge: package and plan, which are kept", account = "planner" }
  }

  name            = "drchrono-${each.key}"
  description     = each.value.says
  location        = var.region
  service_account = local.account_names[each.value.account]
  filename        = "cloudbuild.yaml"
  substitutions   = merge(local.substitutions, { _STAGE = each.key, _ACCOUNT = "drchrono-${each.value.account}" })
  ignored_files   = local.not_deployed

  repository_event_config {
    repository = var.repository
    push {
      branch = "^${var.branch}$"
    }
  }

  depends_on = [google_project_iam_member.checker, google_project_iam_member.planner]
}

moved {
  from = google_cloudbuild_trigger.test[0]
  to   = google_cloudbuild_trigger.merge["test"]
}

moved {
  from = google_cloudbuild_trigger.plan[0]
  to   = google_cloudbuild_trigger.merge["plan"]
}

# The planner asks for an apply by a message. To start the trigger itself it would have to act as the deployer, and could then
# run anything as the deployer without approval.
resource "google_pubsub_topic" "apply" {
  count = var.repository == null ? 0 : 1

  name = "drchrono-apply"

  depends_on = [google_project_service.this]
}

resource "google_pubsub_topic_iam_member" "planner_asks" {
  count = var.repository == null ? 0 : 1

  topic  = google_pubsub_topic.apply[0].name
  role   = "roles/pubsub.publisher"
  member = local.planner_member
}

resource "google_cloudbuild_trigger" "apply" {
  count = var.repository == null ? 0 : 1

  name            = "drchrono-apply"
  description     = "Applies the plan that was kept, after approval, and tests what was deployed"
  location        = var.region
  service_account = local.account_names.deployer

  pubsub_config {
    topic = "projects/${var.project}/topics/${google_pubsub_topic.apply[0].name}"
  }

  # A plan is named by the id of the build that made it.
  substitutions = { _PLAN = "$(body.message.attributes.plan)" }
  filter        = "_PLAN.matches('^[0-9a-f-]{36}$')"

  approval_config {
    approval_required = var.approval
  }

  build {
    timeout = "3600s"

    dynamic "step" {
      for_each = ["fetch", "apply", "smoke-test"]
      content {
        id     = step.value
        name   = local.apply_steps[step.value].image
        script = local.apply_steps[step.value].script
        # Substitutions reach a script as environment variables, so that none is pasted into its text.
        env = ["PLAN=$_PLAN", "STATE_BUCKET=${google_storage_bucket.state.name}"]
      }
    }

    options {
      logging = "CLOUD_LOGGING_ONLY"
    }
  }

  depends_on = [google_project_iam_member.deployer, google_project_iam_member.deployer_custom, google_project_iam_member.deployer_grants]
}
