"""Uses the Python client as its users do; prints one JSON object of what it saw. Usage: python-client.py <kubeconfig> <server>"""

import json
import sys
import threading

from kubernetes import client, config, dynamic, watch

kubeconfig, server = sys.argv[1:]
config.load_kube_config(kubeconfig)
configuration = client.Configuration.get_default_copy()
configuration.host = server
client.Configuration.set_default(configuration)

core = client.CoreV1Api()
apps = client.AppsV1Api()
seen = {}

seen["version"] = client.VersionApi().get_code().git_version
seen["namespaces"] = sorted(item.metadata.name for item in core.list_namespace().items)

core.create_namespaced_config_map(
    "default", {"metadata": {"name": "python", "labels": {"suite": "python"}}, "data": {"a": "1"}}
)
seen["patched"] = core.patch_namespaced_config_map("python", "default", {"data": {"a": None, "b": "2"}}).data

body = client.V1Deployment(
    metadata=client.V1ObjectMeta(name="python"),
    spec=client.V1DeploymentSpec(
        replicas=0,
        selector=client.V1LabelSelector(match_labels={"app": "python"}),
        template=client.V1PodTemplateSpec(
            metadata=client.V1ObjectMeta(labels={"app": "python"}),
            spec=client.V1PodSpec(containers=[client.V1Container(name="main", image="busybox")]),
        ),
    ),
)
made = apps.create_namespaced_deployment("default", body)
seen["strategy"] = made.spec.strategy.type
seen["created"] = made.metadata.creation_timestamp.tzinfo is not None
seen["scale"] = apps.patch_namespaced_deployment_scale("python", "default", {"spec": {"replicas": 3}}).spec.replicas
try:
    apps.replace_namespaced_deployment("python", "default", made)
except client.ApiException as err:
    seen["stale"] = [err.status, json.loads(err.body)["reason"]]
try:
    core.create_namespaced_config_map("default", {"metadata": {"name": "Not_Valid"}})
except client.ApiException as err:
    seen["invalid"] = [err.status, json.loads(err.body)["details"]["causes"][0]["field"]]

for number in range(7):
    core.create_namespaced_config_map("default", {"metadata": {"name": f"page-{number}", "labels": {"page": "yes"}}})
names, token, pages = [], None, 0
while True:
    page = core.list_namespaced_config_map("default", label_selector="page=yes", limit=3, _continue=token)
    names += [item.metadata.name for item in page.items]
    pages, token = pages + 1, page.metadata._continue
    if not token:
        break
seen["pages"] = [pages, len(set(names))]

revision = core.list_namespaced_config_map("default").metadata.resource_version
threading.Timer(0.1, lambda: core.delete_collection_namespaced_config_map("default", label_selector="page=yes")).start()
stream = watch.Watch()
deleted = set()
for event in stream.stream(
    core.list_namespaced_config_map, "default", resource_version=revision, label_selector="page=yes", timeout_seconds=20
):
    if event["type"] == "DELETED":
        deleted.add(event["object"].metadata.name)
    if len(deleted) == 7:
        stream.stop()
seen["deleted"] = len(deleted)

objects = dynamic.DynamicClient(client.ApiClient())
secrets = objects.resources.get(api_version="v1", kind="Secret")
secrets.create(namespace="default", body={"metadata": {"name": "python"}, "stringData": {"key": "value"}})
seen["secret"] = secrets.get(name="python", namespace="default").data.key
seen["gone"] = secrets.delete(name="python", namespace="default").status
core.delete_namespaced_config_map("python", "default")
apps.delete_namespaced_deployment("python", "default", propagation_policy="Foreground")

print(json.dumps(seen))
