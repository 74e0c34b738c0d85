# Metrics from log lines. metrics.json is the table: name -> {says, label (the line's `message`), value_field (null: count
# the lines), unit, label_fields}. It is JSON so that a test can hold it against the lines that the code writes.

locals {
  # Those of the outbox and of the feed only where they are used.
  metrics = {
    for name, metric in jsondecode(file("${path.module}/metrics.json")) : name => metric
    if(local.writing || !startswith(name, "outbox_")) && (var.feed || !startswith(name, "feed_"))
  }

  # Logged by our functions, and by nothing else that runs in the project.
  function_lines = format(
    "resource.type=\"cloud_run_revision\" AND resource.labels.service_name=(%s)",
    join(" OR ", [for name in sort(values(local.function_names)) : "\"${name}\""]),
  )
  filters = { for name, metric in local.metrics : name => "${local.function_lines} AND jsonPayload.message=\"${metric.label}\"" }

  # Fine enough that a percentile is off by a tenth at most: 0.1 s to 80 days, 1 ms to 95 s, 1 to 12,000, and shares by 2 %.
  buckets = {
    s  = { scale = 0.1, growth = 1.1, count = 190 }
    ms = { scale = 1, growth = 1.1, count = 120 }
    1  = { scale = 1, growth = 1.1, count = 100 }
  }

  metric_prefix = "logging.googleapis.com/user/drchrono_"
}

resource "google_logging_metric" "this" {
  for_each = local.metrics

  name        = "drchrono_${each.key}"
  description = each.value.says
  filter      = local.filters[each.key]

  value_extractor  = each.value.value_field == null ? null : "EXTRACT(jsonPayload.${each.value.value_field})"
  label_extractors = { for field in each.value.label_fields : field => "EXTRACT(jsonPayload.${field})" }

  metric_descriptor {
    metric_kind = "DELTA"
    value_type  = each.value.value_field == null ? "INT64" : "DISTRIBUTION"
    unit        = each.value.unit == "share" ? "1" : each.value.unit

    dynamic "labels" {
      for_each = each.value.label_fields
      content {
        key        = labels.value
        value_type = "STRING"
      }
    }
  }

  dynamic "bucket_options" {
    for_each = each.value.value_field == null ? [] : [each.value.unit]
    content {
      dynamic "linear_buckets" {
        for_each = bucket_options.value == "share" ? [1] : []
        content {
          offset             = 0
          width              = 0.02
          num_finite_buckets = 55
        }
      }
      dynamic "exponential_buckets" {
        for_each = bucket_options.value == "share" ? [] : [local.buckets[bucket_options.value]]
        content {
          scale              = exponential_buckets.value.scale
          growth_factor      = exponential_buckets.value.growth
          num_finite_buckets = exponential_buckets.value.count
        }
      }
    }
  }

  depends_on = [google_project_service.this]
}
