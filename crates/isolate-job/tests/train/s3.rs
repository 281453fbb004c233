//! A job whole: moto (`hack/s3`) in place of Amazon S3 and STS, and nothing in place of the product.

use std::time::Duration;

use serde_json::json;
use test_support::command::wait_for;
use test_support::docker::{Docker, Release};
use test_support::podman::{Podman, User};

use crate::moto::{request, serve};
use crate::site::{Asked, Engine, Site, asked, transitions};

fn job(site: &Site) {
    let moto = serve(site);
    let request =
        |method: &str, target: &str, body: &str| request(site, method, target, body.as_bytes().to_vec());
    let text = |target| String::from_utf8_lossy(&request("GET", target, "").2).into_owned();
    for (target, body) in [
        ("/data", ""),
        ("/results", ""),
        ("/data/train/x.csv", "1,2,3\n"),
        ("/data/train/deep/y.csv", "4\n"),
        ("/results/checkpoints/step-1", "one"),
    ] {
        assert_eq!(request("PUT", target, body).0, 200, "{target}");
    }
    let script = "cd /opt/ml; cat input/data/train/x.csv input/data/train/deep/y.csv checkpoints/step-1; echo two >checkpoints/step-2; \
                  sleep 3; echo weights >model/weights; exit $CODE";
    let more = |code: &str, output: &str| {
        json!({
            "CheckpointConfig": { "S3Uri": "s3://results/checkpoints" },
            "OutputDataConfig": { "S3OutputPath": "s3://results/out", "CompressionType": output, "KmsKeyId": "alias/results" },
            "Environment": { "CODE": code },
        })
    };
    let done = site.train(&Asked { more: more("0", "NONE"), ..asked("whole", script) });
    assert_eq!((done.status, done.out.as_str(), done.err.as_str()), (Some(0), "1,2,3\n4\none", ""), "{done}");
    assert_eq!(text("/results/out/whole/output/model/weights"), "weights\n");
    assert_eq!(text("/results/checkpoints/step-2"), "two\n");
    let (_, head, _) = request("HEAD", "/results/out/whole/output/model/weights", "");
    assert!(
        head.to_lowercase().contains("x-amz-server-side-encryption-aws-kms-key-id: alias/results"),
        "{head}"
    );
    let status = site.describe("whole");
    assert_eq!(transitions(&status), ["Starting", "Downloading", "Training", "Uploading", "Completed"]);
    assert_eq!(status["ModelArtifacts"]["S3ModelArtifacts"], "s3://results/out/whole/output/model/");
    assert!(status["TrainingJobArn"].as_str().unwrap().contains(":eu-west-1:"), "{status}");
    assert_eq!(site.left_over("whole"), [""; 0]);

    // An archive, of a program that fails.
    let done = site.train(&Asked { more: more("3", "GZIP"), ..asked("archived", script) });
    assert_eq!((done.status, done.err.as_str()), (Some(1), "AlgorithmError: exit code: 3"), "{done}");
    assert_eq!(request("GET", "/results/out/archived/output/model.tar.gz", "").2[..2], [0x1f, 0x8b]);

    // No such bucket: nothing is started.
    let channel = json!([{
        "ChannelName": "train",
        "DataSource": { "S3DataSource": { "S3DataType": "S3Prefix", "S3Uri": "s3://nowhere/x" } },
    }]);
    let done =
        site.train(&Asked { more: json!({ "InputDataConfig": channel }), ..asked("nowhere", "echo ran") });
    assert_eq!((done.status, done.out.as_str()), (Some(1), ""), "{done}");
    assert!(done.err.starts_with("ClientError: Data download failed: channel train: "), "{done}");

    // No bucket at the upload: the results are kept, and uploaded when there is one.
    let none = json!({ "OutputDataConfig": { "S3OutputPath": "s3://gone/out", "CompressionType": "NONE" } });
    let done = site.train(&Asked { more: none, ..asked("kept", "echo kept >/opt/ml/model/weights") });
    assert_eq!(done.status, Some(4), "{done}");
    assert_eq!(request("PUT", "/gone", "").0, 200);
    assert_eq!(site.job(&["resume", "kept"]).status, Some(0));
    assert_eq!(text("/gone/out/kept/output/model/weights"), "kept\n");

    // A transfer does not outlive the process that has its credentials, whatever it waits for.
    let rule = "INPUT -i lo -p tcp --dport 4566 -j DROP";
    site.host().sh(&format!("iptables -I {rule}")).must();
    site.detach_in("eu-west-1", &Asked { more: more("0", "NONE"), ..asked("orphaned", script) });
    let transfers = || site.host().sh("pgrep -f '[s]tage in'").well();
    assert!(
        wait_for(Duration::from_secs(20), || transfers().then_some(())).is_some(),
        "there is no transfer"
    );
    site.host().sh("pkill -KILL -f '[r]esume --session'").must();
    site.until_left("orphaned");
    assert!(!transfers(), "the transfer goes on");
    site.host().sh(&format!("iptables -D {rule}")).must();
    assert_eq!(site.job(&["resume", "orphaned"]).status, Some(0));
    assert_eq!(text("/results/out/orphaned/output/model/weights"), "weights\n");
    drop(moto);
}

#[test]
fn docker_28_a_job_is_run_from_amazon_s3_to_amazon_s3() {
    job(&Site::real(Engine::Docker(Docker::start(Release::Docker28))));
}

#[test]
fn podman_5_a_job_is_run_from_amazon_s3_to_amazon_s3() {
    job(&Site::real(Engine::Podman(Podman::start(test_support::podman::Release::Podman5, User::Root))));
}
