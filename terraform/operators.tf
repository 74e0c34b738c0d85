# What operators need on the project: to see what is deployed and its logs, and to start, pause and resume jobs. What they
# need on charts, secrets, topics and subscriptions is granted beside each of these.

locals {
  operator_members = tolist(var.operators)
  # Made by terraform/bootstrap, because whoever can change a custom role can give it anything.
  operator_role = "projects/${var.project}/roles/drchronoOperator"
}

resource "google_project_iam_member" "operator" {
  for_each = var.operators

  project = var.project
  role    = local.operator_role
  member  = each.value
}
