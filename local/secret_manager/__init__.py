"""A stand-in for Secret Manager, for development and tests. It serves the gRPC API that the official client uses.

It follows the rules of the service: versions are numbered from 1 and are enabled, disabled or destroyed; a destroyed
payload is gone; a version is readable by its number immediately, while `latest` and lists may lag. Tests can withdraw
permissions.
"""

from local.secret_manager.secrets import Secrets
from local.secret_manager.server import SecretManagerStandIn

__all__ = ["SecretManagerStandIn", "Secrets"]
