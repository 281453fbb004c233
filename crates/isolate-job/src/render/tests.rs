use serde_json::{Value, json};

use super::*;
use crate::request::read_training;

const OPTIONS: Options = Options {
    namespace: "team-a",
    image: "isolate-job:1",
    secret: None,
    service_account: None,
    region: "eu-west-1",
};

/// The request of the other tests, without what a pod cannot have.
fn request() -> Value {
    let mut request: Value = serde_json::from_str(include_str!("../request/tests/training.json")).unwrap();
    request["ResourceConfig"]["InstanceCount"] = json!(1);
    request["AlgorithmSpecification"].as_object_mut().unwrap().remove("MetricDefinitions");
    request.as_object_mut().unwrap().remove("VpcConfig");
    request
}

fn rendered(request: &Value, settings: &str, options: &Options) -> Result<Value, Refusals> {
    render(
        &read_training(request.to_string().as_bytes()).unwrap(),
        &Settings::read(settings).unwrap(),
        options,
    )
}

fn refused(request: &Value, settings: &str, options: &Options) -> String {
    rendered(request, settings, options).unwrap_err().to_string()
}

fn pod(list: &Value) -> &Value {
    &list["items"][4]["spec"]["template"]
}

#[test]
fn the_pod_has_one_isolated_container_between_two_of_the_platforms() {
    let list = rendered(&request(), "", &OPTIONS).unwrap();
    let pod = pod(&list);
    assert_eq!(
        pod["metadata"]["annotations"],
        json!({ "io.oci-isolate.network-isolation": "true", "io.oci-isolate.platform": "stage-in, stage-out" })
    );
    let spec = &pod["spec"];
    assert_eq!(spec["runtimeClassName"], "oci-isolate");
    assert_eq!(spec["initContainers"][0]["name"], "stage-in");
    let [algorithm, out] = spec["containers"].as_array().unwrap().as_slice() else { panic!() };
    assert_eq!((&algorithm["name"], &out["name"]), (&json!("algorithm"), &json!("stage-out")));
    assert_eq!(algorithm["image"], "registry.example:5000/team/train:1.2");
    assert_eq!(algorithm["command"], json!(["python3", "/train.py"]));
    assert_eq!(algorithm["args"], json!(["--fast"]));
    // Neither the token, nor the request, nor the whole volume.
    assert_eq!(
        algorithm["volumeMounts"],
        json!([{ "name": "data", "mountPath": "/opt/ml", "subPath": "opt-ml" }])
    );
    assert_eq!(algorithm.get("envFrom"), None);
    let arn = "arn:aws:sagemaker:eu-west-1:111122223333:training-job/boston-2026";
    assert!(
        algorithm["env"].as_array().unwrap().contains(&json!({ "name": "TRAINING_JOB_ARN", "value": arn }))
    );
    assert_eq!(spec["volumes"][0], json!({ "name": "data", "emptyDir": { "sizeLimit": "30Gi" } }));
    // An hour for the program, and the transfers.
    assert_eq!(spec["activeDeadlineSeconds"], 3600 + 600);
    assert_eq!(
        (&spec["restartPolicy"], &list["items"][4]["spec"]["backoffLimit"]),
        (&json!("Never"), &json!(0))
    );
    assert_eq!(spec["automountServiceAccountToken"], false);
}

#[test]
fn a_role_reads_pods_of_its_namespace_and_nothing_else() {
    let list = rendered(&request(), "", &OPTIONS).unwrap();
    let rules = json!([{ "apiGroups": [""], "resources": ["pods"], "verbs": ["get", "watch"] }]);
    assert_eq!((&list["items"][1]["kind"], &list["items"][1]["rules"]), (&json!("Role"), &rules));
    for item in list["items"].as_array().unwrap() {
        let name = if item["kind"] == "Job" { "boston-2026" } else { "isolate-job-boston-2026" };
        assert_eq!(
            (&item["metadata"]["name"], &item["metadata"]["namespace"]),
            (&json!(name), &json!("team-a"))
        );
    }
}

/// Who applies the manifests need not be allowed to create Roles.
#[test]
fn a_service_account_that_is_there_is_used_and_nothing_of_rbac_is_rendered() {
    let options = Options { service_account: Some("isolate-job"), ..OPTIONS };
    let list = rendered(&request(), "", &options).unwrap();
    let kinds: Vec<_> = list["items"].as_array().unwrap().iter().map(|item| &item["kind"]).collect();
    assert_eq!(kinds, ["ConfigMap", "Job"]);
    let spec = &list["items"][1]["spec"]["template"]["spec"];
    assert_eq!(spec["serviceAccountName"], "isolate-job");
    assert_eq!(spec["volumes"][1]["configMap"]["name"], "isolate-job-boston-2026");
    // It has a role of its own, or none.
    let why = refused(&request(), "[role]\nassume = false", &options);
    assert!(why.contains("instead of RoleArn"), "{why}");
    assert!(
        rendered(&request(), "[role]\nassume = false", &Options { secret: Some("s3"), ..options }).is_ok()
    );
}

/// A ServiceAccount `default` is in every namespace, and its pods are not this job's.
#[test]
fn what_belongs_to_a_job_replaces_nothing_that_a_namespace_has() {
    let mut request = request();
    request["TrainingJobName"] = json!("default");
    let list = rendered(&request, "[role]\nassume = false", &OPTIONS).unwrap();
    let own = json!("isolate-job-default");
    assert_eq!(
        (&list["items"][0]["kind"], &list["items"][0]["metadata"]["name"]),
        (&json!("ServiceAccount"), &own)
    );
    assert_eq!(
        (&list["items"][2]["subjects"][0]["name"], &list["items"][2]["roleRef"]["name"]),
        (&own, &own)
    );
    let spec = &pod(&list)["spec"];
    assert_eq!((&spec["serviceAccountName"], &spec["volumes"][1]["configMap"]["name"]), (&own, &own));
}

#[test]
fn limits_checkpoints_and_a_secret_are_rendered() {
    let mut request = request();
    request["CheckpointConfig"]["LocalPath"] = json!("/checkpoints");
    request["AlgorithmSpecification"]["ContainerArguments"] = json!(["$(HOSTNAME)", "$$"]);
    request["Environment"] = json!({ "PRICE": "$(MODE)" });
    let settings = "[instances.'ml.m5.large']\ncpus = 1.5\nmemory-gib = 2.0\nshm-gib = 1.0";
    let options = Options { secret: Some("aws"), ..OPTIONS };
    let list = rendered(&request, settings, &options).unwrap();
    let spec = &pod(&list)["spec"];
    let algorithm = &spec["containers"][0];
    assert_eq!(algorithm["resources"]["limits"], json!({ "cpu": "1500m", "memory": "2147483648" }));
    assert_eq!(algorithm["resources"]["requests"]["ephemeral-storage"], "30Gi");
    // As they are, and not as Kubernetes would expand them.
    assert_eq!(algorithm["args"], json!(["$$(HOSTNAME)", "$$$$"]));
    assert!(algorithm["env"].as_array().unwrap().contains(&json!({ "name": "PRICE", "value": "$$(MODE)" })));
    let mounts = algorithm["volumeMounts"].as_array().unwrap();
    assert_eq!(mounts[1], json!({ "name": "data", "mountPath": "/checkpoints", "subPath": "checkpoints" }));
    assert_eq!(mounts[2], json!({ "name": "shm", "mountPath": "/dev/shm" }));
    for transfer in [&spec["initContainers"][0], &spec["containers"][1]] {
        assert_eq!(transfer["envFrom"], json!([{ "secretRef": { "name": "aws" } }]));
    }
    assert_eq!(algorithm.get("envFrom"), None);
}

#[test]
fn an_image_without_arguments_is_told_to_train() {
    let mut request = request();
    let specification = request["AlgorithmSpecification"].as_object_mut().unwrap();
    specification.remove("ContainerEntrypoint");
    specification.remove("ContainerArguments");
    let list = rendered(&request, "", &OPTIONS).unwrap();
    let algorithm = &pod(&list)["spec"]["containers"][0];
    assert_eq!((algorithm.get("command"), &algorithm["args"]), (None, &json!(["train"])));
}

#[test]
fn the_transfers_have_the_settings_that_they_read() {
    let settings = "parallel = 3\nengine = 'podman'\n[s3]\nendpoint = 'http://a\"b'\naddressing = 'path'\n\
                    [role]\nassume = false\nexternal-id = 'x'";
    let list = rendered(&request(), settings, &OPTIONS).unwrap();
    let data = &list["items"][3]["data"];
    let read = Settings::read(data["job.toml"].as_str().unwrap()).unwrap();
    let given = Settings::read(settings).unwrap();
    assert_eq!((read.parallel, &read.s3, &read.role), (3, &given.s3, &given.role));
    let document: Value = serde_json::from_str(data["request.json"].as_str().unwrap()).unwrap();
    assert_eq!(document, request());
    let annotations =
        json!({ "eks.amazonaws.com/role-arn": "arn:aws:iam::111122223333:role/service-role/Train" });
    assert_eq!(list["items"][0]["metadata"]["annotations"], annotations);
    let assumed = rendered(&request(), "", &OPTIONS).unwrap();
    assert_eq!(assumed["items"][0]["metadata"].get("annotations"), None);
}

#[test]
fn what_a_pod_cannot_have_is_refused_by_its_path() {
    let given: Value = serde_json::from_str(include_str!("../request/tests/training.json")).unwrap();
    let all = refused(&given, "[vpc.subnet-0a1b]\nnetns = '/run/netns/a'", &OPTIONS);
    let paths: Vec<_> = all.lines().map(|line| line.split(": ").next().unwrap()).collect();
    assert_eq!(
        paths,
        ["ResourceConfig.InstanceCount", "VpcConfig", "AlgorithmSpecification.MetricDefinitions"]
    );
    let change = |path: &str, value: Value| {
        let mut request = request();
        *request.pointer_mut(path).unwrap() = value;
        request
    };
    for (request, settings, options, expected) in [
        (
            change("/TrainingJobName", json!("Boston")),
            "",
            OPTIONS,
            "TrainingJobName: is not a name of Kubernetes",
        ),
        (
            change("/InputDataConfig/0/InputMode", json!("Pipe")),
            "",
            OPTIONS,
            "InputDataConfig[0].DataSource.S3DataSource.S3Uri: Pipe mode",
        ),
        (
            change("/Environment", json!({ "AWS_SECRET_ACCESS_KEY": "canary" })),
            "",
            OPTIONS,
            "Environment[\"AWS_SECRET_ACCESS_KEY\"]: is a credential",
        ),
        (
            change("/Environment", json!({ "minio_secret_access_key": "canary" })),
            "",
            OPTIONS,
            "Environment[\"minio_secret_access_key\"]: is a credential",
        ),
        (
            change(
                "/HyperParameters",
                (0..30).map(|x| (x.to_string(), json!("\u{10348}".repeat(2500)))).collect(),
            ),
            "",
            OPTIONS,
            "the document is too large for a ConfigMap",
        ),
        (request(), "[s3]\nca-bundle = '/etc/ca.pem'", OPTIONS, "s3.ca-bundle: is a file of this host"),
        (request(), "", Options { namespace: "Team", ..OPTIONS }, "--namespace: is not a name of Kubernetes"),
        (request(), "", Options { secret: Some("a/b"), ..OPTIONS }, "--secret: is not a name of Kubernetes"),
        (
            request(),
            "",
            Options { service_account: Some("a b"), ..OPTIONS },
            "--service-account: is not a name of Kubernetes",
        ),
    ] {
        let found = refused(&request, settings, &options);
        assert!(found.starts_with(expected), "{expected}: {found}");
        assert!(!found.contains("canary"), "{found}");
    }
}
