"""What several instances agree on, kept in documents: records, the pending list, permits, the token, positions.

Each module here is written once over the `Documents` protocol, so that it holds on Firestore and on the embedded store.
"""
