//! A training job that `isolate-job render` describes, on the cluster, with moto in place of Amazon S3, outside of the cluster
//! (`hack/s3`).

use std::process::{Child, Stdio};

use serde_json::{Value, json};

use crate::cluster::{Cluster, INSTALLED, JOB, Namespace, PATIENCE, PROBE, cluster};
use test_support::command::{command, say, wait_for};
use test_support::findings::Findings;

/// Where moto is, in the fabric.
const MOTO: (&str, &str) = ("10.198.0.10", "5000");

/// moto, while the test runs.
struct Moto<'c> {
    cluster: &'c Cluster,
    child: Child,
}

impl<'c> Moto<'c> {
    /// With a bucket `data`, in which the channel of a job is.
    fn start(cluster: &'c Cluster) -> Self {
        let (program, (host, port)) = (program("moto_server"), MOTO);
        let script = format!(
            "export S3_IGNORE_SUBDOMAIN_BUCKETNAME=true; exec {program} -H {host} -p {port} >/dev/null 2>&1"
        );
        let child = cluster.command_on("fabric", &script).stdout(Stdio::null()).spawn().unwrap();
        let moto = Self { cluster, child };
        let made = wait_for(PATIENCE, || moto.ask("PUT", "data", "").map(drop));
        assert!(made.is_some(), "moto does not start");
        moto.ask("PUT", "data/in/rows", "7").unwrap();
        moto
    }

    /// What it answers, if it does.
    fn ask(&self, method: &str, path: &str, body: &str) -> Option<String> {
        let (python, (host, port)) = (program("python"), MOTO);
        // It takes any signature, and treats requests without one as anonymous.
        let script = format!(
            "{python} - <<'END'
from urllib.request import Request, urlopen
signed = 'AWS4-HMAC-SHA256 Credential=a/20260101/us-east-1/s3/aws4_request, SignedHeaders=host, Signature=0'
headers = {{'Authorization': signed, 'Content-Type': 'application/octet-stream'}}
asked = Request('http://{host}:{port}/{path}', b'{body}' or None, headers, method='{method}')
print(urlopen(asked, timeout=10).read().decode())
END"
        );
        let said = self.cluster.on("fabric", &script);
        said.well().then_some(said.out)
    }
}

/// A program of moto's.
fn program(name: &str) -> String {
    let program = test_support::cached(&format!("s3/moto-5.2.5/bin/{name}"), "hack/s3");
    program.to_str().unwrap().to_owned()
}

impl Drop for Moto<'_> {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The manifests of a job whose program is this script.
fn rendered(name: &str, image: &str, script: &str) -> Value {
    let dir = tempfile::tempdir().unwrap();
    let [request, settings] = ["request.json", "job.toml"].map(|name| dir.path().join(name));
    let document = json!({
        "TrainingJobName": name,
        "AlgorithmSpecification": {
            "TrainingImage": image, "TrainingInputMode": "File", "ContainerEntrypoint": ["bash", "-c", script],
        },
        "RoleArn": "arn:aws:iam::111122223333:role/Train",
        "InputDataConfig": [{
            "ChannelName": "train",
            "DataSource": { "S3DataSource": { "S3DataType": "S3Prefix", "S3Uri": "s3://data/in/" } },
        }],
        "OutputDataConfig": { "S3OutputPath": "s3://data/out", "CompressionType": "NONE" },
        "ResourceConfig": { "InstanceType": "ml.m5.large", "InstanceCount": 1, "VolumeSizeInGB": 1 },
        "StoppingCondition": { "MaxRuntimeInSeconds": 600 },
        "EnableNetworkIsolation": true,
    });
    std::fs::write(&request, document.to_string()).unwrap();
    let endpoint = format!("\"http://{}:{}\"", MOTO.0, MOTO.1);
    let text = format!(
        "[s3]\nendpoint = {endpoint}\nregion = \"us-east-1\"\naddressing = \"path\"\n[role]\nendpoint = {endpoint}\n"
    );
    std::fs::write(&settings, text).unwrap();
    let mut render = command(test_support::isolate_job());
    render.arg("--config").arg(&settings).arg("render").arg(&request);
    render.args(["--namespace", "jobs", "--image", JOB, "--secret", "aws"]);
    serde_json::from_str(&say(&mut render).must()).unwrap()
}

/// The pod template of a rendered job.
fn template(manifests: &mut Value) -> &mut Value {
    let items = manifests["items"].as_array_mut().unwrap();
    &mut items.iter_mut().find(|one| one["kind"] == "Job").unwrap()["spec"]["template"]["spec"]
}

/// What `stage-out` left, once it has ended.
fn outcome(namespace: &Namespace, job: &str) -> Value {
    let get = ["get", "pods", "--output=json", "--selector", &format!("job-name={job}")];
    let message = wait_for(2 * PATIENCE, || {
        let pods: Value = serde_json::from_str(&namespace.kubectl(&get).out).ok()?;
        let states = pods["items"][0]["status"]["containerStatuses"].as_array()?.clone();
        let out = states.iter().find(|one| one["name"] == "stage-out")?;
        serde_json::from_str(out["state"]["terminated"]["message"].as_str()?).ok()
    });
    message.unwrap_or_else(|| panic!("{job}: {}", namespace.kubectl(&["describe", "pods"]).out))
}

#[test]
fn rendered_jobs_end_as_their_containers_do_and_their_results_are_uploaded() {
    let _installed = INSTALLED.read();
    let cluster = cluster();
    let namespace = cluster.namespace("jobs");
    let moto = Moto::start(cluster);
    let mut findings = Findings::default();
    namespace.apply(&json!({
        "apiVersion": "v1", "kind": "Secret", "metadata": { "name": "aws" },
        "stringData": { "AWS_ACCESS_KEY_ID": "AKIAIOSFODNN7EXAMPLE", "AWS_SECRET_ACCESS_KEY": "secret" },
    }));
    let write = "cp /opt/ml/input/data/train/rows /opt/ml/model/weights;";
    let reach = format!("timeout 3 bash -c 'exec 3<>/dev/tcp/{}/{}' && exit 9;", MOTO.0, MOTO.1);
    let completed = format!("{write} {reach} exit 0");
    let failed = format!("{write} echo 'no such column' >/opt/ml/output/failure; exit 3");
    let oom = format!("{write} exec tail /dev/zero");
    let all = [
        ("completed", PROBE, completed.as_str()),
        ("failed", PROBE, &failed),
        ("oom", PROBE, &oom),
        ("unpulled", "registry.invalid/train:1", "exit 0"),
        ("late", PROBE, "trap 'echo 8 >/opt/ml/model/weights; exit 0' TERM; while :; do sleep 1; done"),
    ];
    for (name, image, script) in all {
        let mut manifests = rendered(name, image, script);
        let containers = template(&mut manifests)["containers"].as_array_mut().unwrap();
        match name {
            "oom" => containers[0]["resources"]["limits"] = json!({ "memory": "64Mi" }),
            // Ten minutes by default.
            "unpulled" => {
                containers[1]["args"].as_array_mut().unwrap().extend([json!("--start"), json!("5")]);
            }
            // 120 seconds by default: kubelet does not report the end of a container of a pod that is being ended.
            "late" => containers[1]["args"].as_array_mut().unwrap().extend([json!("--wait"), json!("5")]),
            _ => {}
        }
        if name == "late" {
            template(&mut manifests)["activeDeadlineSeconds"] = json!(60);
        }
        namespace.apply(&manifests);
    }
    for (job, status, reason) in [
        ("completed", "Completed", None),
        ("failed", "Failed", Some("AlgorithmError: no such column, exit code: 3")),
        // And out of memory, if containerd 1.6 was told so before it ended.
        ("oom", "Failed", Some("AlgorithmError: exit code: 137")),
        ("unpulled", "Failed", Some("ClientError: the container was not started: ErrImagePull: ")),
    ] {
        let outcome = outcome(&namespace, job);
        let said = outcome["FailureReason"].as_str();
        let is_as_expected = outcome["SecondaryStatus"] == status
            && match reason {
                None => said.is_none(),
                Some(reason) => said.is_some_and(|said| said.starts_with(reason)),
            };
        findings.claim(is_as_expected, format!("{job}: {outcome}"));
        if job != "unpulled" {
            let weights = moto.ask("GET", &format!("data/out/{job}/output/model/weights"), "");
            findings.claim(weights.as_deref() == Some("7"), format!("{job}: the results are {weights:?}"));
        }
    }
    // What there was when MaxRuntimeInSeconds had passed, and what the program wrote then, is uploaded.
    let ended = wait_for(2 * PATIENCE, || {
        let get = ["get", "pods", "--output=json", "--selector=job-name=late"];
        let pods: Value = serde_json::from_str(&namespace.kubectl(&get).out).ok()?;
        pods["items"][0]["status"]["reason"].as_str().map(str::to_owned)
    });
    let uploaded = wait_for(PATIENCE, || moto.ask("GET", "data/out/late/output/model/weights", ""));
    let is_as_expected = (ended.as_deref(), uploaded.as_deref()) == (Some("DeadlineExceeded"), Some("8"));
    findings.claim(is_as_expected, format!("late: {ended:?}, the results are {uploaded:?}"));
    let complete = ["wait", "--for=condition=complete", "--timeout=60s", "job/completed"];
    let said = namespace.kubectl(&complete);
    findings.claim(said.well(), format!("the Job is not complete: {said}"));
    findings.settle();
}
