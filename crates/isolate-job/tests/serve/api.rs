//! `isolate-job listen`, end to end.

use std::fs;
use std::time::Duration;

use test_support::command::wait_for;

use crate::site::Site;

#[test]
fn a_model_is_trained_served_invoked_and_deleted_by_boto3() {
    let site = Site::new();
    site.listen();
    site.python(include_str!("api.py"));
    assert_eq!(site.containers("isolate-"), [""; 0]);
    let mut left: Vec<_> = fs::read_dir(site.path("jobs"))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| !name.starts_with('.'))
        .collect();
    left.sort_unstable();
    assert_eq!(left, ["boston", "endless", "piped"]);
    // The caller's key and the operation, but no secret.
    let log = site.until_logged("listen", "DeleteEndpoint");
    assert!(
        log.contains("AKIATEST CreateTrainingJob 200")
            && !log.contains("a secret")
            && !log.contains("canary"),
        "{log}"
    );
}

#[test]
fn a_tuning_job_is_created_listed_and_stopped_by_boto3() {
    let site = Site::new();
    site.listen();
    site.python(include_str!("tuning.py"));
    assert_eq!(site.containers("isolate-"), [""; 0]);
}

#[test]
fn a_transform_job_is_created_and_listed_by_boto3() {
    let site = Site::new();
    site.listen();
    site.python(include_str!("transform.py"));
    assert_eq!(site.containers("isolate-"), [""; 0]);
}

/// Endpoints outlive the listener; those whose process has gone are served again. With the capabilities of the systemd unit.
#[test]
fn endpoints_survive_the_listener() {
    let site = Site::new();
    site.listen_as_unit();
    site.until_logged("listen", "listening on");
    let client = "import boto3\nsm = boto3.client('sagemaker', endpoint_url='http://127.0.0.1:5100')\n\
                  rt = boto3.client('sagemaker-runtime', endpoint_url='http://127.0.0.1:5100')\n";
    site.python(&format!("{client}{}", include_str!("survive.py")));
    let kill = |what: &str| {
        site.host().sh(&format!("pkill -KILL --full 'bin/isolate-jo[b] .*{what}'")).must();
    };
    let invoke = format!(
        "{client}assert b'body 7' in rt.invoke_endpoint(EndpointName='e', Body=b'7')['Body'].read()\nprint('done')\n"
    );
    kill(" listen");
    site.listen_as_unit();
    site.until_logged("listen", "listening on");
    site.python(&invoke);
    kill(" listen");
    kill(" serve ");
    let gone = || site.host().sh("pgrep --full 'bin/isolate-jo[b] .* (serve|listen)'").status != Some(0);
    assert!(wait_for(Duration::from_secs(10), || gone().then_some(())).is_some());
    site.listen_as_unit();
    site.until_logged("listen", "endpoint e is deployed again");
    site.until_logged("listen", "listening on");
    let wait = "sm.get_waiter('endpoint_in_service').wait(EndpointName='e', WaiterConfig={'Delay': 1, 'MaxAttempts': 60})\n";
    site.python(&invoke.replacen("assert", &format!("{wait}assert"), 1));
    assert_eq!(site.containers("isolate-"), ["isolate-e-model"]);
}

/// An endpoint that is deleted while its image is pulled, which takes as long as the test wants.
#[test]
fn an_endpoint_is_deleted_while_its_image_is_pulled() {
    let site = Site::new();
    let host = site.host();
    let (pulls, go) = (host.at("pulls"), host.at("go"));
    let slow = host.write(
        "slow.sh",
        &format!(
            "#!/bin/sh\ncase \" $* \" in *' pull '*) touch {pulls}; while [ ! -e {go} ]; do sleep 0.1; done; docker tag model slow ;; esac\n\
             exec docker \"$@\"\n"
        ),
    );
    host.sh(&format!("chmod 755 {slow}")).must();
    let settings = fs::read_to_string(site.path("job.toml")).unwrap();
    host.write("job.toml", &settings.replace("/usr/bin/docker", &slow));
    site.listen();
    let client = "import boto3\nsm = boto3.client('sagemaker', endpoint_url='http://127.0.0.1:5100')\n";
    site.python(&format!("{client}{}", include_str!("pulled.py")));
    assert!(wait_for(Duration::from_secs(20), || site.path("pulls").exists().then_some(())).is_some());
    let delete = "sm.delete_endpoint(EndpointName='slow')\n\
                  sm.get_waiter('endpoint_deleted').wait(EndpointName='slow', WaiterConfig={'Delay': 1, 'MaxAttempts': 10})\nprint('done')\n";
    site.python(&format!("{client}{delete}"));
    let left = host.sh("pgrep --full --list-full 'isolate-jo[b] deploy'");
    assert_eq!(left.out, "", "the deployment goes on");
    // The image is there now.
    fs::write(site.path("go"), "").unwrap();
    std::thread::sleep(Duration::from_secs(3));
    assert!(!site.path("jobs/slow").exists());
    assert_eq!(site.containers("isolate-"), [""; 0]);
}
