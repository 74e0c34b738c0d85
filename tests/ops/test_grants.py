"""The grants on Pub/Sub, read through its own interface (gRPC, `google.iam.v1.IAMPolicy`)."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timezone
from typing import Any

import grpc
import pytest
from google.iam.v1 import iam_policy_pb2, policy_pb2  # type: ignore[import-untyped]  # the package ships no types

from ops.grants import check_grants
from ops.target_system import deployed_target
from ops.verdict import Failed, Skipped

AGENT = "serviceAccount:service-123456@gcp-sa-pubsub.iam.gserviceaccount.com"
RECEIVER = "serviceAccount:drchrono-receive-webhook@p.iam.gserviceaccount.com"
WHOLE = {
    "projects/p/topics/drchrono-events": {"roles/pubsub.publisher": [RECEIVER]},
    "projects/p/topics/drchrono-events-dead": {"roles/pubsub.publisher": [AGENT]},
    "projects/p/subscriptions/drchrono-events-store-record": {"roles/pubsub.subscriber": [AGENT]},
}

Policies = dict[str, dict[str, list[str]]]


@pytest.fixture
def policies(monkeypatch: pytest.MonkeyPatch) -> Iterator[Policies]:
    """By resource: role and members. Reading any other resource is denied."""
    known: Policies = {}

    def answer(request: Any, context: grpc.ServicerContext) -> Any:
        if request.resource not in known:
            context.abort(grpc.StatusCode.PERMISSION_DENIED, "no")
        bindings = [policy_pb2.Binding(role=role, members=names) for role, names in known[request.resource].items()]
        return policy_pb2.Policy(bindings=bindings)

    method = grpc.unary_unary_rpc_method_handler(
        answer,
        request_deserializer=iam_policy_pb2.GetIamPolicyRequest.FromString,
        response_serializer=policy_pb2.Policy.SerializeToString,
    )
    server = grpc.server(ThreadPoolExecutor(2))
    server.add_generic_rpc_handlers(
        (grpc.method_handlers_generic_handler("google.iam.v1.IAMPolicy", {"GetIamPolicy": method}),)
    )
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    monkeypatch.setenv("PUBSUB_EMULATOR_HOST", f"127.0.0.1:{port}")
    yield known
    server.stop(0).wait()


def check() -> str:
    return check_grants(deployed_target("p", {}), lambda: datetime.now(timezone.utc))


def test_complete_grants_pass(policies: Policies) -> None:
    policies.update(WHOLE)
    assert check() == "the receiver may publish, and Pub/Sub may move dead letters"


@pytest.mark.parametrize(
    ("resource", "lost"),
    [
        ("topics/drchrono-events", "webhooks are refused"),
        ("topics/drchrono-events-dead", "dead letters are not moved"),
        ("subscriptions/drchrono-events-store-record", "dead letters are not moved"),
    ],
)
def test_each_missing_grant_is_named_with_its_effect(policies: Policies, resource: str, lost: str) -> None:
    policies.update({**WHOLE, f"projects/p/{resource}": {"roles/viewer": [AGENT, RECEIVER]}})
    with pytest.raises(Failed, match=f"on {resource} is missing: {lost}") as failed:
        check()
    assert failed.value.remedy == "`terraform apply`"


def test_the_agent_of_another_service_does_not_count(policies: Policies) -> None:
    stranger = "serviceAccount:service-123456@gcp-sa-pubsub.iam.gserviceaccount.com.example"
    policies.update({**WHOLE, "projects/p/topics/drchrono-events-dead": {"roles/pubsub.publisher": [stranger]}})
    with pytest.raises(Failed, match="topics/drchrono-events-dead is missing"):
        check()


def test_a_missing_permission_to_read_grants_names_the_role(policies: Policies) -> None:
    with pytest.raises(Skipped) as skipped:
        check()
    assert skipped.value.remedy == "ask for roles/iam.securityReviewer on the project"
