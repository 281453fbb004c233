//! A container of one's own: a decision tree of scikit-learn with gunicorn and nginx (`hack/scikit`), by the command line and by SageMaker's SDKs.

use std::fs;

use serde_json::json;
use test_support::cached;

use crate::site::Site;

const DATA: &str = "
import boto3, sys
s3 = boto3.client('s3')
s3.create_bucket(Bucket='results', CreateBucketConfiguration={'LocationConstraint': 'eu-west-1'})
s3.put_object(Bucket='data', Key='iris/iris.csv', Body=open(sys.argv[1], 'rb').read())
print('done')
";

/// Two flowers for `isolate-job deploy`, which answers on the port of the container itself.
const ASK: &str = r#"
from urllib.request import Request, urlopen
request = Request("http://127.0.0.1:8080/invocations", b"5.1,3.5,1.4,0.2\n6.7,3.0,5.2,2.3\n", {"Content-Type": "text/csv"})
assert urlopen(request).read() == b"setosa\nvirginica\n"
print("done")
"#;

/// A host with the image and the data.
fn site() -> Site {
    let site = Site::new();
    let image = cached("scikit/image.tar", "hack/scikit");
    let archive = site.path("scikit.tar");
    // On the same file system it costs nothing.
    fs::hard_link(&image, &archive).or_else(|_| fs::copy(&image, &archive).map(drop)).unwrap();
    let path = "ENV PATH=/opt/program:/usr/sbin:/usr/bin:/sbin:/bin";
    site.docker().must(&["import", "--change", path, archive.to_str().unwrap(), "scikit"]);
    let data = cached("scikit/iris.csv", "hack/scikit");
    site.python(&DATA.replace("sys.argv[1]", &format!("{data:?}")));
    site
}

fn listening() -> Site {
    let site = site();
    site.listen();
    site
}

#[test]
fn a_decision_tree_is_trained_and_served_by_the_command_line() {
    let site = site();
    let request = json!({
        "TrainingJobName": "iris",
        "AlgorithmSpecification": { "TrainingImage": "scikit", "TrainingInputMode": "File" },
        "HyperParameters": { "max_leaf_nodes": "5" },
        "RoleArn": "arn:aws:iam::111122223333:role/Train",
        "InputDataConfig": [{
            "ChannelName": "training",
            "DataSource": { "S3DataSource": { "S3DataType": "S3Prefix", "S3Uri": "s3://data/iris/" } },
        }],
        "OutputDataConfig": { "S3OutputPath": "s3://results" },
        "ResourceConfig": { "InstanceType": "ml.m5.large", "InstanceCount": 1, "VolumeSizeInGB": 1 },
        "StoppingCondition": { "MaxRuntimeInSeconds": 600 },
        "EnableNetworkIsolation": true,
    });
    let request = site.docker().host.write("iris.json", &request.to_string());
    assert_eq!(site.job(&["train", &request]).must(), "rows=150 leaves=5 accuracy=0.980");
    let container = json!({ "Image": "scikit", "ModelDataUrl": "s3://results/iris/output/model.tar.gz" });
    let model = site.model("tree", &json!({ "PrimaryContainer": container }));
    site.background("deploy", &["deploy", &model]);
    site.until_logged("deploy", "is served on");
    site.python(ASK);
    site.job(&["stop", "tree"]).must();
}

#[test]
fn a_decision_tree_is_fitted_deployed_and_asked_by_the_unmodified_sdk_2() {
    listening().sdk("v2", include_str!("scikit2.py"));
}

#[test]
fn a_decision_tree_is_trained_tuned_deployed_and_asked_by_the_unmodified_sdk_3() {
    let site = listening();
    // The SDK's driver looks for pip, also if there is nothing to install.
    site.docker().must(&["run", "--name", "with-pip", "scikit", "ln", "-s", "/bin/true", "/usr/bin/pip"]);
    site.docker().must(&["commit", "with-pip", "scikit"]);
    site.docker().must(&["rm", "with-pip"]);
    site.sdk("v3", include_str!("scikit3.py"));
}
