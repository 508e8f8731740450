"""The kubernetes client against the local API server: reads, watches, patches and deletes a service.

usage: kubernetes_client.py KUBECONFIG NAMESPACE NAME   (the service exists and is Ready)
"""
import sys
import threading

from kubernetes import client, config, watch

kubeconfig, namespace, name = sys.argv[1:4]
config.load_kube_config(config_file=kubeconfig)
custom = client.CustomObjectsApi()
core = client.CoreV1Api()
services = ("serving.kserve.io", "v1alpha2", namespace, "llminferenceservices")


def condition(service, kind):
    found = [c["status"] for c in service.get("status", {}).get("conditions", []) if c["type"] == kind]
    return found[0] if found else None


service = custom.get_namespaced_custom_object(*services, name)
assert condition(service, "Ready") == "True", service.get("status")
assert service["status"]["url"].startswith("http"), service["status"]

pods = core.list_namespaced_pod(namespace, label_selector=f"app.kubernetes.io/name={name}").items
assert pods and all(pod.status.pod_ip for pod in pods), pods
assert core.read_namespaced_pod_log(pods[0].metadata.name, namespace, tail_lines=5) is not None

seen, stop = [], threading.Event()
watcher = watch.Watch()


def follow():
    for event in watcher.stream(
        custom.list_namespaced_custom_object, *services, field_selector=f"metadata.name={name}", timeout_seconds=60
    ):
        labels = event["object"]["metadata"].get("labels", {})
        seen.append((event["type"], labels.get("touched")))
        if labels.get("touched") == "yes":
            stop.set()
            return


thread = threading.Thread(target=follow, daemon=True)
thread.start()
custom.patch_namespaced_custom_object(*services, name, {"metadata": {"labels": {"touched": "yes"}}})
assert stop.wait(30), f"the watch did not show the change: {seen}"
watcher.stop()
assert seen[0][0] == "ADDED", seen

second = {
    "apiVersion": "serving.kserve.io/v1alpha2", "kind": "LLMInferenceService",
    "metadata": {"name": "from-python", "namespace": namespace},
    "spec": {"model": {"uri": "hf://acme/tiny", "name": "acme/from-python"},
             "router": {"route": {}, "gateway": {}, "scheduler": {}}},
}
custom.create_namespaced_custom_object(*services, second)
for event in watch.Watch().stream(
    custom.list_namespaced_custom_object, *services, field_selector="metadata.name=from-python", timeout_seconds=60
):
    if condition(event["object"], "Ready") == "True":
        break
else:
    raise AssertionError("the second service did not become Ready within 60 s")
custom.delete_namespaced_custom_object(*services, "from-python")
print("kubernetes client: read, log, watch, patch, create and delete as expected")
