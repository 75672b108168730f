"""A client of the Kubernetes API of an EKS cluster: plain HTTPS, with tokens made as the AWS CLI makes them."""

import base64
import json
import ssl
import urllib.error
import urllib.request

import boto3
from botocore.model import ServiceId
from botocore.signers import RequestSigner

MERGE = "application/merge-patch+json"
STRATEGIC = "application/strategic-merge-patch+json"


def token(cluster, region, key="test", secret="test", expires=60, header="x-k8s-aws-id", host=None, action=None):
    session = boto3.Session(aws_access_key_id=key, aws_secret_access_key=secret, region_name=region)
    signer = RequestSigner(ServiceId("sts"), region, "sts", "v4", session.get_credentials(), session.events)
    url = f"https://{host or f'sts.{region}.amazonaws.com'}/?Action={action or 'GetCallerIdentity'}&Version=2011-06-15"
    request = {"method": "GET", "url": url, "body": {}, "headers": {header: cluster}, "context": {}}
    signed = signer.generate_presigned_url(request, region_name=region, expires_in=expires, operation_name="")
    return "k8s-aws-v1." + base64.urlsafe_b64encode(signed.encode()).decode().rstrip("=")


class Kube:
    def __init__(self, double, region, cluster, key="test", secret="test"):
        described = double.client("eks", region).describe_cluster(name=cluster)["cluster"]
        self.cluster, self.region, self.key, self.secret = cluster, region, key, secret
        self.endpoint = described["endpoint"]
        self.authority = base64.b64decode(described["certificateAuthority"]["data"]).decode()
        self.token = token(cluster, region, key, secret)

    def ask(self, method, path, body=None, kind="application/json", bearer="own", timeout=10):
        """(status, object): also of a refusal."""
        data = None if body is None else json.dumps(body).encode()
        headers = {"Content-Type": kind}
        bearer = self.token if bearer == "own" else bearer
        if bearer is not None:
            headers["Authorization"] = f"Bearer {bearer}"
        request = urllib.request.Request(self.endpoint + path, data=data, method=method, headers=headers)
        trust = ssl.create_default_context(cadata=self.authority)
        try:
            with urllib.request.urlopen(request, timeout=timeout, context=trust) as reply:
                return reply.status, json.loads(reply.read())
        except urllib.error.HTTPError as error:
            answer = json.loads(error.read())
            answer["headers"] = dict(error.headers)
            return error.code, answer

    def get(self, path):
        status, found = self.ask("GET", path)
        assert status == 200, found
        return found

    def deployment(self, name, namespace="maip-services"):
        return self.get(f"/apis/apps/v1/namespaces/{namespace}/deployments/{name}")

    def pods(self, name, namespace="maip-services"):
        return self.get(f"/api/v1/namespaces/{namespace}/pods?labelSelector=app%3D{name}")["items"]

    def patch(self, name, body, kind=MERGE, namespace="maip-services", **how):
        return self.ask("PATCH", f"/apis/apps/v1/namespaces/{namespace}/deployments/{name}", body, kind, **how)

    def scale(self, name, replicas, **how):
        return self.patch(name, {"spec": {"replicas": replicas}}, **how)

    def ready(self, name):
        return self.deployment(name)["status"].get("readyReplicas", 0)
