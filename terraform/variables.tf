# Required: the four that only the practice can know.

variable "project" {
  description = "Id of the Google Cloud project. Use one project per environment, and one that holds nothing else."
  type        = string
  validation {
    condition     = can(regex("^[a-z][a-z0-9-]{4,28}[a-z0-9]$", var.project))
    error_message = "Give the project's id, not its name or number: 6 to 30 lower-case letters, digits and hyphens, for example \"my-practice-prod\" (see `gcloud projects list`)."
  }
}

variable "package" {
  description = "Path of the zip that `make package` writes. Its hash names the object, so that a changed tree, and nothing else, deploys."
  type        = string
  validation {
    condition     = fileexists(var.package)
    error_message = "There is no file at this path: run `make package` first and give the path of the zip it prints, seen from this folder, for example \"../build/functions.zip\"."
  }
}

variable "secret_versions" {
  description = <<-EOT
    Which version of each secret the functions get as environment variable. null means: no secret has a value yet, so
    make everything except the functions and what calls them. That is the first apply; it prints the commands
    that add the values. Then give the numbers. Rotating a secret is adding a version and raising its number here: all
    instances change together and the change is in the plan, which "latest" would do at random and unseen.
  EOT
  type = object({
    webhook       = number
    client_id     = number
    client_secret = number
  })
  validation {
    condition     = var.secret_versions == null ? true : alltrue([for n in values(var.secret_versions) : n >= 1 && floor(n) == n])
    error_message = "Secret versions count from 1: give the numbers that `gcloud secrets versions list NAME` shows, or null while no secret has a value."
  }
}

variable "alert_emails" {
  description = "Who is told when something needs a person."
  type        = set(string)
  validation {
    condition     = length(var.alert_emails) > 0 && alltrue([for a in var.alert_emails : can(regex("^[^@ ]+@[^@ ]+\\.[^@ ]+$", a))])
    error_message = "Give at least one e-mail address that somebody reads, for example [\"it@practice.example\"]: an alert without a reader is none."
  }
}

# Where things are.

variable "region" {
  description = "Where everything runs."
  type        = string
  default     = "us-central1"
  validation {
    condition     = can(regex("^[a-z]+-[a-z]+[0-9]+$", var.region))
    error_message = "Give a region such as \"us-central1\", not a zone or a multi-region (see `gcloud functions regions list`)."
  }
}

variable "firestore_location" {
  description = "Location of the database; it can never be changed. null: the region. \"nam5\" survives the loss of a region and costs about twice as much."
  type        = string
  default     = null
}

variable "firestore_database" {
  description = "Name of the database. Only \"(default)\" has a free quota."
  type        = string
  default     = "(default)"
  validation {
    condition     = var.firestore_database == "(default)" || can(regex("^[a-z][a-z0-9-]{2,61}[a-z0-9]$", var.firestore_database))
    error_message = "Use \"(default)\", or 4 to 63 lower-case letters, digits and hyphens that begin with a letter."
  }
}

# How the functions work.

variable "drchrono_url" {
  description = "DrChrono's origin. https://app.drchrono.com is the same service."
  type        = string
  default     = "https://drchrono.com"
  validation {
    condition     = can(regex("^https://[a-z0-9.-]+$", var.drchrono_url))
    error_message = "Give the origin alone, with https and without a path or a slash at the end: \"https://drchrono.com\"."
  }
}

variable "drchrono_quota" {
  description = "How many requests DrChrono grants this application, one window or several. Real applications often have 500/hour: ask api@drchrono.com."
  type        = string
  default     = "100/minute"
  validation {
    condition     = can(regex("^[0-9]+/(second|minute|hour|day)(,[0-9]+/(second|minute|hour|day))*$", var.drchrono_quota))
    error_message = "Write windows as number/unit, separated by commas without blanks: \"100/minute\" or \"10/second,500/hour\"."
  }
}

variable "webhook_signature" {
  description = "Which signatures count: token (the secret itself, what DrChrono sends today), hmac (hex HMAC-SHA256 of the body), either."
  type        = string
  default     = "either"
  validation {
    condition     = contains(["either", "hmac", "token"], var.webhook_signature)
    error_message = "Choose \"either\", \"hmac\" or \"token\"."
  }
}

variable "webhook_handshake" {
  description = "Whether the receiver answers DrChrono's ownership check. It is needed when the webhook is made and whenever its URL changes; it may be off otherwise."
  type        = bool
  default     = true
}

variable "receiver_min_instances" {
  description = "Receivers kept warm. 0: the first webhook after a quiet time waits for a start (a second or two). 1: none does, for about 10 dollars a month."
  type        = number
  default     = 0
  validation {
    condition     = contains([0, 1, 2, 3], var.receiver_min_instances)
    error_message = "Choose 0 to 3; more than one is of use only with hundreds of webhooks a second."
  }
}

variable "log_level" {
  description = "The least severity that is logged."
  type        = string
  default     = "INFO"
  validation {
    condition     = contains(["DEBUG", "INFO"], var.log_level)
    error_message = "Choose \"INFO\" or \"DEBUG\": the metrics and alerts are made from INFO lines, so less than that would blind them."
  }
}

variable "legacy_token_secrets" {
  description = "true while taking over from an integration that kept its tokens in the secrets drchrono-access-token and drchrono-refresh-token: the functions may then read them."
  type        = bool
  default     = false
}

# When the jobs run.

variable "schedules" {
  description = "When each job runs (cron). The alert \"job not run\" follows from these, so its hours are here too."
  type = object({
    sync          = optional(string, "*/5 * * * *")
    refresh_token = optional(string, "0 */6 * * *")
    reconcile     = optional(string, "15 2 * * *")
    time_zone     = optional(string, "America/New_York")
  })
  default = {}
  validation {
    condition     = alltrue([for s in [var.schedules.sync, var.schedules.refresh_token, var.schedules.reconcile] : length(split(" ", s)) == 5])
    error_message = "Write each schedule as five cron fields separated by single blanks, for example \"*/5 * * * *\"."
  }
  validation {
    condition     = strcontains(var.schedules.time_zone, "/") || var.schedules.time_zone == "UTC"
    error_message = "Give the practice's time zone by its name, for example \"America/Chicago\"."
  }
}

# Who is told what, and when.

variable "alert_channels" {
  description = "Further notification channels that exist already (PagerDuty, SMS, chat), by full name."
  type        = set(string)
  default     = []
  validation {
    condition     = alltrue([for c in var.alert_channels : can(regex("^projects/[^/]+/notificationChannels/[0-9]+$", c))])
    error_message = "Give full names as `gcloud beta monitoring channels list --format='value(name)'` prints them: projects/…/notificationChannels/…"
  }
}

variable "alert_thresholds" {
  description = <<-EOT
    rejected_per_hour: webhooks with a bad signature or body, per reason; above this it is no longer a stray scanner.
    pending_hours: how long a record may be known to be out of date. A throttled hour is normal, six are not.
    lag_hours: how far the complete copy of a kind may be behind.
    problem_hours: how long a job may fail at one kind. DrChrono's short outages end within one.
    token_hours: life that an access token must have left. DrChrono's live 48 hours and are renewed at half of that, so 12 is
      only reached when renewing has failed for half a day. Where tokens live one hour, use 0.2.
    throttled_share: share of requests that DrChrono answered with 429.
    unknown_minutes: how long a write may be of unknown outcome. A search has proved an absence after eight.
    feed_minutes: how long the feed may keep a change to itself. The sync sends what is left every five minutes.
  EOT
  type = object({
    rejected_per_hour = optional(number, 20)
    pending_hours     = optional(number, 6)
    lag_hours         = optional(number, 3)
    problem_hours     = optional(number, 1)
    token_hours       = optional(number, 12)
    throttled_share   = optional(number, 0.05)
    unknown_minutes   = optional(number, 10)
    feed_minutes      = optional(number, 30)
  })
  default = {}
  validation {
    condition     = alltrue([for n in values(var.alert_thresholds) : n > 0]) && var.alert_thresholds.throttled_share < 1
    error_message = "Every threshold is a number above 0, and throttled_share is a share below 1, for example 0.05."
  }
}

variable "working_day_ends_utc" {
  description = "The hour (UTC) at which \"no webhook today\" is judged, Monday to Friday; it looks back ten hours. 23 is 18:00 in New York and 15:00 in Los Angeles (winter)."
  type        = number
  default     = 23
  validation {
    condition     = var.working_day_ends_utc >= 10 && var.working_day_ends_utc <= 23 && floor(var.working_day_ends_utc) == var.working_day_ends_utc
    error_message = "Give a full hour from 10 to 23 (UTC), so that the ten hours before it are of the same day."
  }
}

# What is kept, and who may see it.

variable "log_retention_days" {
  description = "How long logs and data-access audit logs are kept. The first 30 days are free; HIPAA's six years (2190) cost cents at this volume."
  type        = number
  default     = 400
  validation {
    condition     = var.log_retention_days >= 30 && var.log_retention_days <= 3650
    error_message = "Give 30 to 3650 days."
  }
}

variable "operators" {
  description = "Who may run `python -m ops`: authorize, status, backfill, retry, dead letters. They can read every chart."
  type        = set(string)
  default     = []
  validation {
    condition     = alltrue([for m in var.operators : can(regex("^(user|group|serviceAccount):[^@ ]+@[^@ ]+$", m))])
    error_message = "Write each as \"group:name@domain\" (best), \"user:name@domain\" or \"serviceAccount:…\"."
  }
}

variable "writers" {
  description = "Service accounts of programs that may have patients and appointments created and changed in DrChrono, through the outbox. They get a database of its own, and no chart. Empty: DrChrono is only read, and no write scope is asked for. Authorize again after the first is named."
  type        = set(string)
  default     = []
  validation {
    condition     = alltrue([for m in var.writers : can(regex("^serviceAccount:[^@ ]+@[^@ ]+$", m))])
    error_message = "Write each as \"serviceAccount:name@project.iam.gserviceaccount.com\": a program writes, not a person (people use `python -m ops put`)."
  }
}

variable "feed" {
  description = "Tell other programs what changed: a topic with one message for each stored change, in order for each record. false: nothing of it is made, and a stored change costs what it did."
  type        = bool
  default     = false
}

variable "feed_fillings" {
  description = "Announce each record of a first filling as well. false: one message for each kind that is filled."
  type        = bool
  default     = false
  validation {
    condition     = !var.feed_fillings || var.feed
    error_message = "feed_fillings needs feed = true."
  }
}

variable "feed_push" {
  description = "Address of a program that gets the feed's messages by push, with an identity token: an example subscription. null: none is made."
  type        = string
  default     = null
  validation {
    condition     = var.feed_push == null ? true : startswith(var.feed_push, "https://") && var.feed
    error_message = "Give an https address, and feed = true."
  }
}

variable "history" {
  description = "Keep what each stored change replaced: the fields before and after, beside the record. They are patient data."
  type        = bool
  default     = false
}

variable "history_days" {
  description = "After how many days Firestore deletes what `history` keeps. 2192: six years."
  type        = number
  default     = 2192
  validation {
    condition     = var.history_days >= 1 && var.history_days <= 36500 && floor(var.history_days) == var.history_days
    error_message = "Give a whole number of days from 1 to 36500."
  }
}

variable "deployer" {
  description = "Address of the service account that deploys (output `deployer` of terraform/bootstrap). null: only people deploy."
  type        = string
  default     = null
  validation {
    condition     = var.deployer == null ? true : can(regex("^[^@: ]+@[^@ ]+\\.iam\\.gserviceaccount\\.com$", var.deployer))
    error_message = "Give the address alone, as terraform/bootstrap prints it: \"drchrono-deployer@PROJECT.iam.gserviceaccount.com\"."
  }
}

variable "kms_key" {
  description = "Customer-managed key for everything that can have one. It must exist, in the region; null: Google's keys. Decide before the first apply: a database cannot change its key."
  type        = string
  default     = null
  validation {
    condition     = var.kms_key == null ? true : can(regex("^projects/[^/]+/locations/${var.region}/keyRings/[^/]+/cryptoKeys/[^/]+$", var.kms_key))
    error_message = "Give the key's full name, in the same region as everything else: projects/…/locations/REGION/keyRings/…/cryptoKeys/…"
  }
  validation {
    condition     = var.kms_key == null || var.firestore_location == null
    error_message = "A database under a customer-managed key of one region must lie in that region: leave firestore_location out."
  }
}

variable "budget" {
  description = "Monthly budget that alert_emails are warned about at 50, 90 and 100 %. Whoever applies needs roles/billing.costsManager on the billing account."
  type = object({
    billing_account = string
    monthly         = number
    currency        = optional(string, "USD")
  })
  default = null
  validation {
    condition     = var.budget == null ? true : can(regex("^[0-9A-F]{6}-[0-9A-F]{6}-[0-9A-F]{6}$", var.budget.billing_account)) && var.budget.monthly >= 1
    error_message = "billing_account looks like 012345-6789AB-CDEF01 (`gcloud billing accounts list`), and monthly is at least 1."
  }
}
