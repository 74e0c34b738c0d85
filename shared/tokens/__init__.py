"""DrChrono's OAuth token pair: how it is stored, served and refreshed.

refresher  TokenRefresher: serves the access token to all threads of an instance
refresh    Refresh: one refresh, step by step; no crash and no race at any step loses the pair
storage    TokenStorage: the pair in Secret Manager, the token state and its lease in Firestore
endpoint   TokenEndpoint: DrChrono's `/o/token/`
state      TokenState, Phase, Lease: the document `sync_state/token` and its transitions
decisions  what a token state allows at a given time, and how a failed refresh ends
failures   the errors that callers see, with their remedies
report     TokenReport: age, lifetime and phase for jobs and `ops`
token      Token: the pair, its lifetime, and the possible answers of the token endpoint
"""
