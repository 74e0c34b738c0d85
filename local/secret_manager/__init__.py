"""A Secret Manager to develop and test against: the service's gRPC interface, to which the official client talks.

It keeps the service's rules: versions numbered from 1, enabled, disabled or destroyed; a destroyed payload is gone;
a version is readable by its number at once, while `latest` and lists may lag; permissions can be taken away.
"""

from local.secret_manager.secrets import Secrets
from local.secret_manager.server import SecretManagerStandIn

__all__ = ["SecretManagerStandIn", "Secrets"]
