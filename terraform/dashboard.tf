# One page that answers "is it well?": what comes in, how fast it is stored, what waits, and what could run out.

locals {
  # Charts: title -> lines. A line is a metric of metrics.json, how each series is aligned and reduced, and what it is
  # grouped by. Three to a row, in this order.
  charts = [
    { title = "Webhooks by kind (per 5 min)", unit = "", lines = [{ metric = "webhook_accepted", align = "ALIGN_DELTA", reduce = "REDUCE_SUM", by = ["kind"] }] },
    { title = "Webhooks refused, by reason (per 5 min)", unit = "", lines = [
      { metric = "webhook_rejected", align = "ALIGN_DELTA", reduce = "REDUCE_SUM", by = ["reason"] },
      { metric = "webhook_not_durable", align = "ALIGN_DELTA", reduce = "REDUCE_SUM", by = [], name = "could not be made durable" },
    ] },
    { title = "Webhook answered within (ms)", unit = "ms", lines = [
      { metric = "webhook_ms", align = "ALIGN_DELTA", reduce = "REDUCE_PERCENTILE_50", by = [], name = "p50" },
      { metric = "webhook_ms", align = "ALIGN_DELTA", reduce = "REDUCE_PERCENTILE_95", by = [], name = "p95" },
    ] },

    { title = "Events by kind and outcome (per 5 min)", unit = "", lines = [{ metric = "event_done", align = "ALIGN_DELTA", reduce = "REDUCE_SUM", by = ["kind", "outcome"] }] },
    { title = "From webhook to stored (s)", unit = "s", lines = [
      { metric = "event_seconds", align = "ALIGN_DELTA", reduce = "REDUCE_PERCENTILE_50", by = [], having = { outcome = "stored" }, name = "p50" },
      { metric = "event_seconds", align = "ALIGN_DELTA", reduce = "REDUCE_PERCENTILE_95", by = [], having = { outcome = "stored" }, name = "p95" },
    ] },
    { title = "Copy complete up to … ago, by kind (s)", unit = "s", lines = [{ metric = "kind_lag_seconds", align = "ALIGN_PERCENTILE_99", reduce = "REDUCE_MAX", by = ["kind"] }] },

    { title = "Pending records by reason", unit = "", lines = [{ metric = "pending_count", align = "ALIGN_PERCENTILE_99", reduce = "REDUCE_MAX", by = ["reason"] }] },
    { title = "Oldest pending record, by reason (s)", unit = "s", lines = [{ metric = "pending_oldest_seconds", align = "ALIGN_PERCENTILE_99", reduce = "REDUCE_MAX", by = ["reason"] }] },
    { title = "Access token: life left (s)", unit = "s", lines = [{ metric = "token_expires_in_seconds", align = "ALIGN_PERCENTILE_05", reduce = "REDUCE_MIN", by = [] }] },

    { title = "Requests to DrChrono by answer (per 5 min)", unit = "", lines = [{ metric = "api_requests", align = "ALIGN_DELTA", reduce = "REDUCE_SUM", by = ["status"] }] },
    { title = "Quota used (share)", unit = "1", lines = [{ metric = "quota_share", align = "ALIGN_PERCENTILE_99", reduce = "REDUCE_MAX", by = [] }] },
    { title = "DrChrono answers within (ms, p95)", unit = "ms", lines = [{ metric = "api_ms", align = "ALIGN_DELTA", reduce = "REDUCE_PERCENTILE_95", by = ["kind"] }] },

    { title = "Kinds that cannot be listed, since (s)", unit = "s", lines = [{ metric = "kind_problem_seconds", align = "ALIGN_PERCENTILE_99", reduce = "REDUCE_MAX", by = ["kind", "reason"] }] },
    { title = "Lists that failed or were refused (per hour)", unit = "", period = 3600, lines = [
      { metric = "kind_failed", align = "ALIGN_DELTA", reduce = "REDUCE_SUM", by = ["kind", "reason"] },
      { metric = "list_narrowed", align = "ALIGN_DELTA", reduce = "REDUCE_SUM", by = ["kind"], name = "narrower lists are read" },
    ] },
    { title = "Held deletions and missing permissions (runs per hour)", unit = "", period = 3600, lines = [
      { metric = "deletions_held", align = "ALIGN_DELTA", reduce = "REDUCE_SUM", by = ["kind"] },
      { metric = "coverage_missing", align = "ALIGN_DELTA", reduce = "REDUCE_SUM", by = ["reason"] },
    ] },

    { title = "Runs by job and what stopped them (per hour)", unit = "", period = 3600, lines = [
      { metric = "job_done", align = "ALIGN_DELTA", reduce = "REDUCE_SUM", by = ["job", "stopped"] },
      { metric = "job_failed", align = "ALIGN_DELTA", reduce = "REDUCE_SUM", by = ["job", "reason"], name = "failed" },
    ] },
    { title = "Length of a run, by job (s, p95)", unit = "s", lines = [{ metric = "job_seconds", align = "ALIGN_DELTA", reduce = "REDUCE_PERCENTILE_95", by = ["job"] }] },
    { title = "Crashes and unusable messages (per 5 min)", unit = "", lines = [
      { metric = "function_crashed", align = "ALIGN_DELTA", reduce = "REDUCE_SUM", by = ["function"] },
      { metric = "event_unusable", align = "ALIGN_DELTA", reduce = "REDUCE_SUM", by = ["reason"], name = "unusable" },
    ] },
  ]

  # The API leaves zeros and empty values out of its answer, and the provider compares: what is written here and not
  # answered would be a change in every later plan.
  chart_tiles = [
    for i, chart in local.charts : { for name, value in {
      xPos   = (i % 3) * 16
      yPos   = floor(i / 3) * 16
      width  = 16
      height = 16
      widget = {
        title = chart.title
        xyChart = {
          yAxis = { scale = "LINEAR" }
          dataSets = [
            for line in chart.lines : { for name, value in {
              plotType       = "LINE"
              targetAxis     = "Y1"
              legendTemplate = try(line.name, join(" ", [for field in line.by : "$${metric.labels.${field}}"]))
              timeSeriesQuery = {
                unitOverride = chart.unit == "" ? "1" : chart.unit
                timeSeriesFilter = {
                  filter = join(" AND ", concat(
                    ["metric.type=\"${local.metric_prefix}${line.metric}\"", "resource.type=\"cloud_run_revision\""],
                    [for field, value in try(line.having, {}) : "metric.labels.${field}=\"${value}\""],
                  ))
                  aggregation = merge(
                    {
                      alignmentPeriod    = "${try(chart.period, 300)}s"
                      perSeriesAligner   = line.align
                      crossSeriesReducer = line.reduce
                    },
                    length(line.by) == 0 ? {} : { groupByFields = [for field in line.by : "metric.label.\"${field}\""] },
                  )
                }
              }
            } : name => value if value != "" }
          ]
        }
      }
    } : name => value if value != 0 }
  ]

  other_tiles = [
    {
      yPos   = ceil(length(local.charts) / 3) * 16
      width  = 16
      height = 16
      widget = {
        title = "Dead letters"
        scorecard = {
          timeSeriesQuery = {
            timeSeriesFilter = {
              filter      = "metric.type=\"pubsub.googleapis.com/subscription/num_undelivered_messages\" AND resource.type=\"pubsub_subscription\" AND resource.labels.subscription_id=\"${google_pubsub_subscription.dead_letters.name}\""
              aggregation = { alignmentPeriod = "300s", perSeriesAligner = "ALIGN_MAX", crossSeriesReducer = "REDUCE_MAX" }
            }
          }
          thresholds = [{ value = 0.5, color = "RED", direction = "ABOVE" }]
        }
      }
    },
    {
      xPos   = 16
      yPos   = ceil(length(local.charts) / 3) * 16
      width  = 32
      height = 16
      widget = {
        title = "Warnings and errors"
        logsPanel = {
          filter        = "${local.function_lines} AND severity>=WARNING"
          resourceNames = ["projects/${var.project}"]
        }
      }
    },
  ]
}

resource "google_monitoring_dashboard" "this" {
  dashboard_json = jsonencode({
    displayName  = "DrChrono"
    mosaicLayout = { columns = 48, tiles = concat(local.chart_tiles, local.other_tiles) }
  })

  depends_on = [google_logging_metric.this]
}
