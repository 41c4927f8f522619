"""Checks that no tool knows: that the files in deploy/ fit each other, and the relay. Called by
scripts/check-deploy with the name of one check; prints what is wrong, a line each, and exits with 1."""

import json
import pathlib
import re
import sys

import yaml

TOP = pathlib.Path(__file__).resolve().parents[2]
DEPLOY = TOP / "deploy"
# Names of metrics in a query, recorded ones with colons among them.
METRIC = re.compile(r"\b(?:[a-z_]+:)?(?:tribune_relay|process)_[a-z0-9_]+(?::[a-z0-9_]+)*")


def documents(path):
    return [one for one in yaml.safe_load_all(path.read_text()) if one is not None]


def rules(name):
    (file,) = documents(DEPLOY / "prometheus/rules" / name)
    return [rule for group in file["groups"] for rule in group["rules"]]


def metrics():
    """The names that a query may use: a histogram's as its series are called."""
    names = {rule["record"] for rule in rules("recording.yml")}
    for line in (DEPLOY / "metrics.txt").read_text().splitlines():
        if line and not line.startswith("#"):
            name, kind = line.split()[:2]
            names.update([name] if kind != "histogram" else [name + end for end in ("_bucket", "_sum", "_count")])
    return names


def unknown_metrics(where, expr):
    known = metrics()
    # What stands in quotes is a label's value.
    for name in METRIC.findall(re.sub(r'"[^"]*"', '""', expr)):
        if name not in known:
            yield f"{where}: no metric is called {name} (metrics.txt, rules/recording.yml)"


def check_rules():
    """Rules name metrics that exist."""
    for rule in rules("recording.yml") + rules("alerts.yml"):
        yield from unknown_metrics(rule.get("record") or rule.get("alert"), rule["expr"])


def check_alerts():
    """Every alert is complete, has its section in the runbook, and tests of both kinds."""
    runbook = (DEPLOY / "RUNBOOK.md").read_text()
    sections = set(re.findall(r"^## (\w+)$", runbook, re.MULTILINE))
    fired, silent = set(), set()
    for path in sorted((DEPLOY / "prometheus/tests").glob("alerts_*.yml")):
        for test in documents(path)[0]["tests"]:
            name = re.match(r"\w+", test["name"]).group()
            for case in test["promql_expr_test"]:
                (fired if case["exp_samples"] else silent).add(name)
                for sample in case["exp_samples"]:
                    if f'alertname="{name}"' not in sample["labels"]:
                        yield f"{path.name}: the test {test['name']} expects another alert"
    names = set()
    for rule in rules("alerts.yml"):
        name = rule["alert"]
        names.add(name)
        if rule.get("labels", {}).get("severity") not in ("critical", "warning"):
            yield f"{name}: the severity is neither critical nor warning"
        for part in ("summary", "description"):
            if not rule["annotations"].get(part):
                yield f"{name}: no {part}"
        if rule["annotations"].get("runbook") != f"deploy/RUNBOOK.md#{name.lower()}":
            yield f"{name}: runbook is not deploy/RUNBOOK.md#{name.lower()}"
        if name not in sections:
            yield f"{name}: RUNBOOK.md has no section of that name"
        if name not in fired:
            yield f"{name}: no test in prometheus/tests sees it fire"
        if name not in silent:
            yield f"{name}: no test in prometheus/tests sees it stay silent"
    for name in sorted(sections - names):
        if name.startswith("Tribune"):
            yield f"RUNBOOK.md: there is no alert {name}"


def check_dashboards():
    """Dashboards are what Grafana takes, every panel explains itself, every query names what exists."""
    uids = set()
    for path in sorted((DEPLOY / "grafana/dashboards").glob("*.json")):
        board = json.loads(path.read_text())
        if board["uid"] in uids:
            yield f"{path.name}: another dashboard has the uid {board['uid']}"
        uids.add(board["uid"])
        variables = {one["name"] for one in board["templating"]["list"]}
        ids, titles = set(), set()
        for panel in board["panels"]:
            where = f"{path.name}: {panel.get('title')}"
            if not panel.get("title") or panel["id"] in ids:
                yield f"{where}: no title, or another panel's id"
            ids.add(panel["id"])
            if panel["gridPos"]["x"] + panel["gridPos"]["w"] > 24:
                yield f"{where}: beyond the right edge"
            if panel["type"] == "row":
                continue
            if panel["title"] in titles:
                yield f"{where}: another panel has this title"
            titles.add(panel["title"])
            if not panel.get("description") or not panel["fieldConfig"]["defaults"].get("unit"):
                yield f"{where}: no description or no unit"
            if not panel.get("targets"):
                yield f"{where}: no query"
            for target in panel["targets"]:
                yield from unknown_metrics(where, target["expr"])
                for name in re.findall(r"\$\{?(\w+)", target["expr"] + target["datasource"]["uid"]):
                    if name not in variables and not name.startswith("__"):
                        yield f"{where}: there is no variable {name}"
        for variable in board["templating"]["list"]:
            yield from unknown_metrics(f"{path.name}: ${variable['name']}", variable.get("definition", ""))


def check_settings():
    """Settings that the examples give exist in the relay."""
    source = "".join(path.read_text() for path in sorted((TOP / "relay/src/config").glob("*.rs")))
    rows = re.findall(r'setting\("(\w+)", "[\w-]+", "(\w+)"', source)
    keys, variables = {key for key, _ in rows} | {"roles"}, {name for _, name in rows} | {"TRIBUNE_RELAY_CONFIG"}
    (config,) = documents(DEPLOY / "kubernetes/configmap.yaml")
    files = {"systemd/relay.toml": (DEPLOY / "systemd/relay.toml").read_text(),
             "kubernetes/configmap.yaml": config["data"]["relay.toml"]}
    for where, text in files.items():
        for key in re.findall(r"^#?(\w+) = ", text, re.MULTILINE):
            if key not in keys:
                yield f"{where}: the relay has no setting {key}"
    for path in sorted(DEPLOY.rglob("*")):
        if path.is_file() and path.suffix not in (".py", ".json"):
            for name in sorted(set(re.findall(r"\bTRIBUNE_RELAY_[A-Z_]+", path.read_text()))):
                if name not in variables:
                    yield f"{path.relative_to(DEPLOY)}: the relay has no variable {name}"


def check_kustomization():
    """The kustomization takes every manifest but the examples, and they fit each other."""
    directory = DEPLOY / "kubernetes"
    (kustomization,) = documents(directory / "kustomization.yaml")
    listed = set(kustomization["resources"])
    there = {path.name for path in directory.glob("*.yaml")} - {"kustomization.yaml", "secret-example.yaml"}
    for name in sorted(listed ^ there):
        yield f"kustomization.yaml and the directory differ in {name}"
    manifests = [one for name in sorted(listed & there) for one in documents(directory / name)]
    templates = [one["spec"]["template"] for one in manifests if one["kind"] in ("Deployment", "StatefulSet")]
    for one in manifests:
        spec, name = one.get("spec", {}), f"{one['kind']} {one['metadata']['name']}"
        selector = spec.get("selector", {}) if one["kind"] == "Service" else spec.get("podSelector") or spec.get("selector", {})
        wanted = selector.get("matchLabels", selector)
        if one["kind"] in ("Service", "PodDisruptionBudget", "NetworkPolicy", "Deployment", "StatefulSet"):
            if not any(wanted.items() <= template["metadata"]["labels"].items() for template in templates):
                yield f"{name}: selects no pod"
    for template in templates:
        spec, container = template["spec"], template["spec"]["containers"][0]
        mounted = {mount["name"] for mount in container["volumeMounts"]}
        if not {volume["name"] for volume in spec["volumes"]} <= mounted:
            yield f"{template['metadata']['labels']}: a volume is not mounted"
        if not spec["securityContext"]["runAsNonRoot"] or not container["securityContext"]["readOnlyRootFilesystem"]:
            yield f"{template['metadata']['labels']}: may write, or be root"


def check_image():
    """What the Dockerfile copies is there and gets past .dockerignore."""
    text = (DEPLOY / "docker/Dockerfile").read_text()
    let_in = re.findall(r"^!(\S+)$", (TOP / ".dockerignore").read_text(), re.MULTILINE)
    for path in let_in + re.findall(r"^COPY (deploy/\S+) ", text, re.MULTILINE):
        if not (TOP / path).exists():
            yield f"{path} does not exist"
        if not any(path == one or path.startswith(one + "/") for one in let_in):
            yield f"{path} does not get past .dockerignore"
    workspace = (TOP / "Cargo.toml").read_text()
    for member in re.findall(r'"(\w+)"', re.search(r"^members = \[(.*)\]", workspace, re.MULTILINE).group(1)):
        if member not in let_in:
            yield f"{member} is a member of the workspace and does not get past .dockerignore"


CHECKS = {name.removeprefix("check_"): check for name, check in list(globals().items()) if name.startswith("check_")}

if __name__ == "__main__":
    if len(sys.argv) != 2 or sys.argv[1] not in CHECKS:
        sys.exit(f"own.py: one of {', '.join(CHECKS)}")
    wrong = list(CHECKS[sys.argv[1]]())
    print(*wrong, sep="\n")
    sys.exit(1 if wrong else 0)
